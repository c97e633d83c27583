"""Two trees, entry by entry: what differs, as lines. The oracle beside `rsync -aHAXn --checksum --delete`."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from backupd.inode_io import KEPT_FLAGS, read_flags

_FIELDS = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_mtime_ns")
_READ_BYTES = 1 << 20
_SLACK_BLOCKS = 256
ALL = frozenset({*_FIELDS, "size", "rdev", "content", "target", "xattrs", "flags", "links", "holes"})


class Tree:
    """All entries below a directory, found by descriptors so that paths may be longer than PATH_MAX."""

    def __init__(self, root: Path) -> None:
        self.entries: dict[bytes, os.stat_result] = {}
        self.targets: dict[bytes, bytes] = {}
        self.xattrs: dict[bytes, list[tuple[bytes, bytes]]] = {}
        self.flags: dict[bytes, int] = {}
        self._root = root
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self._add(b".", fd, b".")
        todo = [(b"", fd)]
        while todo:
            path, fd = todo.pop()
            with suppress(OSError):
                for text in os.listdir(fd):
                    name = os.fsencode(text)
                    below = path + b"/" + name if path else name
                    if modes.S_ISDIR(self._add(below, fd, name).st_mode):
                        with suppress(PermissionError):
                            todo.append((below, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)))
            os.close(fd)

    def read(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Content of a file in parts of one MiB with their number; parts of zeros and holes are passed over."""
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        for name in path.split(b"/"):
            below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        with os.fdopen(fd, "rb", buffering=0) as file:
            offset, size = 0, os.fstat(fd).st_size
            while offset < size:
                offset = _next_data(file.fileno(), offset, size) // _READ_BYTES * _READ_BYTES
                part = os.pread(file.fileno(), _READ_BYTES, offset)
                if part.strip(b"\0"):
                    yield offset // _READ_BYTES, part
                offset += _READ_BYTES

    def links(self) -> dict[bytes, frozenset[bytes]]:
        """Of each entry that shares its inode inside the tree: all names of it."""
        groups = defaultdict(set)
        for path, stat in self.entries.items():
            if stat.st_nlink > 1 and not modes.S_ISDIR(stat.st_mode):
                groups[stat.st_dev, stat.st_ino].add(path)
        return {path: frozenset(paths) for paths in groups.values() for path in paths}

    def _add(self, path: bytes, directory_fd: int, name: bytes) -> os.stat_result:
        stat = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        self.entries[path] = stat
        if modes.S_ISLNK(stat.st_mode):
            self.targets[path] = os.readlink(name, dir_fd=directory_fd)
        elif modes.S_ISREG(stat.st_mode) or modes.S_ISDIR(stat.st_mode):
            self.flags[path] = _flags(directory_fd, name)
        if hasattr(os, "listxattr"):
            self.xattrs[path] = _xattrs(b"/proc/self/fd/%d/%s" % (directory_fd, name))
        return stat


def compare_trees(a: Path, b: Path, but: frozenset[str] = frozenset()) -> list[str]:
    """What differs, a line each; nothing: the trees are equal.

    Not looked at: inode numbers, ctime, atime, and the aspects of ALL that `but` names.
    """
    one, other = Tree(a), Tree(b)
    lines = [f"{_shown(path)}: only in the first" for path in sorted(one.entries.keys() - other.entries.keys())]
    lines += [f"{_shown(path)}: only in the second" for path in sorted(other.entries.keys() - one.entries.keys())]
    links = one.links(), other.links()
    for path in sorted(one.entries.keys() & other.entries.keys()):
        for aspect, left, right in _aspects(one, other, path, links):
            if aspect not in but and left != right:
                lines.append(f"{_shown(path)}: {aspect} {left!r:.200} became {right!r:.200}")
    return lines


def _aspects(
    one: Tree, other: Tree, path: bytes, links: tuple[dict[bytes, frozenset[bytes]], dict[bytes, frozenset[bytes]]]
) -> Iterator[tuple[str, object, object]]:
    left, right = one.entries[path], other.entries[path]
    for field in _FIELDS:
        if field != "st_nlink" or not modes.S_ISDIR(left.st_mode):
            yield field, getattr(left, field), getattr(right, field)
    yield "xattrs", one.xattrs.get(path), other.xattrs.get(path)
    yield "flags", one.flags.get(path), other.flags.get(path)
    yield "links", links[0].get(path), links[1].get(path)
    yield "target", one.targets.get(path), other.targets.get(path)
    if modes.S_IFMT(left.st_mode) != modes.S_IFMT(right.st_mode):
        return
    if modes.S_ISCHR(left.st_mode) or modes.S_ISBLK(left.st_mode):
        yield "rdev", left.st_rdev, right.st_rdev
    if modes.S_ISREG(left.st_mode):
        yield "size", left.st_size, right.st_size
        if left.st_size == right.st_size:
            yield "content", None, _first_difference(one, other, path)
        if right.st_blocks > left.st_blocks + left.st_blocks // 50 + _SLACK_BLOCKS:
            yield "holes", left.st_blocks, right.st_blocks


def _first_difference(one: Tree, other: Tree, path: bytes) -> str | None:
    try:
        parts = zip_longest(one.read(path), other.read(path))
        differing = next((left or right for left, right in parts if left != right), None)
    except PermissionError:
        return None
    return None if differing is None else f"differs in MiB {differing[0]}"


def _next_data(fd: int, offset: int, size: int) -> int:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else offset


def _flags(directory_fd: int, name: bytes) -> int:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory_fd)
    except OSError:
        return 0
    try:
        return read_flags(fd) & KEPT_FLAGS
    except OSError:
        return 0
    finally:
        os.close(fd)


def _xattrs(path: bytes) -> list[tuple[bytes, bytes]]:
    try:
        names = sorted(map(os.fsencode, os.listxattr(path, follow_symlinks=False)))
    except OSError:
        return []
    found = []
    for name in names:
        with suppress(OSError):
            found.append((name, os.getxattr(path, name, follow_symlinks=False)))
    return found


def _shown(path: bytes) -> str:
    text = path.decode(errors="backslashreplace")
    return text if len(text) < 120 else f"{text[:60]}…{text[-50:]}"
