"""Snapshots of btrfs: a subvolume each, in a directory of ours at the top of the mounted file system."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat as modes
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from backupd.command_errors import FsSnapshotError
from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from backupd.model.results import shown
from backupd.operations.fs_snapshots.contract import Found, Made, Target, below, is_ours, joined
from backupd.operations.fs_snapshots.programs import OR_LIVE, Ended, Programs, done, failure, no_right
from backupd.rights import may_administrate
from backupd.source.mounts import Mount, number_at, read_mounts

_TOP_INODE = 256
"""Of each subvolume's top directory."""
_ROW = re.compile(rb"ID \d+ gen \d+ top level \d+ path (.+)")
_SNAPSHOTS = os.fsencode(SNAPSHOTS_NAME)
# Of linux/btrfs.h: requests, and the structures that they take.
_WRITES = 4 << 29 if os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha")) else 1 << 30
_DESTROY, _CREATE = _WRITES | 0x1000940F, _WRITES | 0x10009417
_DESTROY_ARGS, _CREATE_ARGS = struct.Struct("=q4088s"), struct.Struct("=qQQ32x4040s")
_READ_ONLY = 2


class Btrfs:
    """Found by `btrfs`; made and removed by the kernel's own requests, in a directory that nobody can exchange."""

    name = "btrfs"

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def takes(self, mount: Mount) -> bool:
        """Whether it is btrfs."""
        return mount.type == "btrfs"

    def find(self, mount: Mount, mounts: Sequence[Mount], sources: Sequence[bytes], *, nested: bool) -> Found:
        """The subvolumes that hold the sources, and those below these. Raises FsSnapshotError."""
        if not may_administrate():
            # Who owns a subvolume can make a snapshot, and could not remove it.
            raise no_right(f"{shown(mount.path)} is btrfs, whose snapshots root alone can remove")
        view = _view(mount, mounts)
        within = [path for path in (below(one, mount.path) for one in sources) if path is not None]
        # A mount that lies below a source is wanted as a whole.
        wanted = [joined(view.at, path) for path in within] if within else [view.at]
        found, holding = Found([], []), {_subvolume_of(path, view.top.path) for path in wanted}
        seen: set[bytes] = set()
        waiting = sorted(holding)
        while waiting:
            subvolume = waiting.pop(0)
            if subvolume in seen:
                continue
            seen.add(subvolume)
            self._add(found, view, subvolume)
            below_it = [
                child
                for child in self._children(view.top, subvolume)
                if child not in holding and any(below(child, one) is not None for one in wanted)
            ]
            if nested:
                waiting += below_it
            else:
                found.left.extend((view.target(child).path, "other file systems are not entered") for child in below_it)
        return found

    def _add(self, found: Found, view: _View, subvolume: bytes) -> None:
        target = view.target(subvolume)
        what = f"what {shown(subvolume)} is can't be told"
        if done(self._programs, what, ["btrfs", "property", "get", "-ts", subvolume, "ro"]).strip() == b"ro=true":
            found.left.append((target.path, "it can't be changed, and needs no snapshot"))
        else:
            found.targets.append(target)

    def _children(self, top: Mount, subvolume: bytes) -> list[bytes]:
        """Paths of the subvolumes right below one, as far as they can be reached; not our snapshots."""
        what = f"the subvolumes below {shown(subvolume)} can't be listed"
        rows = done(self._programs, what, ["btrfs", "subvolume", "list", "-o", subvolume])
        own = joined(top.root, below(subvolume, top.path) or b"")
        found: list[bytes] = []
        for row in rows.splitlines():
            match = _ROW.fullmatch(row)
            inside = below(b"/" + match[1].lstrip(b"/"), own) if match is not None else None
            if not inside or _SNAPSHOTS in inside.split(b"/"):
                continue
            path = joined(subvolume, inside)
            if _is_subvolume(path) and number_at(path) == top.number:
                found.append(path)
        return sorted(found)

    def plan(self, target: Target, name: str) -> Made:
        """Named by its own path."""
        return Made(kind=self.name, place=os.fsdecode(joined(target.holder, os.fsencode(name))), name=name)

    def make(self, target: Target, made: Made) -> Made:
        """Make it, and the directory of ours where that is missing. Raises FsSnapshotError."""
        what = f"no snapshot of {shown(target.path)} could be made"
        try:
            with suppress(FileExistsError):
                os.mkdir(target.holder, 0o700)
        except OSError as error:
            raise FsSnapshotError(f"{what}: {shown(target.holder)}: {error.strerror}") from error
        with _holding(target.holder, what) as holder:
            try:
                origin = os.open(target.place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    args = _CREATE_ARGS.pack(origin, 0, _READ_ONLY, os.fsencode(made.name))
                    fcntl.ioctl(holder, _CREATE, bytearray(args))
                finally:
                    os.close(origin)
            except OSError as error:
                raise _failed(what, error) from error
        return made

    def mount(self, target: Target, made: Made) -> None:
        """It shows by itself."""

    def read_at(self, target: Target, made: Made) -> bytes:
        """Below the snapshot's own directory."""
        return joined(os.fsencode(made.place), target.inside)

    def device(self, target: Target, made: Made) -> int:
        """Of the subvolume: nobody who owns the directory above can make another one that has it."""
        holder, name = os.path.split(os.fsencode(made.place))
        what = f"the snapshot {made.name} can't be looked at"
        with _holding(holder, what) as fd:
            try:
                return os.stat(name, dir_fd=fd, follow_symlinks=False).st_dev
            except OSError as error:
                raise _failed(what, error) from error

    def remove(self, made: Made) -> bool:
        """Remove it where it is ours by name, place and kind. Raises FsSnapshotError."""
        place = os.fsencode(made.place)
        holder, name = os.path.split(place)
        what = f"the snapshot {shown(place)} could not be removed"
        if os.path.basename(holder) != _SNAPSHOTS or os.fsdecode(name) != made.name or not is_ours(made.name):
            raise FsSnapshotError(f"{what}: that is no place of ours")
        top = os.path.dirname(holder)
        if not any((mount.path, mount.type) == (top, self.name) for mount in read_mounts()):
            raise FsSnapshotError(
                f"{what}: no btrfs is mounted at {shown(top)}",
                hint="mount it; if it is gone for good, remove its record: fs-snapshots in backupd's state directory",
            )
        if not os.path.lexists(place):
            return False
        with _holding(holder, what) as fd:
            try:
                if not _is_top(os.stat(name, dir_fd=fd, follow_symlinks=False)):
                    raise FsSnapshotError(f"{what}: it is no subvolume")
                fcntl.ioctl(fd, _DESTROY, bytearray(_DESTROY_ARGS.pack(0, name)))
            except FileNotFoundError:
                return False
            except OSError as error:
                raise _failed(what, error) from error
        return True

    def leftovers(self, target: Target, set_id: str) -> list[Made]:
        """What lies of the set in the directory of ours."""
        try:
            names = sorted(os.fsdecode(name) for name in os.listdir(target.holder))
        except OSError:
            return []
        return [self.plan(target, name) for name in names if is_ours(name, set_id)]


class _View(NamedTuple):
    """Where a mount's files lie in a mount that holds all of their subvolume."""

    mount: Mount
    top: Mount
    at: bytes
    """Path in `top` of what shows at the mount's."""

    def target(self, subvolume: bytes) -> Target:
        """A subvolume of `top`, as it shows in the mount."""
        holder, place = joined(self.top.path, _SNAPSHOTS), os.fsdecode(subvolume)
        inside = below(self.at, subvolume)
        if inside is not None:
            return Target(self.mount.path, place, inside, holder)
        return Target(joined(self.mount.path, below(subvolume, self.at) or b""), place, b"", holder)


def _view(mount: Mount, mounts: Sequence[Mount]) -> _View:
    """Raises FsSnapshotError where only a part of a subvolume is mounted."""
    if _is_subvolume(mount.path):
        return _View(mount, mount, mount.path)
    for other in sorted(mounts, key=lambda one: len(one.root), reverse=True):
        inside = below(mount.root, other.root)
        if (other.type, other.source) != (mount.type, mount.source) or not inside or not _is_subvolume(other.path):
            continue
        at = joined(other.path, inside)
        if _is_same(at, mount.path):
            return _View(mount, other, at)
    raise FsSnapshotError(
        f"{shown(mount.path)} shows a directory of btrfs whose subvolume is mounted nowhere",
        hint=f"mount the subvolume, too, {OR_LIVE}",
    )


def _subvolume_of(path: bytes, top: bytes) -> bytes:
    """The subvolume of a path below the top of a mount."""
    while path != top and not _is_subvolume(path):
        path = os.path.dirname(path)
    return path


def _is_subvolume(path: bytes) -> bool:
    try:
        return _is_top(os.lstat(path))
    except OSError:
        return False


def _is_top(stat: os.stat_result) -> bool:
    return modes.S_ISDIR(stat.st_mode) and stat.st_ino == _TOP_INODE


def _is_same(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


@contextmanager
def _holding(holder: bytes, what: str) -> Iterator[int]:
    """Its descriptor: the owner of the directory above may put another one in its place at any time.

    Raises FsSnapshotError unless the directory is in our hands alone.
    """
    refused = FsSnapshotError(
        f"{what}: {shown(holder)} is not a directory of backupd's alone",
        hint="remove it if it is yours; backupd makes it anew",
    )
    try:
        fd = os.open(holder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise (refused if error.errno in (errno.ENOTDIR, errno.ELOOP) else _failed(what, error)) from error
    try:
        stat = os.fstat(fd)
        if stat.st_uid != os.geteuid() or stat.st_mode & 0o077:
            raise refused
        yield fd
    finally:
        os.close(fd)


def _failed(what: str, error: OSError) -> FsSnapshotError:
    return failure(what, "btrfs", Ended(1, b"", os.fsencode(error.strerror or str(error))))
