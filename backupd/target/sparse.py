"""Where the content of a sparse file goes: data extents in order, holes between them. Pure."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator

from backupd.errors import TargetError

_PAIR = struct.Struct("<QQ")
_MOST = 131_072
_ALL_HOLE = _PAIR.pack(0, 0)
"""What a file without any data has in the place of no extents, which would mean: all of it is data."""


class Extents:
    """The data extents of one file of `size` bytes; content is their concatenation (tree.entry, Extra.extents)."""

    def __init__(self, data: bytes, size: int) -> None:
        """Raises TargetError when they overlap, are out of order or reach beyond the size."""
        self._places: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self.content_bytes = 0
        end = 0
        if len(data) % _PAIR.size or len(data) > _MOST * _PAIR.size:
            raise TargetError("its list of data extents is malformed")
        for offset, length in _PAIR.iter_unpack(data if data != _ALL_HOLE else b""):
            if offset < end or not length or offset + length > size:
                raise TargetError("its data extents contradict its size or each other")
            self._places.append((offset, length))
            self._starts.append(self.content_bytes)
            self.content_bytes += length
            end = offset + length

    def pieces(self, start: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Where a stretch of content goes: (offset in the file, offset in the stretch, length), in order.

        Raises TargetError when the stretch is not inside the content.
        """
        if start < 0 or length < 0 or start + length > self.content_bytes:
            raise TargetError("its content is longer than its data extents")
        index = bisect_right(self._starts, start) - 1
        done = 0
        while done < length:
            offset, extent = self._places[index]
            inside = start + done - self._starts[index]
            step = min(extent - inside, length - done)
            yield offset + inside, done, step
            done += step
            index += 1
