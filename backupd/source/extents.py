"""Where a sparse file has data (docs/format.md, Entries): pairs of offset and length."""

from __future__ import annotations

import errno
import os
import struct
from bisect import bisect_right

from backupd.errors import FormatError

_PAIR = struct.Struct("<QQ")
_MOST = 65_536
_MOST_READ = 2 * _MOST
"""An unfinished file's map has pieces of what was read, so it may be longer."""
_STAT_BLOCK = 512


def may_be_sparse(stat: os.stat_result) -> bool:
    """Whether the file has fewer blocks than its size needs."""
    return stat.st_blocks * _STAT_BLOCK + 4096 <= stat.st_size


def map_extents(fd: int, size: int) -> bytes:
    """Data extents up to `size`, packed; empty when the file has no hole. The descriptor's position is lost.

    Many small holes are taken for data where the map would get longer than 65,536 extents.
    """
    pairs: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            return b""
        if start >= size:
            break
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        pairs.append((start, at - start))
    gap = 1 << 16
    while len(pairs) > _MOST:
        pairs = _close_gaps(pairs, gap)
        gap *= 4
    if pairs == [(0, size)]:
        return b""
    return pack_extents(pairs)


def pack_extents(pairs: list[tuple[int, int]]) -> bytes:
    """As entries hold (offset, length) pairs; no pairs: nothing but a hole."""
    return b"".join(_PAIR.pack(*pair) for pair in pairs) or _PAIR.pack(0, 0)


def _close_gaps(pairs: list[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    closed = [pairs[0]]
    for start, length in pairs[1:]:
        last_start, last_length = closed[-1]
        if start - last_start - last_length < gap:
            closed[-1] = (last_start, start + length - last_start)
        else:
            closed.append((start, length))
    return closed


class ExtentMap:
    """Translates offsets of the content (all data extents joined) into offsets of the file."""

    def __init__(self, packed: bytes, size: int) -> None:
        """packed: as `map_extents` gives; empty: one extent of the whole size. Raises FormatError."""
        if len(packed) % _PAIR.size or len(packed) > _MOST_READ * _PAIR.size:
            raise FormatError("a list of data extents is malformed")
        self._pairs = list(_PAIR.iter_unpack(packed)) if packed else [(0, size)]
        self._starts: list[int] = []
        total = end = 0
        for offset, length in self._pairs:
            if offset < end:
                raise FormatError("a list of data extents is out of order")
            self._starts.append(total)
            total += length
            end = offset + length
        self.content_bytes = total

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """(file offset, length) of the content from `start` to `end`, in order."""
        found: list[tuple[int, int]] = []
        at = max(0, bisect_right(self._starts, start) - 1)
        while start < end and at < len(self._pairs):
            offset, length = self._pairs[at]
            inside = start - self._starts[at]
            take = min(length - inside, end - start)
            if take > 0:
                found.append((offset + inside, take))
                start += take
            at += 1
        return found

    def content_at(self, offset: int) -> int:
        """The content offset of what lies at a file offset; in a hole, that of the next data."""
        at = bisect_right(self._pairs, (offset, 1 << 64)) - 1
        if at < 0:
            return 0
        start, length = self._pairs[at]
        return int(self._starts[at] + min(offset - start, length))

