"""Errors of snapshots of file systems, from which a run reads its sources."""

from __future__ import annotations

from backupd.errors import BackupError


class FsSnapshotError(BackupError):
    """No snapshot could be made of a file system with sources, and the set says that then nothing is backed up."""

    code = "source.no_fs_snapshot"


class FsSnapshotProgramError(FsSnapshotError):
    """The program that makes snapshots of such a file system is not installed."""

    code = "source.fs_snapshot_program"


class FsSnapshotRightError(FsSnapshotError):
    """backupd lacks the right to make snapshots of a file system."""

    code = "source.fs_snapshot_right"
