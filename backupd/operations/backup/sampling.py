"""How well files would shrink: a few of them, large ones more likely, a few stretches of each."""

from __future__ import annotations

import heapq
import os
from random import Random

from backupd.cache.file_cache import Row
from backupd.seal.compression import Compressor
from backupd.source import reader
from backupd.source.metadata import kept_mtime_ns
from backupd.source.user_rights import OWN_RIGHTS, SourceRights
from backupd.tree.entry import decode

_FILES = 64
_STRETCH_BYTES = 64 << 10
_USUAL = 1.0
"""Where nothing could be read."""


class Samples:
    """Chosen while a walk goes by (weighted reservoir: Efraimidis and Spirakis 2006), read afterwards."""

    def __init__(self, rights: SourceRights = OWN_RIGHTS) -> None:
        """rights: with which files are read."""
        self._rights = rights
        # The same tree gives the same figures.
        self._random = Random(1)
        self._chosen: list[tuple[float, bytes, int]] = []
        self.new_bytes = self.changed_bytes = 0

    def see(self, path: bytes, stat: os.stat_result, row: Row | None) -> None:
        """A file that would be read. row: of the last run, None where it was not there."""
        size = stat.st_size
        if not size or (row is not None and _looks_the_same(stat, row)):
            return
        if row is None:
            self.new_bytes += size
        else:
            self.changed_bytes += size
        found = (self._random.random() ** (1 / size), path, size)
        if len(self._chosen) < _FILES:
            heapq.heappush(self._chosen, found)
        elif found > self._chosen[0]:
            heapq.heapreplace(self._chosen, found)

    def ratio(self, level: str) -> float:
        """Compressed bytes per byte."""
        compressor = Compressor(level)
        plain = small = 0
        for _, path, size in self._chosen:
            for stretch in self._rights.do(_stretches, path, size):
                plain += len(stretch)
                small += len(compressor.compress(stretch)[1])
        return small / plain if plain else _USUAL


def _looks_the_same(stat: os.stat_result, row: Row) -> bool:
    """Whether it is only read because its last change was too young to be trusted."""
    before = decode(row.entry)
    return (before.size, before.mtime_ns) == (stat.st_size, kept_mtime_ns(stat))


def _stretches(path: bytes, size: int) -> list[bytes]:
    """Of its begin, middle and end; none of a file that can't be read."""
    parent, name = os.path.split(path)
    try:
        directory_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        fd, _ = reader.open_file(directory_fd, name)
        try:
            offsets = {0, max(0, size // 2), max(0, size - _STRETCH_BYTES)} if size > _STRETCH_BYTES else {0}
            return [os.pread(fd, _STRETCH_BYTES, offset) for offset in sorted(offsets)]
        finally:
            os.close(fd)
    except OSError:
        return []
    finally:
        os.close(directory_fd)
