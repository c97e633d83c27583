"""The file of a look-up table: what `index_table` maps into memory.

A file `<name>.table`, in the byte order of the machine that made it: it never travels and is made anew whenever
anything about it is odd. Sections, each padded to a multiple of 8 bytes, 8 at least:

| section | holds |
|---|---|
| header | `_HEADER`, then BLAKE3 of it and the name |
| prefixes | u64 a chunk: the first 8 bytes of each id as a big-endian number, ascending |
| fan | u32: for each value of the upper bits the number of the first prefix that has it, and one more |
| ranks | u32 a chunk, in the order of prefixes: its number when chunks are counted segment by segment |
| firsts | u32 a segment: the lowest rank in it, and one more |
| segments | 4 u32 a segment: block number, offset, stored bytes, plain bytes |
| positions | u16 a chunk, by rank |
| blocks | `BLOCK` a block: id, size, content |
| notes | msgpack: names of replaced index objects, generation |
| ids | 32 bytes a chunk, by rank: chunks of one segment lie side by side, as they lay in the file they came from |
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

import msgspec
from blake3 import blake3

from backupd import durable_io
from backupd.index.layout import ENTRY, ENTRY_BYTES, FENCE_BYTES, ID_BYTES, IndexContents
from backupd.state_errors import translated

SUFFIX = ".table"
BLOCK = struct.Struct("=32sQB7x")
_MAGIC = b"BKDTAB1" + sys.byteorder[:1].encode()
_HEADER = struct.Struct("=8sIIIIQ32s")
HEADER_BYTES = _HEADER.size + 32
_MOST_FAN_BITS = 24
_COLUMNS_FROM_CHUNKS = 50_000
"""From here on loading numpy takes less than going through the chunks one by one."""
_ROWS_A_FAN_VALUE = 4
"""log2 of how many chunks share their upper bits: a search among them takes four steps."""


class Notes(msgspec.Struct, frozen=True, array_like=True):
    """What else the index object says."""

    replaces: list[str]
    generation: int


class Section(msgspec.Struct, frozen=True):
    """Bytes of the file; end counts the padding."""

    start: int
    end: int


class TableShape(msgspec.Struct, frozen=True):
    """All that the places of the sections follow from."""

    chunks: int
    segments: int
    blocks: int
    notes_bytes: int
    content_hash: bytes
    """BLAKE3 of all that follows the header."""

    @property
    def fan_bits(self) -> int:
        """How many upper bits of a prefix the fan tells apart."""
        return max(0, min(_MOST_FAN_BITS, self.chunks.bit_length() - _ROWS_A_FAN_VALUE))

    def sections(self) -> list[Section]:
        """Where the sections behind the header lie, in their order."""
        lengths = (
            8 * self.chunks,
            4 * ((1 << self.fan_bits) + 1),
            4 * self.chunks,
            4 * (self.segments + 1),
            16 * self.segments,
            2 * self.chunks,
            BLOCK.size * self.blocks,
            self.notes_bytes,
            ID_BYTES * self.chunks,
        )
        bounds = list(accumulate(map(_padded, lengths), initial=_padded(HEADER_BYTES)))
        return [Section(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]


def table_path(directory: str, name: str) -> str:
    """Where the table of an index object stands."""
    return os.path.join(directory, name + SUFFIX)


def read_header(data: bytes, name: str) -> TableShape | None:
    """The shape of a table; None when its header is not whole, or of another version, machine or index object."""
    if len(data) != HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    header = data[: _HEADER.size]
    if blake3(header + name.encode()).digest() != data[_HEADER.size :]:
        return None
    _, chunks, segments, blocks, _, notes_bytes, content_hash = _HEADER.unpack(header)
    return TableShape(chunks, segments, blocks, notes_bytes, content_hash)


def make_table(directory: str, name: str, contents: IndexContents) -> None:
    """Write the table of an index object; what stood there is replaced. A million chunks take a third of a second.

    contents: from `index.reader.decode_all`, so its numbers are checked. Raises StateFullError,
    AccessError, StateError.
    """
    notes = msgspec.msgpack.encode(Notes(contents.replaces, contents.generation))
    shape = TableShape(contents.entry_count, contents.segment_count, len(contents.blocks), len(notes), b"")
    hasher = blake3()
    buffers: list[bytes | memoryview] = []
    for section in _sections(contents, shape, notes):
        content = memoryview(section).cast("B") if len(section) else b""
        for piece in (content, bytes(_padded(len(content)) - len(content))):
            hasher.update(piece)
            buffers.append(piece)
    header = _make_header(msgspec.structs.replace(shape, content_hash=hasher.digest()), name)
    try:
        durable_io.make_directories(directory)
        durable_io.replace(table_path(directory, name), [header.ljust(_padded(HEADER_BYTES), b"\0"), *buffers])
    except OSError as error:
        raise translated(error, table_path(directory, name)) from error


def remove_table(directory: str, name: str) -> None:
    """Remove a table, if there is one. Raises StateFullError, AccessError, StateError."""
    path = table_path(directory, name)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise translated(error, path) from error


def _sections(
    contents: IndexContents, shape: TableShape, notes: bytes
) -> Iterator[bytes | bytearray | memoryview | array[int]]:
    is_large = contents.entry_count >= _COLUMNS_FROM_CHUNKS
    make = importlib.import_module("backupd.cache.table_columns").columns_of if is_large else columns_of
    prefixes, fan, ranks, firsts, positions, ids = make(contents, shape.fan_bits)
    yield from (prefixes, fan, ranks, firsts)
    yield _native(contents.segments)
    yield positions
    yield b"".join([BLOCK.pack(row.block_id, row.size_bytes, row.content) for row in contents.blocks])
    yield notes
    yield ids


def columns_of(contents: IndexContents, fan_bits: int) -> list[array[int] | bytearray]:
    """Sections prefixes, fan, ranks, firsts, positions and ids of a table."""
    entries = contents.entries
    starts = range(0, len(entries), ENTRY_BYTES)
    prefixes = array("Q", b"".join([entries[at : at + FENCE_BYTES] for at in starts]))
    if sys.byteorder == "little":
        prefixes.byteswap()
    fan = array("I", [bisect_left(prefixes, upper << (64 - fan_bits)) for upper in range(1 << fan_bits)])
    fan.append(contents.entry_count)
    firsts, ranks, positions, ids = _by_segment(contents)
    return [prefixes, fan, ranks, firsts, positions, ids]


def _by_segment(contents: IndexContents) -> tuple[array[int], array[int], array[int], bytearray]:
    """(firsts, ranks, positions, ids): chunks counted segment by segment."""
    counts = [0] * (contents.segment_count + 1)
    for _, segment, _ in ENTRY.iter_unpack(contents.entries):
        counts[segment + 1] += 1
    following = list(accumulate(counts))
    firsts = array("I", following)
    ranks = array("I", bytes(4 * contents.entry_count))
    positions = array("H", bytes(2 * contents.entry_count))
    ids = bytearray(ID_BYTES * contents.entry_count)
    for row, (chunk_id, segment, position) in enumerate(ENTRY.iter_unpack(contents.entries)):
        rank = following[segment]
        following[segment] = rank + 1
        ranks[row] = rank
        positions[rank] = position
        ids[rank * ID_BYTES : (rank + 1) * ID_BYTES] = chunk_id
    return firsts, ranks, positions, ids


def _native(segments: bytes) -> array[int]:
    words = array("I", segments)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _make_header(shape: TableShape, name: str) -> bytes:
    numbers = (shape.chunks, shape.segments, shape.blocks, 0, shape.notes_bytes)
    header = _HEADER.pack(_MAGIC, *numbers, shape.content_hash)
    return header + blake3(header + name.encode()).digest()


def _padded(length: int) -> int:
    # A view of no bytes can't be cast to numbers.
    return max(8, -(-length // 8) * 8)
