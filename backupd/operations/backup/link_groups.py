"""The 16 bytes that all names of one inode share in a snapshot, and no other inode's (docs/format.md, Entries)."""

from __future__ import annotations

import os

from blake3 import blake3

from backupd.cache.file_cache import FileCache
from backupd.tree import entry as entries

_DOMAIN = b"backupd link"


class LinkGroups:
    """Of one walk. A group is made of the first path met, so equal trees give equal snapshots, moved ones too.

    A cached entry bears the group of an earlier walk, whose first path may be another now, or another file's: who comes
    first in this walk decides, and no group is given to two inodes.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], bytes] = {}
        self._inodes: dict[bytes, tuple[int, int]] = {}
        self.has_new = False
        """Whether a group was given that no cached entry had: its other names may lie where nobody looked."""

    def group(self, stat: os.stat_result, path: bytes) -> bytes | None:
        """The group of a file; None: it has one name only."""
        if stat.st_nlink < 2:
            return None
        inode = (stat.st_dev, stat.st_ino)
        found = self._groups.get(inode)
        if found is None:
            found = blake3(_DOMAIN + path).digest(16)
            while self._inodes.setdefault(found, inode) != inode:
                found = blake3(_DOMAIN + found).digest(16)
            self._groups[inode], self.has_new = found, True
        return found

    def adopt(self, stat: os.stat_result, encoded: bytes) -> bool:
        """Whether the group in a cached entry is the file's in this walk; it becomes that if none is given yet."""
        if stat.st_nlink < 2:
            return True
        extra = entries.decode(encoded).extra
        cached = extra.hard_link if extra is not None else None
        if cached is None:
            return False
        inode = (stat.st_dev, stat.st_ino)
        if inode not in self._groups and self._inodes.setdefault(cached, inode) == inode:
            self._groups[inode] = cached
        return self._groups.get(inode) == cached


def has_links(entry: bytes, cache: FileCache | None, path: bytes) -> bool:
    """Whether what is gone had a file with other names, which may lie where nobody looks."""
    if cache is None:
        extra = entries.decode(entry).extra
        return extra is not None and extra.hard_link is not None
    directories = [found for one in (path, *cache.below(path)) if (found := cache.directory(one)) is not None]
    return any(
        has_links(row.entry, None, b"")
        for directory in directories
        for piece in directory.pieces
        for row in cache.rows(piece)
        if row.entry
    )
