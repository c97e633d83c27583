"""The local look-up table of one index object: memory-mapped, about 15 bytes a chunk resident.

Full ids are read by pread, only to verify a hit, a window at a time: one read serves the neighbours in the same
segment too.
"""

from __future__ import annotations

import mmap
import os
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from itertools import groupby, islice
from typing import NamedTuple

import msgspec
from blake3 import blake3

from backupd.cache.table_file import BLOCK, HEADER_BYTES, Notes, TableShape, read_header, table_path
from backupd.errors import StateError
from backupd.index.layout import ID_BYTES, BlockRow
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_WINDOW_RANKS = 128
_KEPT_WINDOWS = 64
OUTSIDE = (IndexError, ValueError)
"""What numbers that lead outside of the table end in."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a chunk lies."""

    block_id: bytes
    offset: int
    """Of the frame header in the block."""
    stored_bytes: int
    """Of the whole segment, sealed."""
    plain_bytes: int
    """Of the whole segment."""
    position: int
    """Of the chunk in the segment."""


class IndexedFrame(NamedTuple):
    """A segment of a block as an index object names it."""

    offset: int
    """Of the frame header in the block."""
    stored_bytes: int
    plain_bytes: int
    positions: list[int]
    """Of the chunks that the index names there: all of the segment's, or those that no earlier place has."""
    ids: bytes
    """32 bytes each, in the order of `positions`."""


class Columns(NamedTuple):
    """The sections of a table that are looked up in; see `table_file`."""

    prefixes: memoryview
    ranks: memoryview
    firsts: memoryview
    segments: memoryview


class IndexTable:
    """Looks chunks up in one index object. Not for several threads at once.

    Methods that look into the file raise StateError where its disk fails, or the file leads outside of what it holds:
    then it is removed, to be made anew.
    """

    def __init__(self, name: str, path: str, fd: int, shape: TableShape) -> None:
        """Use `open_table`; takes over fd."""
        self.name, self._path = name, path
        self._fd = fd
        self._shape = shape
        prefixes, fan, ranks, firsts, segments, positions, blocks, notes, ids = shape.sections()
        self._map = mmap.mmap(fd, notes.end, access=mmap.ACCESS_READ)
        self._whole = memoryview(self._map)
        self._prefixes = self._whole[prefixes.start : prefixes.end].cast("Q")
        self._fan = self._whole[fan.start : fan.end].cast("I")
        self._ranks = self._whole[ranks.start : ranks.end].cast("I")
        self._firsts = self._whole[firsts.start : firsts.end].cast("I")
        self._segments = self._whole[segments.start : segments.end].cast("I")
        self._positions = self._whole[positions.start : positions.end].cast("H")
        self._blocks_start = blocks.start
        self._ids_start = ids.start
        self._windows: dict[int, bytes] = {}
        self._block_runs: dict[bytes, list[range]] = {}
        self._run_start = self._run_end = 0
        self._run: tuple[bytes, int, int, int] = (b"", 0, 0, 0)
        said = msgspec.msgpack.decode(self._map[notes.start : notes.start + shape.notes_bytes], type=Notes)
        self.replaces = said.replaces
        """Names of the index objects that this one replaces."""
        self.generation = said.generation

    def __len__(self) -> int:
        return self._shape.chunks

    def close(self) -> None:
        """Give the file and its memory back."""
        views = (self._prefixes, self._fan, self._ranks, self._firsts, self._segments, self._positions, self._whole)
        for view in views:
            view.release()
        self._map.close()
        os.close(self._fd)

    def hits(self, ids: bytes, prefixes: array[int], wanted: Iterable[int]) -> list[tuple[int, int]]:
        """(number, rank) of each chunk found here.

        ids: 32 bytes a chunk. prefixes: `prefixes_of(ids)`. wanted: numbers of the chunks to look up.
        """
        try:
            return self._hits(ids, prefixes, wanted)
        except OUTSIDE as error:
            raise self.distrusted() from error

    def _hits(self, ids: bytes, prefixes: array[int], wanted: Iterable[int]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        column, fan, shift = self._prefixes, self._fan, 64 - self._shape.fan_bits
        ranks, stored_id = self._ranks, self._id
        for number in wanted:
            prefix = prefixes[number]
            upper = prefix >> shift
            end = fan[upper + 1]
            row = bisect_left(column, prefix, fan[upper], end)
            while row < end and column[row] == prefix:
                rank = ranks[row]
                if stored_id(rank) == ids[number * ID_BYTES : (number + 1) * ID_BYTES]:
                    found.append((number, rank))
                    break
                row += 1
        return found

    def place(self, rank: int) -> Place:
        """Where the chunk of that rank lies."""
        try:
            if not self._run_start <= rank < self._run_end:
                self._enter_run(rank)
            return Place(*self._run, self._positions[rank])
        except OUTSIDE as error:
            raise self.distrusted() from error

    def blocks(self) -> Iterator[BlockRow]:
        """The blocks that the index object names."""
        end = self._blocks_start + BLOCK.size * self._shape.blocks
        for row in BLOCK.iter_unpack(self._map[self._blocks_start : end]):
            yield BlockRow(*row)

    def entries(self) -> Iterator[tuple[bytes, Place]]:
        """Every chunk and its place, in the order of ids; those of one prefix in any order."""
        for rank in islice(self._ranks, self._shape.chunks):
            yield self._id(rank), self.place(rank)

    def ranks_of(self, block_id: bytes) -> list[range]:
        """Ranks of the chunks of a block, segment by segment; none of a block that the index object does not name."""
        firsts = self._firsts
        try:
            runs = self._runs().get(block_id, ())
            return [range(firsts[segment], firsts[segment + 1]) for run in runs for segment in run]
        except OUTSIDE as error:
            raise self.distrusted() from error

    @property
    def columns(self) -> Columns:
        """What is searched. Nothing may keep them longer than the table is open."""
        return Columns(self._prefixes, self._ranks, self._firsts, self._segments)

    @property
    def segment_count(self) -> int:
        """Of the whole index object."""
        return self._shape.segments

    def ids_from(self, rank: int, count: int) -> bytes:
        """Ids of the chunks of that rank and the following ones, 32 bytes each."""
        return self._read(ID_BYTES * count, self._ids_start + ID_BYTES * rank)

    def share_in(self, blocks: Set[bytes]) -> float:
        """The part of the segments that lies in these blocks, 0 to 1."""
        inside = sum(len(run) for row in self.blocks() if row.block_id in blocks for run in self._runs()[row.block_id])
        return inside / max(1, self._shape.segments)

    def frames_of(self, block_id: bytes) -> list[IndexedFrame]:
        """What the index object says of a block; nothing of one that it does not name."""
        try:
            return self._frames_of(block_id)
        except OUTSIDE as error:
            raise self.distrusted() from error

    def _frames_of(self, block_id: bytes) -> list[IndexedFrame]:
        frames: list[IndexedFrame] = []
        for segment in (number for run in self._runs().get(block_id, ()) for number in run):
            start, end = self._firsts[segment], self._firsts[segment + 1]
            if not start <= end <= self._shape.chunks:
                raise IndexError(segment)
            _, offset, stored_bytes, plain_bytes = self._segments[4 * segment : 4 * segment + 4]
            ids = self.ids_from(start, end - start)
            positions = self._positions[start:end].tolist()
            frames.append(IndexedFrame(offset, stored_bytes, plain_bytes, positions, ids))
        return frames

    def _runs(self) -> dict[bytes, list[range]]:
        """The segments of each block: mostly one run of numbers."""
        if not self._block_runs:
            self._block_runs = self._find_block_runs()
        return self._block_runs

    def _find_block_runs(self) -> dict[bytes, list[range]]:
        ids = [row.block_id for row in self.blocks()]
        runs: dict[bytes, list[range]] = {}
        start = 0
        numbers = islice(self._segments, 0, 4 * self._shape.segments, 4)
        for block, group in groupby(numbers):
            end = start + sum(1 for _ in group)
            runs.setdefault(ids[block], []).append(range(start, end))
            start = end
        return runs

    def is_sound(self) -> bool:
        """Whether every byte is as it was written; reads the whole file."""
        hasher, at = blake3(), self._shape.sections()[0].start
        while piece := self._read(1 << 20, at):
            hasher.update(piece)
            at += len(piece)
        return hasher.digest() == self._shape.content_hash

    def distrusted(self) -> StateError:
        """Remove the file, which leads outside of what it holds; gives what to raise."""
        with suppress(OSError):
            os.unlink(self._path)
        return StateError(
            f"the index table {self._path} was damaged on the disk and is removed",
            hint="run it again: it is made anew; and look after the disk it lies on",
        )

    def _id(self, rank: int) -> bytes:
        number = rank // _WINDOW_RANKS
        window = self._windows.get(number)
        if window is None:
            if len(self._windows) >= _KEPT_WINDOWS:
                del self._windows[next(iter(self._windows))]
            window = self.ids_from(number * _WINDOW_RANKS, _WINDOW_RANKS)
            self._windows[number] = window
        at = rank % _WINDOW_RANKS * ID_BYTES
        return window[at : at + ID_BYTES]

    def _read(self, length: int, at: int) -> bytes:
        try:
            return os.pread(self._fd, length, at)
        except OSError as error:
            raise translated(error, self._path) from error

    def _enter_run(self, rank: int) -> None:
        """Note what all chunks of one segment share: the next one asked for mostly lies in the same."""
        segment = bisect_right(self._firsts, rank, 0, self._shape.segments) - 1
        self._run_start, self._run_end = self._firsts[segment], self._firsts[segment + 1]
        block, offset, stored_bytes, plain_bytes = self._segments[4 * segment : 4 * segment + 4]
        if block >= self._shape.blocks:
            raise IndexError(block)
        start = self._blocks_start + block * BLOCK.size
        self._run = (self._map[start : start + ID_BYTES], offset, stored_bytes, plain_bytes)


def prefixes_of(ids: bytes) -> array[int]:
    """The first 8 bytes of each id as a big-endian number."""
    words = array("Q", ids)
    if sys.byteorder == "little":
        words.byteswap()
    return words[:: ID_BYTES // 8]


def open_table(directory: str, name: str) -> IndexTable | None:
    """The table of an index object; None where there is none, or none that can be trusted: then make it.

    Takes milliseconds: header and length are checked. Content lay on the disk before the file had its name.
    """
    path = table_path(directory, name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # Not there, or its disk does not give it: made anew either way, and who can't write it says why.
        return None
    table = None
    try:
        shape = read_header(os.pread(fd, HEADER_BYTES, 0), name)
        if shape is not None and os.fstat(fd).st_size == shape.sections()[-1].end:
            table = IndexTable(name, path, fd, shape)
    except (*MALFORMED, OSError):
        return None
    finally:
        if table is None:
            os.close(fd)
    return table
