"""Writing index objects."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence

import msgspec

from backupd.errors import FormatError
from backupd.index.layout import (
    CONTENTS,
    ENTRY_BYTES,
    FENCE_BYTES,
    ID_BYTES,
    MAX_BLOCK_BYTES,
    MAX_ENTRIES,
    MAX_FRAME_CHUNKS,
    MAX_OBJECT_BYTES,
    PAGE_ENTRIES,
    PAGE_SEGMENTS,
    SEGMENT,
    SEGMENT_BYTES,
    BlockContents,
    BlockRow,
    Frame,
    IndexContents,
    Tail,
    check_blocks,
    check_segment,
    fits,
    pack_footer,
)
from backupd.index.parts import IndexSeal, Parts
from backupd.seal.cipher import SALT_BYTES
from backupd.seal.header import ObjectKind, make_header

_PLACE = struct.Struct("<IH")


def encode_index(
    seal: IndexSeal,
    blocks: Sequence[BlockContents],
    replaces: Sequence[str],
    generation: int,
    salt: bytes | None = None,
) -> bytes:
    """The index object of these blocks; they must fit into one, see `split_blocks`.

    Of a chunk that lies in several places the first is kept. salt: 32 bytes, drawn unless given; never given twice.
    Raises FormatError when a limit would be broken.
    """
    return seal_index(seal, tabulate(blocks, replaces, generation), salt)


def tabulate(blocks: Sequence[BlockContents], replaces: Sequence[str], generation: int) -> IndexContents:
    """Sort the chunks of blocks into tables. Raises FormatError for what can't be in a block."""
    rows: list[BlockRow] = []
    numbers: dict[bytes, int] = {}
    segments = bytearray()
    places: dict[bytes, bytes] = {}
    segment = 0
    for block in blocks:
        number = numbers.setdefault(block.block_id, len(rows))
        if number == len(rows):
            rows.append(_row(block))
        for frame in block.frames:
            _check_frame(frame, block)
            segments += SEGMENT.pack(number, frame.offset, frame.stored_bytes, frame.plain_bytes)
            for position, at in enumerate(range(0, len(frame.ids), ID_BYTES)):
                places.setdefault(frame.ids[at : at + ID_BYTES], _PLACE.pack(segment, position))
            segment += 1
    entries = b"".join([chunk_id + places[chunk_id] for chunk_id in sorted(places)])
    return IndexContents(entries, bytes(segments), rows, list(replaces), generation)


def seal_index(seal: IndexSeal, contents: IndexContents, salt: bytes | None = None) -> bytes:
    """The index object of these tables. Raises FormatError when it would be over a limit."""
    if contents.entry_count > MAX_ENTRIES:
        raise FormatError(f"{seal.name} would hold {contents.entry_count} chunks, over the limit of {MAX_ENTRIES}")
    check_blocks(contents.blocks, seal.name)
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    parts = Parts(seal, salt)
    pieces = [make_header(ObjectKind.INDEX) + seal.binding.epoch.pack() + salt]
    for plain in _pages(contents):
        pieces.append(parts.seal_page(len(pieces) - 1, plain))
    starts = range(0, len(contents.entries), PAGE_ENTRIES * ENTRY_BYTES)
    fences = b"".join([contents.entries[start : start + FENCE_BYTES] for start in starts])
    tail = Tail(
        contents.entry_count,
        contents.segment_count,
        fences,
        contents.blocks,
        contents.replaces,
        contents.generation,
    )
    tail_offset = sum(map(len, pieces))
    pieces.append(parts.seal_tail(msgspec.msgpack.encode(tail)))
    pieces.append(pack_footer(tail_offset, len(pieces[-1])))
    data = b"".join(pieces)
    if len(data) > MAX_OBJECT_BYTES:
        raise FormatError(f"{seal.name} would be {len(data)} bytes long, over the limit of {MAX_OBJECT_BYTES}")
    return data


def split_blocks(blocks: Sequence[BlockContents]) -> list[list[BlockContents]]:
    """Distribute blocks over as many index objects as the limits ask for, mostly one; an empty list for no blocks.

    A block whose chunks alone break them is named by several objects, each with some of its frames.
    """
    groups = [_Group()]
    for block in blocks:
        groups[-1].open(block)
        for frame in block.frames:
            if not groups[-1].has_room(frame):
                groups.append(_Group())
                groups[-1].open(block)
            groups[-1].add(frame)
    return [group.blocks() for group in groups if group.opened]


class _Group:
    """The blocks of one object while it is filled."""

    def __init__(self) -> None:
        self.opened: list[tuple[BlockContents, list[Frame]]] = []
        self._entries = 0
        self._segments = 0

    def open(self, block: BlockContents) -> None:
        self.opened.append((block, []))

    def has_room(self, frame: Frame) -> bool:
        return fits(self._entries + len(frame.ids) // ID_BYTES, self._segments + 1, len(self.opened))

    def add(self, frame: Frame) -> None:
        self.opened[-1][1].append(frame)
        self._entries += len(frame.ids) // ID_BYTES
        self._segments += 1

    def blocks(self) -> list[BlockContents]:
        whole = [(block, frames) for block, frames in self.opened if frames or not block.frames]
        return [msgspec.structs.replace(block, frames=frames) for block, frames in whole]


def _pages(contents: IndexContents) -> Iterator[bytes]:
    for table, page_bytes in (
        (contents.entries, PAGE_ENTRIES * ENTRY_BYTES),
        (contents.segments, PAGE_SEGMENTS * SEGMENT_BYTES),
    ):
        for start in range(0, len(table), page_bytes):
            yield table[start : start + page_bytes]


def _row(block: BlockContents) -> BlockRow:
    if block.content not in CONTENTS or not 0 < block.size_bytes <= MAX_BLOCK_BYTES:
        raise FormatError(f"a block of {block.size_bytes} bytes and content {block.content} can't be")
    return BlockRow(block.block_id, block.size_bytes, block.content)


def _check_frame(frame: Frame, block: BlockContents) -> None:
    what = f"block {block.block_id.hex()}"
    check_segment((0, frame.offset, frame.stored_bytes, frame.plain_bytes), [_row(block)], what)
    if len(frame.ids) % ID_BYTES or len(frame.ids) // ID_BYTES > MAX_FRAME_CHUNKS:
        raise FormatError(f"{what} has a frame with {len(frame.ids)} bytes of chunk ids")
