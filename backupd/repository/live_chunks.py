"""Which chunks of the index are needed: one good copy of each is marked, a byte a chunk (DESIGN 8.3).

What is needed is counted in stored bytes by a chunk's share: its segment's stored length times its part of the plain
length (DESIGN 3).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from backupd.block.layout import BLOCK_HEADER_BYTES, DATA, FRAME_HEADER_BYTES, FRAME_PLAIN_BYTES, TRAILER_BYTES
from backupd.block.parity_layout import part_bytes
from backupd.cache.batch_lookup import look_up, segment_numbers, segments_of
from backupd.cache.index_table import IndexTable
from backupd.cache.index_tables import IndexTables
from backupd.index.columns import Flags, Numbers
from backupd.repository.grades import Grade
from backupd.seal.cipher import TAG_BYTES

_ID_BYTES = 32
_LENGTH_BYTES = 4
"""What a segment's plain bytes say of each chunk besides the chunk."""
_END_BYTES = TRAILER_BYTES + TAG_BYTES + 4
"""Trailer, and what a directory takes but for its frames."""
_BLOCK_BYTES = 32 << 20
"""Of a block by which the share of parity is reckoned."""


GradeOf = Callable[[bytes, bytes], Grade]
"""The grade of (block id, chunk id); with no chunk id that of all the block but for chunks that are bad one by one."""


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

    def __init__(self, table: IndexTable, grade_of: GradeOf, mixed: Collection[bytes]) -> None:
        self.table = table
        self.segments = segments_of(table)
        self.rows = list(table.blocks())
        self.is_marked: Flags = np.zeros(len(table), np.bool_)
        """By rank."""
        self.plain: Numbers = np.zeros(len(self.segments.block), np.int64)
        """Of each segment, how much of its plain bytes is marked."""
        self.counts: Numbers = np.zeros(len(self.segments.block), np.int64)
        self._grade_of = grade_of
        self._mixed = np.array([row.block_id in mixed for row in self.rows], np.bool_)
        self._grades = np.array([grade_of(row.block_id, b"") for row in self.rows], np.int64)
        self.is_data = np.array([row.content == DATA for row in self.rows], np.bool_)

    def grades(self, ids: bytes, numbers: Numbers, ranks: Numbers) -> Numbers:
        """Of the places of these chunks."""
        blocks = self.segments.block[segment_numbers(self.table, ranks)]
        grades = self._grades[blocks]
        for at in np.flatnonzero(self._mixed[blocks]).tolist():
            chunk = int(numbers[at]) * _ID_BYTES
            grades[at] = self._grade_of(self.rows[blocks[at]].block_id, ids[chunk : chunk + _ID_BYTES])
        return grades

    def shares(self, which: Numbers | slice) -> Numbers:
        """Stored bytes of these segments' chunks that are marked: in the end all of them."""
        segments = self.segments
        stored, plain = segments.stored_bytes[which], segments.plain_bytes[which]
        live = np.minimum(self.plain[which], plain)
        share: Numbers = stored * live // np.maximum(1, plain)
        return np.where(self.counts[which] == segments.chunks[which], stored, share)


class _Copies(NamedTuple):
    """Places of chunks in one table."""

    numbers: Numbers
    ranks: Numbers


class LiveChunks:
    """Marks over all tables of an index. Not for several threads at once."""

    def __init__(self, tables: IndexTables, grade_of: GradeOf, parity: int, mixed: Collection[bytes]) -> None:
        """grade_of: the same for a place each time. parity: percent that blocks have.

        mixed: blocks of whose chunks some have another grade than the others.
        """
        self._parity = parity
        self._tables = [_TableMarks(table, grade_of, mixed) for table in tables.tables()]
        self._blocks: set[bytes] = set()
        self._body = self._plain = self._compressed = 0

    def mark(self, ids: bytes, lengths: Sequence[int] = ()) -> bytes:
        """Mark a copy of each chunk (32 bytes an id); gives the ids of those that have none. Best thousands at once.

        lengths: plain bytes of each, 0 or none at all where that is not known: then as its segment's chunks on average.
        """
        count = len(ids) // _ID_BYTES
        known = np.array(lengths, np.int64) if lengths else np.zeros(count, np.int64)
        best: Numbers = np.full(count, Grade.GONE, np.int64)
        where: Numbers = np.full(count, -1, np.int64)
        ranks: Numbers = np.zeros(count, np.int64)
        listed: list[_Copies] = [_Copies(_NONE, _NONE)] * len(self._tables)
        pending: Numbers = np.arange(count)
        for number in reversed(range(len(self._tables))):
            if not len(pending):
                break
            found, at = look_up(self._tables[number].table, ids, pending)
            if not len(found):
                continue
            grades = self._tables[number].grades(ids, found, at)
            listed[number] = _Copies(found[grades == Grade.LISTED], at[grades == Grade.LISTED])
            is_better = grades < best[found]
            better = found[is_better]
            best[better], where[better], ranks[better] = grades[is_better], number, at[is_better]
            pending = pending[best[pending] != Grade.GOOD]
        for number, marks in enumerate(self._tables):
            here = np.flatnonzero(where == number)
            if len(here):
                self._count(marks, ranks[here], known[here])
            # Of copies that all may go none does: another cleaner would spare another one.
            others = listed[number]
            is_listed = best[others.numbers] == Grade.LISTED
            if is_listed.any():
                self._mark(marks, others.ranks[is_listed], known[others.numbers[is_listed]])
        lost: bytes = np.frombuffer(ids, np.uint8).reshape(-1, _ID_BYTES)[best == Grade.GONE].tobytes()
        return lost

    @property
    def marked(self) -> Marked:
        """How much is marked so far."""
        parity = self._body * part_bytes(_BLOCK_BYTES, self._parity) // _BLOCK_BYTES
        return Marked(self._body, parity, self._plain, self._compressed)

    def uses(self) -> dict[bytes, BlockUse]:
        """Of each block that the index names how much is needed."""
        found: dict[bytes, BlockUse] = {}
        for marks in self._tables:
            blocks, live = marks.segments.block, marks.counts > 0
            chunks = np.bincount(blocks, marks.counts, len(marks.rows)).astype(np.int64)
            segments = np.bincount(blocks[live], minlength=len(marks.rows))
            stored = np.bincount(blocks[live], marks.shares(slice(None))[live], len(marks.rows)).astype(np.int64)
            for number, row in enumerate(marks.rows):
                new = BlockUse(row.block_id, row.size_bytes, row.content, parity=self._parity)
                use = found.setdefault(row.block_id, new)
                use.live_chunks += int(chunks[number])
                use.live_segments += int(segments[number])
                use.live_stored_bytes += int(stored[number])
        return found

    def ids_in(self, block_id: bytes) -> Iterator[bytes]:
        """Ids of the marked chunks of a block, segment by segment, 32 bytes each."""
        for marks in self._tables:
            table = marks.table
            for ranks, frame in zip(table.ranks_of(block_id), table.frames_of(block_id), strict=True):
                live = marks.is_marked[ranks.start : ranks.stop]
                if live.any():
                    yield np.frombuffer(frame.ids, np.uint8).reshape(-1, _ID_BYTES)[live].tobytes()

    def _mark(self, marks: _TableMarks, ranks: Numbers, lengths: Numbers) -> tuple[Numbers, Numbers]:
        """Mark what is not marked yet; of these chunks (segments, plain bytes)."""
        is_new = ~marks.is_marked[ranks]
        ranks, first = np.unique(ranks[is_new], return_index=True)
        lengths = lengths[is_new][first]
        marks.is_marked[ranks] = True
        segments = segment_numbers(marks.table, ranks)
        whole, chunks = marks.segments.plain_bytes[segments], marks.segments.chunks[segments]
        lengths = np.where(lengths > 0, lengths, whole // np.maximum(1, chunks) - _LENGTH_BYTES)
        lengths = np.clip(lengths, 0, whole)
        np.add.at(marks.plain, segments, lengths + _LENGTH_BYTES)
        np.add.at(marks.counts, segments, 1)
        return segments, lengths

    def _count(self, marks: _TableMarks, ranks: Numbers, lengths: Numbers) -> None:
        """Mark them, and add up what that takes."""
        touched = np.unique(segment_numbers(marks.table, ranks))
        before, counts = np.where(marks.counts[touched] > 0, marks.shares(touched), 0), marks.counts[touched]
        segments, lengths = self._mark(marks, ranks, lengths)
        shares = marks.shares(touched) - before
        self._body += int(shares.sum()) + _ID_BYTES * len(segments)
        begun = int(((counts == 0) & (marks.counts[touched] > 0)).sum())
        self._body += (FRAME_HEADER_BYTES + FRAME_PLAIN_BYTES) * begun
        blocks = {marks.rows[number].block_id for number in np.unique(marks.segments.block[touched]).tolist()}
        self._body += (BLOCK_HEADER_BYTES + _END_BYTES) * len(blocks - self._blocks)
        self._blocks |= blocks
        self._plain += int(lengths[marks.is_data[marks.segments.block[segments]]].sum())
        self._compressed += int(shares[marks.is_data[marks.segments.block[touched]]].sum())


_NONE: Numbers = np.empty(0, np.int64)
