"""Which chunks of the index are needed: one good copy of each is marked, a bit a chunk (DESIGN 8.3).

What is needed is counted in stored bytes by a chunk's share: its segment's stored length times its part of the plain
length (DESIGN 3).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum

import msgspec

from backupd.block.layout import BLOCK_HEADER_BYTES, DATA, FRAME_HEADER_BYTES, FRAME_PLAIN_BYTES, TRAILER_BYTES
from backupd.block.parity_layout import part_bytes
from backupd.cache.index_table import IndexTable, SegmentRow, prefixes_of
from backupd.cache.index_tables import IndexTables
from backupd.seal.cipher import TAG_BYTES

_ID_BYTES = 32
_LENGTH_BYTES = 4
"""What a segment's plain bytes say of each chunk besides the chunk."""
_END_BYTES = TRAILER_BYTES + TAG_BYTES + 4
"""Trailer, and what a directory takes but for its frames."""
_BLOCK_BYTES = 32 << 20
"""Of a block by which the share of parity is reckoned."""


class Grade(IntEnum):
    """How good a place of a chunk is; of several copies the best one is needed, of equals the newest."""

    GOOD = 0
    LISTED = 1
    """In a list of candidates, so it may go if there is another copy."""
    DOUBTFUL = 2
    """A damage record names it. Reading still tries it."""
    LISTED_DOUBTFUL = 3
    GONE = 4
    """Not there, or given free for good."""


GradeOf = Callable[[bytes, bytes], Grade]
"""The grade of (block id, chunk id)."""


class BlockUse(msgspec.Struct):
    """How much of a block is needed."""

    block_id: bytes
    size_bytes: int
    content: int
    live_chunks: int = 0
    live_segments: int = 0
    live_stored_bytes: int = 0
    """Shares of its chunks that are needed."""
    parity: int = 0
    """Percent."""

    @property
    def live_bytes(self) -> int:
        """What a block with just that would take; 0 where nothing is needed."""
        if not self.live_chunks:
            return 0
        directory = self.live_segments * FRAME_PLAIN_BYTES + _ID_BYTES * self.live_chunks
        own = BLOCK_HEADER_BYTES + self.live_segments * FRAME_HEADER_BYTES + directory + _END_BYTES
        body = self.live_stored_bytes + own
        return min(self.size_bytes, body + part_bytes(body, self.parity))


class Marked(msgspec.Struct, frozen=True):
    """How much is marked. Two of them have a difference: what was marked between the one and the other."""

    body_bytes: int = 0
    """What blocks with just that would take but for parity."""
    parity_bytes: int = 0
    plain_bytes: int = 0
    """Of chunks of files, each once."""
    compressed_bytes: int = 0
    """Stored shares of these."""

    @property
    def stored_bytes(self) -> int:
        """What it takes at the destination, with trees and all that blocks have besides."""
        return self.body_bytes + self.parity_bytes

    def __sub__(self, other: Marked) -> Marked:
        """What was marked since the other."""
        return Marked(*(getattr(self, name) - getattr(other, name) for name in self.__struct_fields__))

    def __add__(self, other: Marked) -> Marked:
        """Both together."""
        return Marked(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class _TableMarks:
    """Of one table."""

    def __init__(self, table: IndexTable) -> None:
        self.table = table
        self.bits = bytearray((len(table) + 7) // 8)
        self.plain = array("I", bytes(4 * table.segment_count))
        """Of each segment, how much of its plain bytes is marked."""
        self.counts = array("H", bytes(2 * table.segment_count))
        self.content = {row.block_id: row.content for row in table.blocks()}

    def share(self, segment: SegmentRow) -> int:
        """Stored bytes of a segment's chunks that are marked: in the end all of them."""
        if self.counts[segment.number] == len(segment.ranks):
            return segment.stored_bytes
        live = min(self.plain[segment.number], segment.plain_bytes)
        return segment.stored_bytes * live // max(1, segment.plain_bytes)


class LiveChunks:
    """Marks over all tables of an index. Not for several threads at once."""

    def __init__(self, tables: IndexTables, grade_of: GradeOf, parity: int) -> None:
        """grade_of: the same for a place each time. parity: percent that blocks have."""
        self._parity = parity
        self._tables = [_TableMarks(table) for table in tables.tables()]
        self._grade_of = grade_of
        self._blocks: set[bytes] = set()
        self._body = self._plain = self._compressed = 0

    def mark(self, ids: bytes, lengths: Sequence[int] = ()) -> bytes:
        """Mark a copy of each chunk (32 bytes an id); gives the ids of those that have none.

        lengths: plain bytes of each, 0 or left out where that is not known: then as its segment's chunks on average.
        """
        pending = list(range(len(ids) // _ID_BYTES))
        prefixes = prefixes_of(ids)
        best: dict[int, tuple[Grade, int, int]] = {}
        listed: dict[int, list[tuple[int, int]]] = {}
        for number in reversed(range(len(self._tables))):
            if not pending:
                break
            table = self._tables[number].table
            for chunk, rank in table.hits(ids, prefixes, pending):
                grade = self._grade(table, rank, ids[_ID_BYTES * chunk : _ID_BYTES * (chunk + 1)])
                if grade is Grade.LISTED:
                    listed.setdefault(chunk, []).append((number, rank))
                if chunk not in best or grade < best[chunk][0]:
                    best[chunk] = (grade, number, rank)
            pending = [chunk for chunk in pending if chunk not in best or best[chunk][0] is not Grade.GOOD]
        lost = bytearray()
        for chunk in range(len(prefixes)):
            grade, number, rank = best.get(chunk, (Grade.GONE, 0, 0))
            if grade is Grade.GONE:
                lost += ids[_ID_BYTES * chunk : _ID_BYTES * (chunk + 1)]
                continue
            # Of copies that all may go none does: another cleaner would spare another one.
            copies = listed[chunk] if grade is Grade.LISTED else [(number, rank)]
            for at, (which, where) in enumerate(copies):
                length = lengths[chunk] if chunk < len(lengths) else 0
                self._mark_one(self._tables[which], where, length, is_counted=at == 0)
        return bytes(lost)

    @property
    def marked(self) -> Marked:
        """How much is marked so far."""
        parity = self._body * part_bytes(_BLOCK_BYTES, self._parity) // _BLOCK_BYTES
        return Marked(self._body, parity, self._plain, self._compressed)

    def uses(self) -> dict[bytes, BlockUse]:
        """Of each block that the index names how much is needed."""
        found: dict[bytes, BlockUse] = {}
        for marks in self._tables:
            for row in marks.table.blocks():
                new = BlockUse(row.block_id, row.size_bytes, row.content, parity=self._parity)
                use = found.setdefault(row.block_id, new)
                for segment in marks.table.segments_of(row.block_id):
                    live = marks.counts[segment.number]
                    if live:
                        use.live_chunks += live
                        use.live_segments += 1
                        use.live_stored_bytes += marks.share(segment)
        return found

    def ids_in(self, block_id: bytes) -> Iterator[bytes]:
        """Ids of the marked chunks of a block, segment by segment, 32 bytes each."""
        for marks in self._tables:
            bits, table = marks.bits, marks.table
            for ranks, frame in zip(table.ranks_of(block_id), table.frames_of(block_id), strict=True):
                live = [
                    frame.ids[_ID_BYTES * at : _ID_BYTES * (at + 1)]
                    for at, rank in enumerate(ranks)
                    if bits[rank >> 3] >> (rank & 7) & 1
                ]
                if live:
                    yield b"".join(live)

    def _mark_one(self, marks: _TableMarks, rank: int, length: int, *, is_counted: bool) -> None:
        if marks.bits[rank >> 3] >> (rank & 7) & 1:
            return
        marks.bits[rank >> 3] |= 1 << (rank & 7)
        segment = marks.table.segment_of(rank)
        number = segment.number
        before = marks.share(segment) if marks.counts[number] else 0
        most = segment.plain_bytes - marks.plain[number]
        plain = length or segment.plain_bytes // max(1, len(segment.ranks)) - _LENGTH_BYTES
        marks.plain[number] += max(0, min(plain + _LENGTH_BYTES, most))
        marks.counts[number] += 1
        if not is_counted:
            return
        share = marks.share(segment) - before
        self._body += share + _ID_BYTES
        if marks.counts[number] == 1:
            self._body += FRAME_HEADER_BYTES + FRAME_PLAIN_BYTES
        block_id = marks.table.place(rank).block_id
        if block_id not in self._blocks:
            self._blocks.add(block_id)
            self._body += BLOCK_HEADER_BYTES + _END_BYTES
        if marks.content[block_id] == DATA:
            self._plain += max(0, min(plain, segment.plain_bytes))
            self._compressed += share

    def _grade(self, table: IndexTable, rank: int, chunk_id: bytes) -> Grade:
        return self._grade_of(table.place(rank).block_id, chunk_id)
