"""What stands at a name already, and what a restore does with it."""

from __future__ import annotations

import os
import stat as modes
from enum import Enum

from backupd.model.orders import Overwrite
from backupd.target.losses import check_name, failure
from backupd.tree.entry import Device, Entry, Kind

_KINDS = {
    modes.S_IFREG: Kind.FILE,
    modes.S_IFDIR: Kind.DIRECTORY,
    modes.S_IFLNK: Kind.SYMLINK,
    modes.S_IFIFO: Kind.FIFO,
    modes.S_IFCHR: Kind.CHARACTER_DEVICE,
    modes.S_IFBLK: Kind.BLOCK_DEVICE,
    modes.S_IFSOCK: Kind.SOCKET,
}


class Verdict(Enum):
    """What to do with one entry."""

    CREATE = "create"
    """Nothing stands there."""
    SAME = "same"
    """The same content stands there; its metadata may need `attributes.refresh`."""
    REPLACE = "replace"
    SKIP = "skip"
    """The policy leaves what stands there as it is."""
    NEWER = "newer"
    """What stands there is newer than the snapshot's: replaced only after asking."""


def look(directory_fd: int, name: bytes) -> tuple[os.stat_result, bytes] | None:
    """What stands at a name, with a symlink's target (else b""); None: nothing. Raises TargetError."""
    check_name(name)
    try:
        stat = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        return stat, os.readlink(name, dir_fd=directory_fd) if modes.S_ISLNK(stat.st_mode) else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failure("not looked at", error) from error


def judge(
    existing: tuple[os.stat_result, bytes] | None,
    entry: Entry,
    overwrite: Overwrite,
    owner: tuple[int, int] | None = None,
    granularity_ns: int = 1,
) -> Verdict:
    """Decide by `--overwrite` what to do; existing: from `look`, owner: what the entry is to get.

    Directories are never newer: they are merged, SAME, or SKIP under `never` (their own metadata stays).
    A file with several names whose mode or owner would have to change is replaced, never changed in place: its other
    names may lie outside of what is restored.
    """
    if existing is None:
        return Verdict.CREATE
    if overwrite == "never":
        return Verdict.SKIP
    stat, target = existing
    is_same = _is_same(stat, target, entry, granularity_ns)
    if entry.kind == Kind.DIRECTORY:
        return Verdict.SAME if is_same else Verdict.REPLACE
    if overwrite == "always":
        return Verdict.REPLACE
    if is_same:
        return Verdict.REPLACE if stat.st_nlink > 1 and _differs(stat, entry, owner) else Verdict.SAME
    if not modes.S_ISDIR(stat.st_mode) and stat.st_mtime_ns > entry.mtime_ns:
        return Verdict.SKIP if overwrite == "if-newer" else Verdict.NEWER
    return Verdict.REPLACE


def _is_same(stat: os.stat_result, target: bytes, entry: Entry, granularity_ns: int) -> bool:
    kind = _KINDS.get(modes.S_IFMT(stat.st_mode))
    if kind != entry.kind:
        return False
    if kind == Kind.FILE:
        return stat.st_size == entry.size and abs(stat.st_mtime_ns - entry.mtime_ns) < granularity_ns
    if kind == Kind.SYMLINK:
        return target == entry.content
    if isinstance(entry.content, Device):
        return (os.major(stat.st_rdev), os.minor(stat.st_rdev)) == (entry.content.major, entry.content.minor)
    return True


def _differs(stat: os.stat_result, entry: Entry, owner: tuple[int, int] | None) -> bool:
    has_owner = owner is None or os.geteuid() != 0 or (stat.st_uid, stat.st_gid) == owner
    return not has_owner or (entry.kind != Kind.SYMLINK and modes.S_IMODE(stat.st_mode) != entry.mode)
