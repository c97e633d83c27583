"""What an interrupted run has of a large file: stretches of its content, with gaps where other workers were reading.

An unfinished entry says it as a sparse file does: its extents are those parts of the data that its chunks hold.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from backupd.source.extents import ExtentMap, pack_extents


class KnownPart(msgspec.Struct, frozen=True):
    """Chunks in a row, from a content offset on."""

    start: int
    ids: bytes
    lengths: array[int]

    @property
    def end(self) -> int:
        """Content offset behind the last chunk."""
        return self.start + sum(self.lengths)


def covered(mapped: ExtentMap, parts: Iterable[tuple[int, int]]) -> bytes:
    """Extents, packed, of the content from `start` to `end` of each part; the parts are in order and do not overlap."""
    return pack_extents(_pieces(mapped, parts))


def known_parts(
    mapped: ExtentMap, found: ExtentMap, chunks: Iterable[tuple[bytes, int]]
) -> Sequence[KnownPart] | None:
    """The parts that an unfinished entry holds; None where it does not fit the file.

    mapped: the file's data now; found: the entry's extents; chunks: (id, length) in order.
    """
    parts: list[KnownPart] = []
    stream = iter(chunks)
    ranges = _ranges(mapped, found)
    if _pieces(mapped, ranges) != _pieces(found, [(0, found.content_bytes)]):
        # Its holes lie elsewhere now.
        return None
    for start, end in ranges:
        ids, lengths, at = bytearray(), array("I"), start
        while at < end:
            chunk = next(stream, None)
            if chunk is None:
                return None
            ids += chunk[0]
            lengths.append(chunk[1])
            at += chunk[1]
        if at != end:
            return None
        parts.append(KnownPart(start, bytes(ids), lengths))
    return parts if next(stream, None) is None else None


def _pieces(mapped: ExtentMap, parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """(file offset, length) of parts of the content, neighbours joined."""
    pairs: list[tuple[int, int]] = []
    for start, end in parts:
        for offset, length in mapped.pieces(start, end):
            if pairs and sum(pairs[-1]) == offset:
                pairs[-1] = (pairs[-1][0], pairs[-1][1] + length)
            else:
                pairs.append((offset, length))
    return pairs


def _ranges(mapped: ExtentMap, found: ExtentMap) -> list[tuple[int, int]]:
    """Content offsets, from and to, of what both have; neighbours are joined."""
    ranges: list[tuple[int, int]] = []
    for offset, length in found.pieces(0, found.content_bytes):
        start = mapped.content_at(offset)
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + length)
        else:
            ranges.append((start, start + length))
    return ranges
