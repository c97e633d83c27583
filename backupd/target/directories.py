"""Directories below the root of a restore, by descriptors that never follow a symlink."""

from __future__ import annotations

import errno
import os
import stat as modes
import sys
from collections import OrderedDict
from typing import NamedTuple

from backupd.errors import TargetError
from backupd.inode_io import FIXING_FLAGS, NOT_SUPPORTED, list_xattrs, read_flags, remove_xattr, write_flags
from backupd.target.acls import ACCESS_ACL, DEFAULT_ACL
from backupd.target.losses import check_name, failure
from backupd.target.placing import remove

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEEP_OF_A_WALK = 32


class _Opened(NamedTuple):
    fd: int
    passes_acl: bool
    is_ready: bool = False
    """Made by us, or opened up."""


def open_root(path: bytes) -> int:
    """Open the directory a restore writes to; the way to it may hold symlinks, as the user typed it.

    Raises TargetError when it is no directory or can't be opened.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise failure(f"the directory to restore to, {os.fsdecode(path)}", error) from error


class Directories:
    """Open directories below a root, the most recently used kept open.

    Paths are relative to the root, b"" being the root itself; each component is opened by itself, so paths may be
    longer than PATH_MAX. A symlink on the way is never followed. Descriptors are borrowed: one stays valid while no
    more than two others are asked for. For one thread.
    """

    def __init__(self, root_fd: int, limit: int = 128) -> None:
        self._root = _Opened(root_fd, _has_default_acl(root_fd))
        self._limit = max(limit, 4 * _KEEP_OF_A_WALK)
        self._opened: OrderedDict[bytes, _Opened] = OrderedDict()
        self._device = os.fstat(root_fd).st_dev
        self._mounted: dict[int, int] = {}

    def open(self, path: bytes) -> int:
        """Descriptor of an existing directory. Raises TargetError."""
        return self._find(path).fd

    def passes_acl(self, path: bytes) -> bool:
        """Whether what is created in that directory starts with an ACL of its own. Raises TargetError."""
        return self._find(path).passes_acl

    def make(self, path: bytes, replace: bool = False) -> tuple[int, bool]:
        """Descriptor of a directory, made with mode 0700 if absent, its parents too; and whether it is new.

        An existing one is made writable for us: owner permissions of an ordinary user's directory, immutable and
        append-only flags; `attributes.apply` gives it its final ones. replace: whether what stands at `path` and is
        no directory is deleted, a symlink too; a symlink or another thing in a parent's place is an error always.
        Raises TargetError, TargetFullError.
        """
        found = self._opened.get(path) if path else self._root
        if found is not None:
            self._make_ready(path, found)
            return found.fd, False
        for part in path.split(b"/"):
            check_name(part)
        parent_path, _, name = path.rpartition(b"/")
        parent = self._make_parents(parent_path)
        try:
            is_new = _make_one(parent.fd, name, replace)
        except OSError as error:
            raise failure(f"directory {_shown(name)} not made", error) from error
        opened = _open_one(parent.fd, name, open_up=True)
        if is_new and parent.passes_acl:
            opened = _without_acl(opened)
        self._keep(path, opened._replace(is_ready=is_new))
        self._make_ready(path, self._opened[path])
        return opened.fd, is_new

    def forget(self, path: bytes) -> None:
        """Close what is open at and below a path, because it was deleted or renamed."""
        below = path + b"/"
        for known in [known for known in self._opened if known == path or known.startswith(below)]:
            os.close(self._opened.pop(known).fd)

    def file_systems(self) -> list[int]:
        """A descriptor on each file system that was met: the root's, and those mounted below it."""
        return [self._root.fd, *self._mounted.values()]

    def close(self) -> None:
        """Close all but the root, which belongs to the caller."""
        for fd in (*(opened.fd for opened in self._opened.values()), *self._mounted.values()):
            os.close(fd)
        self._opened.clear()
        self._mounted.clear()

    def _make_ready(self, path: bytes, opened: _Opened) -> None:
        """The root is the caller's."""
        if path and not opened.is_ready:
            make_writable(opened.fd)
            self._opened[path] = opened._replace(is_ready=True)

    def _find(self, path: bytes) -> _Opened:
        opened = self._opened.get(path) if path else self._root
        if opened is not None:
            if path:
                self._opened.move_to_end(path)
            return opened
        return self._walk(path)

    def _nearest(self, path: bytes) -> tuple[bytes, _Opened]:
        """The deepest open ancestor."""
        while (end := path.rfind(b"/")) >= 0:
            path = path[:end]
            opened = self._opened.get(path)
            if opened is not None:
                self._opened.move_to_end(path)
                return path, opened
        return b"", self._root

    def _walk(self, path: bytes) -> _Opened:
        known, opened = self._nearest(path)
        names = path[len(known) + 1 if known else 0 :].split(b"/")
        for name in names:
            check_name(name)
        passed = None
        for index, name in enumerate(names):
            try:
                opened = _open_one(opened.fd, name)
            finally:
                if passed is not None:
                    os.close(passed)
            known = known + b"/" + name if known else name
            passed = opened.fd
            if index >= len(names) - _KEEP_OF_A_WALK:
                self._keep(known, opened)
                passed = None
        return opened

    def _make_parents(self, path: bytes) -> _Opened:
        missing = []
        while True:
            try:
                opened = self._find(path)
                break
            except TargetError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for missed in reversed(missing):
            self.make(missed)
            opened = self._find(missed)
        return opened

    def _keep(self, path: bytes, opened: _Opened) -> None:
        self._opened[path] = opened
        device = os.fstat(opened.fd).st_dev
        if device != self._device and device not in self._mounted:
            self._mounted[device] = os.dup(opened.fd)
        if len(self._opened) > self._limit:
            os.close(self._opened.popitem(last=False)[1].fd)


def _make_one(parent_fd: int, name: bytes, replace: bool) -> bool:
    """Whether the directory is new. Raises OSError, TargetError."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    except FileExistsError as error:
        stat = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if modes.S_ISDIR(stat.st_mode):
            return False
        if not replace:
            raise TargetError(f"{_shown(name)} is in the way: it is no directory") from error
        remove(parent_fd, name)
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    return True


def _open_one(parent_fd: int, name: bytes, open_up: bool = False) -> _Opened:
    """open_up: whether a directory of ours that its mode closes to us may get the owner's permissions back."""
    try:
        fd = os.open(name, _OPEN, dir_fd=parent_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise TargetError(f"{_shown(name)} is in the way: a symlink or no directory") from error
        if error.errno != errno.EACCES or not open_up:
            raise failure(f"directory {_shown(name)} not opened", error) from error
        fd = _open_own(parent_fd, name)
    return _Opened(fd, _has_default_acl(fd))


def _has_default_acl(fd: int) -> bool:
    if sys.platform == "darwin":
        return False
    try:
        return DEFAULT_ACL in list_xattrs(fd)
    except OSError:
        return False


def _without_acl(opened: _Opened) -> _Opened:
    """Take off what a new directory inherited, so that it passes nothing on to what is restored into it."""
    for name in list_xattrs(opened.fd):
        if name in (ACCESS_ACL, DEFAULT_ACL):
            remove_xattr(opened.fd, name)
    return _Opened(opened.fd, False)


def make_writable(fd: int) -> None:
    """Make an existing directory writable for us, where that is ours to do; where not, creating in it will say so.

    Raises TargetError.
    """
    try:
        stat = os.fstat(fd)
        if stat.st_uid == os.geteuid() and stat.st_mode & 0o700 != 0o700:
            os.fchmod(fd, modes.S_IMODE(stat.st_mode) | 0o700)
        if read_flags(fd) & FIXING_FLAGS:
            write_flags(fd, 0, FIXING_FLAGS)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED and not isinstance(error, PermissionError):
            raise failure("directory not made writable", error) from error


def _open_own(parent_fd: int, name: bytes) -> int:
    if sys.platform == "darwin":
        raise TargetError(f"directory {_shown(name)} not opened: not permitted")
    try:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            path = b"/proc/self/fd/%d" % handle
            os.chmod(path, modes.S_IMODE(os.fstat(handle).st_mode) | 0o700)
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(handle)
    except OSError as error:
        raise failure(f"directory {_shown(name)} not opened", error) from error


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
