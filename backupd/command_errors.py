"""Errors of what is done around a run: its commands, and the snapshots of file systems that it reads from."""

from __future__ import annotations

from backupd.errors import BackupError, SkippedError


class CommandFailedError(BackupError):
    """A command before the run failed, and the set says that then nothing is backed up."""

    code = "command.failed"


class CommandRefusedError(BackupError):
    """A command can't be begun, or its program could have been changed by others."""

    code = "command.refused"


class CommandWarnedError(BackupError):
    """The backup is whole; a command around it failed that the set only warns about."""

    code = "command.warned"
    exit_code = 3


class CommandSkippedError(SkippedError):
    """A command before the run said that nothing is to be backed up now."""

    code = "command.skipped"


class FsSnapshotError(BackupError):
    """No snapshot could be made of a file system with sources, and the set says that then nothing is backed up."""

    code = "source.no_fs_snapshot"


class FsSnapshotProgramError(FsSnapshotError):
    """The program that makes snapshots of such a file system is not installed."""

    code = "source.fs_snapshot_program"


class FsSnapshotRightError(FsSnapshotError):
    """backupd lacks the right to make snapshots of a file system."""

    code = "source.fs_snapshot_right"


class RunAsError(BackupError):
    """The sources can't be read with the rights of the user whom the set names; nothing is backed up."""

    code = "source.run_as"
