"""Reading index objects: one chunk by three ranges, or all of it. Bytes come from the caller; nothing is trusted."""

from __future__ import annotations

import operator
import struct
from bisect import bisect_left, bisect_right

import msgspec

from backupd.errors import FormatError
from backupd.index.layout import (
    ENTRY_BYTES,
    FENCE_BYTES,
    FOOTER_BYTES,
    HEAD_BYTES,
    ID_BYTES,
    MAX_ENTRIES,
    MAX_OBJECT_BYTES,
    PAGE_SEGMENTS,
    SEGMENT,
    SEGMENT_BYTES,
    BlockRow,
    IndexContents,
    Range,
    Shape,
    Tail,
    check_blocks,
    check_segment,
    read_footer,
)
from backupd.index.parts import IndexSeal, Parts
from backupd.seal.envelope import read_epoch
from backupd.seal.header import ObjectKind
from backupd.wire.malformed import MALFORMED

_PLACE = struct.Struct("<IH")
_ID_AND_SEGMENT = "32sI2x"
_HEAD_BEFORE_SALT = 28


class Location(msgspec.Struct, frozen=True):
    """Where a chunk lies, as an index object tells."""

    block: BlockRow
    offset: int
    """Of the frame header in the block."""
    stored_bytes: int
    plain_bytes: int
    """Of the whole segment."""
    position: int
    """Of the chunk in the segment."""


def footer_range(size_bytes: int, name: str) -> Range:
    """Where the footer of an object of that size lies. Raises FormatError for a size that no index object has."""
    if not HEAD_BYTES + FOOTER_BYTES <= size_bytes <= MAX_OBJECT_BYTES:
        raise FormatError(f"{name} is {size_bytes} bytes long: truncated, or over the limit of {MAX_OBJECT_BYTES}")
    return Range(size_bytes - FOOTER_BYTES, FOOTER_BYTES)


def tail_range(size_bytes: int, name: str, footer: bytes) -> Range:
    """Where the tail lies. Raises FormatError."""
    tail = read_footer(footer, name)
    if tail.offset < HEAD_BYTES or tail.offset + tail.length + FOOTER_BYTES != size_bytes:
        raise FormatError(f"{name} contradicts itself about its length")
    return tail


class IndexReader:
    """Finds chunks in one index object by ranged reads.

    The caller reads the head (the first HEAD_BYTES; `seal.envelope.read_epoch` tells whose key opens it), the footer
    and the tail; then for a chunk its entry page (rarely two) and a segment page.
    """

    def __init__(self, seal: IndexSeal, head: bytes, tail_offset: int, tail: bytes) -> None:
        """Raises FormatError, SealError, NewerVersionError."""
        if read_epoch(head, ObjectKind.INDEX, seal.name) != seal.binding.epoch:
            raise FormatError(f"{seal.name} is of another epoch")
        self._name = seal.name
        self._parts = Parts(seal, head[_HEAD_BEFORE_SALT:HEAD_BYTES])
        self.tail = _decode_tail(self._parts.open_tail(tail), tail_offset, seal.name)
        self.shape = Shape(self.tail.entries, self.tail.segments)
        self._fences = [self.tail.fences[at : at + FENCE_BYTES] for at in range(0, len(self.tail.fences), FENCE_BYTES)]

    def pages_of(self, chunk_id: bytes) -> list[int]:
        """Entry pages that can hold a chunk: none, one, or two where its first bytes equal a fence; best first."""
        prefix = chunk_id[:FENCE_BYTES]
        first = max(0, bisect_left(self._fences, prefix) - 1)
        return list(range(bisect_right(self._fences, prefix) - 1, first - 1, -1))

    def entry_page_range(self, page: int) -> Range:
        """Where an entry page lies."""
        return self.shape.entry_page(page)

    def find_in_page(self, page: int, data: bytes, chunk_id: bytes) -> tuple[int, int] | None:
        """Segment number and position of a chunk, or None. data: the sealed page. Raises SealError, FormatError."""
        plain = self.open_entry_page(page, data)
        count = len(plain) // ENTRY_BYTES
        row = bisect_left(range(count), chunk_id, key=lambda i: plain[i * ENTRY_BYTES : i * ENTRY_BYTES + ID_BYTES])
        at = row * ENTRY_BYTES
        if row == count or plain[at : at + ID_BYTES] != chunk_id:
            return None
        segment, position = _PLACE.unpack_from(plain, at + ID_BYTES)
        if segment >= self.shape.segments:
            raise FormatError(f"{self._name} names segment {segment} of {self.shape.segments}")
        return segment, position

    def segment_page_range(self, segment: int) -> Range:
        """Where the page lies that tells of a segment."""
        return self.shape.segment_page(segment // PAGE_SEGMENTS)

    def locate(self, segment: int, position: int, data: bytes) -> Location:
        """Where a chunk of a segment lies. data: the sealed segment page. Raises SealError, FormatError."""
        plain = self.open_segment_page(segment // PAGE_SEGMENTS, data)
        record = SEGMENT.unpack_from(plain, segment % PAGE_SEGMENTS * SEGMENT_BYTES)
        check_segment(record, self.tail.blocks, self._name)
        block, offset, stored_bytes, plain_bytes = record
        return Location(self.tail.blocks[block], offset, stored_bytes, plain_bytes, position)

    def open_entry_page(self, page: int, data: bytes | memoryview) -> bytes:
        """The plain records of an entry page."""
        return self._open(page, data, self.shape.entry_page(page))

    def open_segment_page(self, page: int, data: bytes | memoryview) -> bytes:
        """The plain records of a segment page."""
        return self._open(self.shape.entry_pages + page, data, self.shape.segment_page(page))

    def _open(self, part: int, data: bytes | memoryview, place: Range) -> bytes:
        if len(data) != place.length:
            raise FormatError(f"{self._name}: {len(data)} bytes of a page where {place.length} were asked for")
        return self._parts.open_page(part, data)


def decode_all(seal: IndexSeal, data: bytes) -> IndexContents:
    """The tables of a whole object; order, fences and numbers are checked.

    Raises FormatError, SealError, NewerVersionError.
    """
    footer = footer_range(len(data), seal.name)
    place = tail_range(len(data), seal.name, data[footer.offset :])
    reader = IndexReader(seal, data[:HEAD_BYTES], place.offset, data[place.offset : place.offset + place.length])
    view = memoryview(data)
    shape, tail = reader.shape, reader.tail
    pages = [reader.open_entry_page(n, _cut(view, shape.entry_page(n))) for n in range(shape.entry_pages)]
    if b"".join([page[:FENCE_BYTES] for page in pages]) != tail.fences:
        raise FormatError(f"{seal.name}: fences contradict the pages")
    segments = b"".join(
        [reader.open_segment_page(n, _cut(view, shape.segment_page(n))) for n in range(shape.segment_pages)]
    )
    for record in SEGMENT.iter_unpack(segments):
        check_segment(record, tail.blocks, seal.name)
    _check_entries(pages, shape.segments, seal.name)
    return IndexContents(b"".join(pages), segments, tail.blocks, tail.replaces, tail.generation)


def _decode_tail(plain: bytes, tail_offset: int, name: str) -> Tail:
    try:
        tail = msgspec.msgpack.decode(plain, type=Tail)
    except MALFORMED as error:
        raise FormatError(f"the tail of {name} is malformed: {error}") from error
    shape = Shape(tail.entries, tail.segments)
    fences_fit = len(tail.fences) == shape.entry_pages * FENCE_BYTES
    if tail.entries > MAX_ENTRIES or shape.tail_offset != tail_offset or not fences_fit:
        raise FormatError(f"the tail of {name} contradicts the object's length")
    check_blocks(tail.blocks, name)
    return tail


def _check_entries(pages: list[bytes], segments: int, name: str) -> None:
    last = b""
    for page in pages:
        # A whole page at once: a third of what it takes one after the other.
        fields = struct.unpack("<" + _ID_AND_SEGMENT * (len(page) // ENTRY_BYTES), page)
        ids, numbers = fields[::2], fields[1::2]
        in_order = last < ids[0] and all(map(operator.lt, ids, ids[1:]))
        if not in_order or max(numbers) >= segments:
            raise FormatError(f"{name} is not in order")
        last = ids[-1]


def _cut(view: memoryview, place: Range) -> memoryview:
    return view[place.offset : place.offset + place.length]
