"""Restoring: from a snapshot back to files, planned by segment (DESIGN 6)."""

from backupd.operations.restore.running import run

__all__ = ["run"]
