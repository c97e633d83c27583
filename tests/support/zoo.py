"""The fidelity zoo: one entry of every kind a Unix tree can hold (RELIABILITY F1), as far as this user can make it."""

from __future__ import annotations

import os
import socket
import stat as modes
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from backupd.inode_io import FIXING_FLAGS, LINUX_FLAGS, read_flags, write_flags

T = TypeVar("T")
SECOND = 1_000_000_000
MTIME_NS = 1_478_059_999 * SECOND + 123_456_789

NAMES: dict[str, bytes] = {
    "255 bytes": b"n" * 255,
    "255 bytes of umlauts": "ü".encode() * 127 + b"x",
    "not UTF-8": b"\xff\xfe",
    "latin 1": b"caf\xe9",
    "surrogate": b"\xed\xa0\x80",
    "newline": b"two\nlines",
    "carriage return": b"a\rb",
    "tab": b"a\tb",
    "escape": b"\x1b[31mred",
    "bell": b"\x07",
    "delete": b"\x7f",
    "composed": "\u00e9".encode(),
    "decomposed": "e\u0301".encode(),
    "right to left": "\u202eexe.txt".encode(),
    "emoji": "\U0001f9a4".encode(),
    "leading dash": b"-rf",
    "leading dot": b".hidden",
    "three dots": b"...",
    "trailing dot": b"end.",
    "leading space": b" lead",
    "trailing space": b"trail ",
    "one space": b" ",
    "star": b"*",
    "question mark": b"?",
    "brackets": b"[a-z]",
    "backslash": b"back\\slash",
    "double quote": b'"',
    "single quote": b"'",
    "dollar": b"$(touch x)",
    "backtick": b"`id`",
    "semicolon": b"a;b",
    "pipe": b"a|b",
    "colon": b"C:",
    "hash": b"#",
    "tilde": b"~",
    "percent": b"%s%n",
    "DOS device": b"CON",
    "upper case": b"CASE",
    "lower case": b"case",
    "like a temporary one": b".bkrestore-0123456789abcdef",
}
TIMES: dict[str, int] = {
    "one nanosecond": MTIME_NS // SECOND * SECOND + 1,
    "last nanosecond": MTIME_NS // SECOND * SECOND + 999_999_999,
    "whole second": MTIME_NS // SECOND * SECOND,
    "zero": 0,
    "before 1970": -1 * SECOND + 5,
    "1912": -1_830_384_000 * SECOND + 500_000_001,
    "2038": 2**31 * SECOND + 7,
    "2106": 2**32 * SECOND + 7,
    "2300": 10_413_792_000 * SECOND + 7,
}
MODES = (0o000, 0o111, 0o400, 0o444, 0o644, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777)
OWNERS = {"nobody": (65534, 65534), "no name": (1234567, 7654321), "2^32 - 2": (2**32 - 2, 2**32 - 2), "group": (0, 5)}
FLAG_NAMES = ("immutable", "append", "nodump", "noatime", "sync", "compr")
_ACL_HEADER = struct.pack("<I", 2)
_NO_ID = 0xFFFF_FFFF
_CAPABILITY = struct.pack("<IIIII", 0x0200_0001, 1 << 13, 0, 0, 0)


@dataclass
class Zoo:
    """What was made."""

    root: Path
    made: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """What this user, file system or platform can't hold -> why."""

    def path(self, name: str) -> Path:
        """Path of one of the named entries below the root."""
        return self.root / name

    def release(self) -> None:
        """Take off the flags that would keep the tree from being deleted."""
        for name in FLAG_NAMES[:2]:
            for place in (self.root / "flags" / f"file-{name}", self.root / "flags" / f"dir-{name}"):
                if place.exists():
                    _with_fd(place, lambda fd: write_flags(fd, 0, FIXING_FLAGS))


def build_zoo(root: Path) -> Zoo:
    """Make the zoo below `root`, which must not exist. Nothing in it is a moving target: all times are set."""
    root.mkdir()
    zoo = Zoo(root)
    for build in (
        _contents,
        _sparse,
        _names,
        _times,
        _modes,
        _owners,
        _symlinks,
        _nodes,
        _links,
        _xattrs,
        _acls,
        _deep,
    ):
        build(zoo)
    _settle_times(zoo)
    _flags(zoo)
    return zoo


def _add(zoo: Zoo, what: str, make: Callable[..., object], *arguments: object, **options: bool) -> None:
    try:
        make(*arguments, **options)
    except (OSError, AttributeError) as error:
        zoo.absent[what] = str(error)
    else:
        zoo.made.append(what)


def _file(path: Path | bytes, data: bytes = b"some bytes") -> None:
    with open(path, "wb") as file:
        file.write(data)


def _contents(zoo: Zoo) -> None:
    room = _room(zoo, "contents")
    for size in (0, 1, 511, 4096, 65_537, 1_300_000):
        _add(zoo, f"{size} bytes", _file, room / f"{size}", bytes(i * i % 251 for i in range(size)))
    _add(zoo, "all zeros, no hole", _file, room / "zeros", bytes(300_000))
    _add(zoo, "empty directory", (room / "empty").mkdir)


def _sparse(zoo: Zoo) -> None:
    room = _room(zoo, "sparse")
    mib = 1 << 20
    layouts = {
        "leading hole": (8 * mib, [(7 * mib, mib)]),
        "middle hole": (8 * mib, [(0, mib), (7 * mib, mib)]),
        "trailing hole": (8 * mib, [(0, mib)]),
        "all hole": (8 * mib, []),
        "many holes": (32 * mib, [(i * mib, 65_536) for i in range(0, 32, 2)]),
        "hole with odd end": (5 * mib + 13, [(0, 4097)]),
        "1 TiB hole": (1 << 40, [(1 << 39, 4096)]),
    }
    for what, (size, extents) in layouts.items():
        _add(zoo, what, _holes, room / what, size, extents)


def _holes(path: Path, size: int, extents: list[tuple[int, int]]) -> None:
    with path.open("wb") as file:
        for offset, length in extents:
            os.pwrite(file.fileno(), b"\x5a" * length, offset)
        file.truncate(size)


def _names(zoo: Zoo) -> None:
    room = os.fsencode(_room(zoo, "names"))
    for what, name in NAMES.items():
        _add(zoo, f"name: {what}", _file, room + b"/" + name, name)
    _add(zoo, "directory name not UTF-8", os.mkdir, room + b"/dir\xff")
    _add(zoo, "file in it", _file, room + b"/dir\xff/\xfe")


def _times(zoo: Zoo) -> None:
    room = _room(zoo, "times")
    for what in TIMES:
        _add(zoo, f"time: {what}", _file, room / what)
    _add(zoo, "directory with a time", (room / "directory").mkdir)


def _modes(zoo: Zoo) -> None:
    room = _room(zoo, "modes")
    for mode in MODES:
        _add(zoo, f"mode {mode:04o}", _file_of_mode, room / f"{mode:04o}", mode)
    for mode in (0o500, 0o555, 0o1777, 0o2770, 0o700):
        _add(zoo, f"directory {mode:04o}", _closed_directory, room / f"dir{mode:04o}", mode)


def _file_of_mode(path: Path, mode: int) -> None:
    _file(path)
    path.chmod(mode)


def _closed_directory(path: Path, mode: int) -> None:
    path.mkdir()
    _file(path / "inside")
    path.chmod(mode)


def _owners(zoo: Zoo) -> None:
    room = _room(zoo, "owners")
    for what, (uid, gid) in OWNERS.items():
        _add(zoo, f"owner {what}", _owned, room / what, uid, gid)
    _add(zoo, "set-user-id of another", _owned, room / "setuid", 1, 1, 0o6755)


def _owned(path: Path, uid: int, gid: int, mode: int = 0o644) -> None:
    _file(path)
    try:
        os.chown(path, uid, gid)
        path.chmod(mode)
    except OSError:
        path.unlink()
        raise


def _symlinks(zoo: Zoo) -> None:
    room = _room(zoo, "symlinks")
    targets: dict[str, str | bytes] = {
        "to file": "../contents/1",
        "to directory": "../contents/empty",
        "dangling": "nowhere",
        "absolute": "/etc/hostname",
        "to parent": "..",
        "to itself": "to itself",
        "not UTF-8": b"\xff\xfe",
        "with newline": "a\nb",
        "4095 bytes": "x/" * 2047 + "y",
    }
    for what, target in targets.items():
        place = os.fsencode(room / what)
        _add(zoo, f"symlink {what}", os.symlink, os.fsencode(target), place)
    _add(zoo, "symlink of another owner", _owned_symlink, room / "owned")


def _owned_symlink(path: Path) -> None:
    path.symlink_to("somewhere")
    try:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    except OSError:
        path.unlink()
        raise


def _nodes(zoo: Zoo) -> None:
    room = _room(zoo, "nodes")
    _add(zoo, "FIFO", os.mkfifo, room / "fifo", 0o640)
    _add(zoo, "socket", _socket, room / "socket")
    _add(zoo, "character device", os.mknod, room / "null", modes.S_IFCHR | 0o660, os.makedev(1, 3))
    _add(zoo, "block device", os.mknod, room / "loop", modes.S_IFBLK | 0o600, os.makedev(7, 200))
    _add(zoo, "large device numbers", os.mknod, room / "large", modes.S_IFCHR | 0o600, os.makedev(511, 70_000))


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}" if Path("/proc/self/fd").exists() else str(path))
    finally:
        os.close(here)


def _links(zoo: Zoo) -> None:
    room = _room(zoo, "links")
    (room / "below").mkdir()
    _file(room / "first", b"shared")
    _add(zoo, "hard link", os.link, room / "first", room / "second")
    _add(zoo, "hard link in another directory", os.link, room / "first", room / "below" / "third")
    (room / "symlink").symlink_to("first")
    _add(zoo, "hard link to a symlink", os.link, room / "symlink", room / "below" / "same", follow_symlinks=False)
    os.mkfifo(room / "fifo")
    _add(zoo, "hard link to a FIFO", os.link, room / "fifo", room / "below" / "fifo")
    (room / "empty").touch()
    _add(zoo, "hard link to an empty file", os.link, room / "empty", room / "below" / "empty")


def _xattrs(zoo: Zoo) -> None:
    room = _room(zoo, "xattrs")
    values = {
        "user.short": b"value",
        "user.empty": b"",
        "user.binary": bytes(range(256)),
        "user.600": b"v" * 600,
        "user.long": b"w" * 3000,
        "user.64k": b"z" * 65_000,
        "trusted.mine": b"of root",
        "security.backupd": b"label",
    }
    for name, value in values.items():
        _add(zoo, f"xattr {name}", _file_with, room / name, name, value)
    _add(zoo, "capability", _file_with, room / "capability", "security.capability", _CAPABILITY)
    _add(zoo, "xattr with odd name", _file_with, room / "odd", b"user.\xff n\n", b"1")
    _add(zoo, "several xattrs", _file_with_several, room / "several")
    _add(zoo, "xattr of a directory", _directory_with, room / "directory", "user.of.directory")
    for what, make in {"symlink": partial(os.symlink, "x"), "fifo": os.mkfifo}.items():
        _add(zoo, f"xattr of a {what}", _node_with, room / what, make)


def _file_with(path: Path, name: str | bytes, value: bytes) -> None:
    _file(path)
    try:
        os.setxattr(path, name, value)
    except OSError:
        path.unlink()
        raise


def _file_with_several(path: Path) -> None:
    for number in range(9):
        _file_with(path, f"user.{number}", b"%d" % number)


def _directory_with(path: Path, name: str) -> None:
    path.mkdir()
    os.setxattr(path, name, b"1")


def _node_with(path: Path, make: Callable[[Path], object]) -> None:
    make(path)
    try:
        os.setxattr(path, "trusted.node", b"1", follow_symlinks=False)
    except OSError:
        path.unlink()
        raise


def acl(*lines: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as its extended attribute; lines: (tag, permissions, id)."""
    return _ACL_HEADER + b"".join(struct.pack("<HHI", *line) for line in lines)


ACL = acl((1, 6, _NO_ID), (2, 7, 1234), (4, 4, _NO_ID), (8, 5, 4321), (16, 7, _NO_ID), (32, 0, _NO_ID))


def _acls(zoo: Zoo) -> None:
    room = _room(zoo, "acls")
    _add(zoo, "access ACL", _file_with, room / "file", "system.posix_acl_access", ACL)
    (room / "dir").mkdir()
    _add(zoo, "default ACL", os.setxattr, room / "dir", "system.posix_acl_default", ACL)
    _add(zoo, "inherited ACL", _file, room / "dir" / "inherits")
    _add(zoo, "none below a default ACL", _file_without_acl, room / "dir" / "plain")


def _file_without_acl(path: Path) -> None:
    _file(path)
    os.removexattr(path, "system.posix_acl_access")
    path.chmod(0o604)


def _deep(zoo: Zoo) -> None:
    _add(zoo, "deeper than PATH_MAX", _go_deep, _room(zoo, "deep"), 60)


def _go_deep(room: Path, levels: int) -> None:
    fd = os.open(room, os.O_RDONLY | os.O_DIRECTORY)
    for level in range(levels):
        name = f"{level:03}-" + "d" * 96
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=fd))
    os.close(fd)


def _settle_times(zoo: Zoo) -> None:
    """Give all a time of its own, those of TIMES theirs, directories after what is in them."""
    number = 0
    for path, names, files, fd in os.fwalk(os.fsencode(zoo.root), topdown=False):
        is_times = path.endswith(b"/times")
        for name in [*names, *files]:
            number += 1
            wanted = TIMES.get(os.fsdecode(name), MTIME_NS) if is_times else MTIME_NS + number * 1_000_003
            os.utime(name, ns=(wanted, wanted), dir_fd=fd, follow_symlinks=False)
    os.utime(zoo.root, ns=(MTIME_NS, MTIME_NS))


def _flags(zoo: Zoo) -> None:
    """Last, for nothing below the directory can be changed any more."""
    room = _room(zoo, "flags")
    for name in FLAG_NAMES:
        for kind in ("file", "dir"):
            _add(zoo, f"{kind} with flag {name}", _flagged, room, name, kind)


def _flagged(room: Path, name: str, kind: str) -> None:
    path = room / f"{kind}-{name}"
    if kind == "file":
        _file(path)
    else:
        path.mkdir()
        _file(path / "inside")
    try:
        _with_fd(path, lambda fd: write_flags(fd, LINUX_FLAGS[name], LINUX_FLAGS[name]))
        if not _with_fd(path, read_flags) & LINUX_FLAGS[name]:
            raise OSError(f"flag {name} did not stay")
    except OSError:
        if kind == "file":
            path.unlink()
        raise


def _with_fd(path: Path, use: Callable[[int], T]) -> T:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return use(fd)
    finally:
        os.close(fd)


def _room(zoo: Zoo, name: str) -> Path:
    path = zoo.root / name
    path.mkdir()
    return path
