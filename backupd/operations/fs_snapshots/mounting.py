"""Mounting what shows nowhere by itself, read-only, in a directory of ours; and unmounting it."""

from __future__ import annotations

import os
from contextlib import suppress

from backupd.command_errors import FsSnapshotError
from backupd.model.results import shown
from backupd.operations.fs_snapshots.contract import Made
from backupd.operations.fs_snapshots.programs import Programs, done
from backupd.source.mounts import read_mounts


def make_mount_point(what: str, path: str) -> None:
    """A directory to mount at. Raises FsSnapshotError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise FsSnapshotError(f"{what}: {path}: {error.strerror}") from error


def mount_device(programs: Programs, what: str, device: str, path: str, kind: str, options: str) -> None:
    """Mount a device. what: can't be done else. kind: of its file system. Raises FsSnapshotError."""
    make_mount_point(what, path)
    done(programs, what, ["mount", "-t", kind, "-o", f"{options},nosuid,nodev,noexec", device, path])


def mounted_device(path: bytes) -> int:
    """st_dev of a directory in a snapshot that is mounted in a directory of ours. Raises FsSnapshotError."""
    try:
        return os.stat(path, follow_symlinks=False).st_dev
    except OSError as error:
        raise FsSnapshotError(f"{shown(path)} can't be looked at: {error.strerror}") from error


def unmount(programs: Programs, what: str, made: Made, directory: str) -> None:
    """Unmount a snapshot where it is mounted, and only in the directory of ours. Raises FsSnapshotError."""
    path = made.mounted_at
    if not path:
        return
    if os.path.dirname(path) != directory or os.path.basename(path) != made.name:
        raise FsSnapshotError(f"{what}: {path} is no place of ours")
    if any(mount.path == os.fsencode(os.path.realpath(path)) for mount in read_mounts()):
        done(programs, what, ["umount", path])
    with suppress(OSError):
        os.rmdir(path)
