"""Which chunks of the index are needed: one good copy of each is marked, a bit a chunk (DESIGN 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum

import msgspec

from backupd.block.layout import BLOCK_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_PLAIN_BYTES, TRAILER_BYTES
from backupd.block.parity_layout import part_bytes
from backupd.cache.index_table import IndexTable, prefixes_of
from backupd.cache.index_tables import IndexTables
from backupd.seal.cipher import TAG_BYTES

_ID_BYTES = 32
_END_BYTES = TRAILER_BYTES + TAG_BYTES + 4
"""Trailer, and what a directory takes but for its frames."""


class Grade(IntEnum):
    """How good a place of a chunk is; of several copies the best one is needed, of equals the newest."""

    GOOD = 0
    RETIRED = 1
    """Whole, but stored anew elsewhere: nobody is to need it where that other copy is good."""
    LISTED = 2
    """In a list of candidates, so it may go if there is another copy."""
    DOUBTFUL = 3
    """A damage record names it. Reading still tries it."""
    LISTED_DOUBTFUL = 4
    GONE = 5
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
    """Of its segments, of each the part of its chunks that are needed: by their number."""
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


class LiveChunks:
    """Marks over all tables of an index. Not for several threads at once."""

    def __init__(self, tables: IndexTables, grade_of: GradeOf, parity: int) -> None:
        """grade_of: the same for a place each time. parity: percent that blocks have."""
        self._parity = parity
        self._tables = tables.tables()
        self._grade_of = grade_of
        self._bits = [bytearray((len(table) + 7) // 8) for table in self._tables]

    def mark(self, ids: bytes) -> bytes:
        """Mark a copy of each chunk (32 bytes an id); gives the ids of those that have none."""
        pending = list(range(len(ids) // _ID_BYTES))
        prefixes = prefixes_of(ids)
        best: dict[int, tuple[Grade, int, int]] = {}
        listed: dict[int, list[tuple[int, int]]] = {}
        for number in reversed(range(len(self._tables))):
            if not pending:
                break
            for chunk, rank in self._tables[number].hits(ids, prefixes, pending):
                grade = self._grade(self._tables[number], rank, ids[_ID_BYTES * chunk : _ID_BYTES * (chunk + 1)])
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
            for which, where in listed[chunk] if grade is Grade.LISTED else ((number, rank),):
                self._bits[which][where >> 3] |= 1 << (where & 7)
        return bytes(lost)

    def uses(self) -> dict[bytes, BlockUse]:
        """Of each block that the index names how much is needed."""
        found: dict[bytes, BlockUse] = {}
        for number, table in enumerate(self._tables):
            bits = self._bits[number]
            for row in table.blocks():
                new = BlockUse(row.block_id, row.size_bytes, row.content, parity=self._parity)
                use = found.setdefault(row.block_id, new)
                for ranks, stored_bytes in table.segments_of(row.block_id):
                    live = _count(bits, ranks)
                    if live:
                        use.live_chunks += live
                        use.live_segments += 1
                        use.live_stored_bytes += stored_bytes * live // len(ranks)
        return found

    def ids_in(self, block_id: bytes) -> Iterator[bytes]:
        """Ids of the marked chunks of a block, segment by segment, 32 bytes each."""
        for number, table in enumerate(self._tables):
            bits = self._bits[number]
            for ranks, frame in zip(table.ranks_of(block_id), table.frames_of(block_id), strict=True):
                live = [
                    frame.ids[_ID_BYTES * at : _ID_BYTES * (at + 1)]
                    for at, rank in enumerate(ranks)
                    if bits[rank >> 3] >> (rank & 7) & 1
                ]
                if live:
                    yield b"".join(live)

    def _grade(self, table: IndexTable, rank: int, chunk_id: bytes) -> Grade:
        return self._grade_of(table.place(rank).block_id, chunk_id)


def _count(bits: bytearray, ranks: range) -> int:
    """Bits that are set in a range of ranks."""
    start, end = ranks.start, ranks.stop
    window = int.from_bytes(bits[start >> 3 : (end + 7) >> 3], "little") >> (start & 7)
    return (window & ((1 << (end - start)) - 1)).bit_count()
