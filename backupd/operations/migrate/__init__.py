"""`bkctl backup --migrate`: what is stored is stored once more where it is not as its set wants it now (FEATURES 5.1).

Segments of older epochs are sealed anew, those of weaker compression compressed anew, blocks with too little parity
written with more: chunks keep their names, and what was stored anew is retired, so the next freeing deletes it. Older
snapshots whose files were cut or named otherwise are written anew. `running` has the order of its steps, `carrying`
brings blocks into new ones, `history` goes through the snapshots.
"""

from __future__ import annotations

from backupd.operations.migrate.running import run

__all__ = ["run"]
