"""`bkctl backup --migrate`: what is stored is stored once more where it is not as its set wants it now (FEATURES 5.1).

Segments of older epochs are sealed anew, those of weaker compression compressed anew, blocks with too little parity
written with more. Snapshots and trees stay as they are, for chunks keep their names. `running` has the order of its
steps, `carrying` brings blocks into new ones. What was stored anew is retired: the next freeing deletes it.
"""

from __future__ import annotations

from backupd.operations.migrate.running import run

__all__ = ["run"]
