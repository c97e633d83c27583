"""What an index object holds and where its parts lie (docs/format.md, Index objects)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from backupd.errors import FormatError

ENTRY = struct.Struct("<32sIH")
"""Chunk id, segment number, position in the segment."""
ENTRY_BYTES = ENTRY.size
SEGMENT = struct.Struct("<IIII")
"""Block number, offset of the frame header, stored bytes, plain bytes."""
SEGMENT_BYTES = SEGMENT.size
ID_BYTES = 32
FENCE_BYTES = 8

PAGE_ENTRIES = 1700
PAGE_SEGMENTS = 4096
HEAD_BYTES = 60
FOOTER_BYTES = 16
TAG_BYTES = 16

MAX_OBJECT_BYTES = 64 << 20
MAX_ENTRIES = 1_500_000
MAX_BLOCK_BYTES = 96 << 20
MAX_PLAIN_BYTES = 16 << 20
MAX_FRAME_CHUNKS = (1 << 16) - 1
CONTENTS = (1, 2)
"""Data blocks and tree blocks."""

_FOOTER = struct.Struct("<QI4s")
_FOOTER_MAGIC = b"BKDX"
_BLOCK_ROW_BYTES = 48
_NAME_BYTES = 48
_TAIL_BYTES = 256

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One segment of a block, as its frame header and directory tell."""

    offset: int
    """Of the frame header in the block."""
    stored_bytes: int
    """Of the segment, its tag included."""
    plain_bytes: int
    ids: bytes
    """32 bytes a chunk, in the order of the segment."""


class BlockContents(msgspec.Struct, frozen=True):
    """What a finished block holds."""

    block_id: bytes
    size_bytes: int
    content: int
    """1: data, 2: tree."""
    frames: list[Frame]


class BlockRow(msgspec.Struct, frozen=True, array_like=True):
    """A block as an index object names it."""

    block_id: bytes
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BLOCK_BYTES)]
    content: Annotated[int, msgspec.Meta(ge=1, le=2)]


class Tail(msgspec.Struct, frozen=True, array_like=True):
    """The last part of an index object; all that is needed to find a page."""

    entries: Count
    segments: Count
    fences: bytes
    """The first 8 bytes of each entry page's first id."""
    blocks: list[BlockRow]
    replaces: list[str]
    """Names of the index objects that this one replaces."""
    generation: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    """The highest n up to which every gc list was closed when the writer loaded gc/."""


class IndexContents(msgspec.Struct, frozen=True):
    """All that an index object says, as raw tables: a large one has too many rows to be objects."""

    entries: bytes
    """Records of ENTRY, strictly ascending by id."""
    segments: bytes
    """Records of SEGMENT; entries name them by number."""
    blocks: list[BlockRow]
    """Segments name them by number."""
    replaces: list[str]
    generation: int

    @property
    def entry_count(self) -> int:
        """Chunks."""
        return len(self.entries) // ENTRY_BYTES

    @property
    def segment_count(self) -> int:
        """Segments."""
        return len(self.segments) // SEGMENT_BYTES


class Range(NamedTuple):
    """Bytes of an object."""

    offset: int
    length: int


class Shape(NamedTuple):
    """Where the parts of an index object lie; follows from two numbers."""

    entries: int
    segments: int

    @property
    def entry_pages(self) -> int:
        """Number of entry pages, which are the first parts."""
        return -(-self.entries // PAGE_ENTRIES)

    @property
    def segment_pages(self) -> int:
        """Number of segment pages; their part numbers go on from the entry pages'."""
        return -(-self.segments // PAGE_SEGMENTS)

    @property
    def tail_offset(self) -> int:
        """Where the tail begins."""
        records = self.entries * ENTRY_BYTES + self.segments * SEGMENT_BYTES
        return HEAD_BYTES + records + (self.entry_pages + self.segment_pages) * TAG_BYTES

    def entry_page(self, page: int) -> Range:
        """Where an entry page lies."""
        rows = min(PAGE_ENTRIES, self.entries - page * PAGE_ENTRIES)
        return Range(HEAD_BYTES + page * (PAGE_ENTRIES * ENTRY_BYTES + TAG_BYTES), rows * ENTRY_BYTES + TAG_BYTES)

    def segment_page(self, page: int) -> Range:
        """Where a segment page lies."""
        rows = min(PAGE_SEGMENTS, self.segments - page * PAGE_SEGMENTS)
        start = HEAD_BYTES + self.entries * ENTRY_BYTES + self.entry_pages * TAG_BYTES
        return Range(start + page * (PAGE_SEGMENTS * SEGMENT_BYTES + TAG_BYTES), rows * SEGMENT_BYTES + TAG_BYTES)


def fits(entries: int, segments: int, blocks: int, replaces: int = 0) -> bool:
    """Whether so much stays under the limits of one object, counted generously."""
    shape = Shape(entries, segments)
    tail = _TAIL_BYTES + shape.entry_pages * FENCE_BYTES + blocks * _BLOCK_ROW_BYTES + replaces * _NAME_BYTES
    return entries <= MAX_ENTRIES and shape.tail_offset + tail + FOOTER_BYTES <= MAX_OBJECT_BYTES


def pack_footer(tail_offset: int, tail_bytes: int) -> bytes:
    """The last 16 bytes of an object."""
    return _FOOTER.pack(tail_offset, tail_bytes, _FOOTER_MAGIC)


def read_footer(footer: bytes, what: str) -> Range:
    """Where the tail lies. Raises FormatError."""
    if len(footer) != FOOTER_BYTES:
        raise FormatError(f"{what} is truncated")
    offset, length, magic = _FOOTER.unpack(footer)
    if magic != _FOOTER_MAGIC:
        raise FormatError(f"{what} has no end: truncated, or no index object")
    return Range(offset, length)


def check_blocks(blocks: Sequence[BlockRow], what: str) -> None:
    """Refuse block ids that are none, or one named twice. Raises FormatError."""
    if any(len(row.block_id) != ID_BYTES for row in blocks) or len({row.block_id for row in blocks}) != len(blocks):
        raise FormatError(f"{what} names blocks wrongly")


def check_segment(record: tuple[int, int, int, int], blocks: Sequence[BlockRow], what: str) -> None:
    """Refuse a segment that lies in no block, or outside of its block. Raises FormatError."""
    block, offset, stored_bytes, plain_bytes = record
    if block >= len(blocks) or offset + stored_bytes > blocks[block].size_bytes or plain_bytes > MAX_PLAIN_BYTES:
        raise FormatError(f"{what} places a segment where none can be")
