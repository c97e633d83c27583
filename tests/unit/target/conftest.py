"""A place to restore to, and an outside that must not change."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backupd.target.directories import Directories, open_root
from backupd.target.wanted import Wanted
from backupd.tree.entry import Entry, Extra, Kind

MTIME_NS = 1_479_762_000_123_456_789


@dataclass
class Place:
    """The directory a test restores to."""

    root: Path
    outside: Path
    fd: int
    directories: Directories

    def seen(self) -> dict[bytes, tuple[object, ...]]:
        """All that can be told of the outside, inode numbers and ctime too."""
        found: dict[bytes, tuple[object, ...]] = {}
        for path, names, files, fd in os.fwalk(os.fsencode(self.outside)):
            for name in [b".", *names, *files]:
                stat = os.stat(name, dir_fd=fd, follow_symlinks=False)
                full = path + b"/" + name
                content = (
                    b""
                    if name in names or name == b"." or not os.path.isfile(full)
                    else Path(os.fsdecode(full)).read_bytes()
                )
                listed = os.listxattr(full, follow_symlinks=False) if hasattr(os, "listxattr") else []
                found[full] = (*stat[:7], stat.st_mtime_ns, stat.st_ctime_ns, content, *listed)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place, None, None]:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    (outside / "directory").mkdir(parents=True)
    (outside / "victim").write_bytes(b"untouched")
    (outside / "directory" / "file").write_bytes(b"inside")
    (outside / "symlink").symlink_to("victim")
    fd = open_root(os.fsencode(root))
    directories = Directories(fd)
    yield Place(root, outside, fd, directories)
    directories.close()
    os.close(fd)


Make = Callable[..., Wanted]


@pytest.fixture
def wanted() -> Make:
    """Makes what an entry is to have; all but the kind may be left out."""

    def make(kind: Kind = Kind.FILE, **given: object) -> Wanted:
        extra = Extra(**{key: given.pop(key) for key in ("flags", "extents", "birth_ns") if key in given})  # type: ignore[arg-type]
        owner = given.pop("owner", (os.geteuid(), os.getegid()))
        xattrs = given.pop("xattrs", [])
        fields: dict[str, object] = {
            "name": b"name",
            "mode": 0o640,
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "mtime_ns": MTIME_NS,
            "size": 0,
            "content": None,
        }
        entry = Entry(kind=kind, extra=extra, **(fields | given))  # type: ignore[arg-type]
        return Wanted(entry, xattrs, owner)  # type: ignore[arg-type]

    return make
