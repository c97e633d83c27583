"""What stands in a restored directory but not in the snapshot: listing and deleting it."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Container
from typing import NamedTuple

from backupd.errors import BackupError, TargetError
from backupd.mount_identity import mount_number
from backupd.target.directories import Directories, make_writable
from backupd.target.losses import explained
from backupd.target.placing import release, remove

IsSpared = Callable[[bytes, bool], bool]
"""Path below the target and whether it is a directory -> whether it stays though the snapshot does not hold it."""


class Deleted(NamedTuple):
    """What became of a deletion."""

    removed_count: int
    """Files and directories deleted."""
    kept: list[tuple[bytes, str]]
    """Path and reason of what could not be deleted, its parents not repeated."""


class _Visit(NamedTuple):
    path: bytes
    parent: bytes
    name: bytes
    is_done: bool
    """Its entries were dealt with; it goes now itself."""


def list_unmatched(directory_fd: int, names: Container[bytes]) -> list[bytes]:
    """Names in a directory that the snapshot does not have there, in byte order; compared as bytes.

    Raises TargetError.
    """
    try:
        found = [os.fsencode(name) for name in os.listdir(directory_fd)]
    except OSError as error:
        raise TargetError(f"not listed: {explained(error)}") from error
    return sorted(name for name in found if name not in names)


def delete_unmatched(
    directories: Directories, parent: bytes, name: bytes, is_spared: IsSpared | None = None
) -> Deleted:
    """Delete one thing in the directory `parent`, with all below it; symlinks are deleted, not followed.

    What is mounted below stays, and what is spared, and so do the directories above it. Never raises; what failed is
    in `kept`.
    """
    count, kept, stuck = 0, [], set[bytes]()
    path = parent + b"/" + name if parent else name
    todo = [_Visit(path, parent, name, False)]
    while todo:
        visit = todo.pop()
        try:
            parent_fd = directories.open(visit.parent)
            if visit.is_done:
                if visit.path not in stuck:
                    directories.forget(visit.path)
                    _remove_directory(parent_fd, visit.name)
                    count += 1
                    continue
                stuck.add(visit.parent)
                continue
            is_directory = modes.S_ISDIR(os.stat(visit.name, dir_fd=parent_fd, follow_symlinks=False).st_mode)
            if is_spared is not None and is_spared(visit.path, is_directory):
                stuck.add(visit.parent)
                continue
            if is_directory:
                todo.append(visit._replace(is_done=True))
                todo += _inside(directories, visit, _mount(parent_fd))
                continue
            remove(parent_fd, visit.name)
            count += 1
            continue
        except FileNotFoundError:
            continue
        except (OSError, BackupError) as error:
            kept.append((visit.path, explained(error) if isinstance(error, OSError) else error.message))
            stuck.add(visit.path)
        stuck.add(visit.parent)
    return Deleted(count, kept)


def _inside(directories: Directories, visit: _Visit, mount: int) -> list[_Visit]:
    try:
        fd = directories.open(visit.path)
    except TargetError:
        fd = directories.make(visit.path)[0]
    if _mount(fd) != mount:
        raise TargetError("something is mounted there")
    make_writable(fd)
    names = map(os.fsencode, os.listdir(fd))
    return [_Visit(visit.path + b"/" + name, visit.path, name, False) for name in names]


def _remove_directory(parent_fd: int, name: bytes) -> None:
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except PermissionError:
        if not release(parent_fd, name):
            raise
        os.rmdir(name, dir_fd=parent_fd)


def _mount(fd: int) -> int:
    """What tells mounts apart, bind mounts too where the system says it."""
    return mount_number(fd) or os.fstat(fd).st_dev
