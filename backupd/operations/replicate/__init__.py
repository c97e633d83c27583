"""Replicating: snapshots of a repository from one place to another, by sealed segments as they are (FEATURES 4.9)."""

from backupd.operations.replicate.running import run

__all__ = ["run"]
