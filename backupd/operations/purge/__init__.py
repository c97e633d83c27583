"""`bkctl purge`: delete backup data whatever the policy says. `running` is the order of its steps."""

from __future__ import annotations

from backupd.operations.purge.running import run

__all__ = ["run"]
