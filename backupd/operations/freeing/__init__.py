"""`bkctl free`: give space back at a place. `running` is the order of its steps."""

from __future__ import annotations

from backupd.operations.freeing.running import run

__all__ = ["run"]
