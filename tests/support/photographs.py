"""A tree as it is at one moment, so that it can be compared later: what an entry is, by its path."""

from __future__ import annotations

import os
import stat as modes
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3


class Seen(NamedTuple):
    """One entry. Of directories neither size nor bytes count."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    size: int
    digest: bytes
    """Of a file's bytes or a symlink's target."""
    attributes: bytes
    first_name: bytes
    """Of the names of a file with several, the first in order; empty for a file with one."""


Photograph = dict[bytes, Seen]
"""By path below the directory."""


def photograph(root: Path) -> Photograph:
    """Look at all below a directory, which may be absent."""
    found: Photograph = {}
    groups: dict[int, bytes] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in sorted((*folders, *files)):
            path = os.path.join(folder, name)
            found[path[len(top) + 1 :]] = _seen(path, path[len(top) + 1 :], groups)
    firsts: dict[bytes, bytes] = {}
    for path in sorted(found):
        if group := found[path].first_name:
            found[path] = found[path]._replace(first_name=firsts.setdefault(group, path))
    return found


def _seen(path: bytes, short: bytes, groups: dict[int, bytes]) -> Seen:
    stat = os.lstat(path)
    digest, size, group = b"", stat.st_size, b""
    if modes.S_ISDIR(stat.st_mode):
        size = 0
    elif modes.S_ISLNK(stat.st_mode):
        digest = os.readlink(path)
    elif modes.S_ISREG(stat.st_mode):
        with open(path, "rb") as file:
            digest = blake3(file.read()).digest()
    if not modes.S_ISDIR(stat.st_mode) and stat.st_nlink > 1:
        group = groups.setdefault(stat.st_ino, short)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    attributes = b"".join(name.encode() + os.getxattr(path, name, follow_symlinks=False) for name in names)
    return Seen(stat.st_mode, (stat.st_uid, stat.st_gid), stat.st_mtime_ns, size, digest, attributes, group)
