"""Blocks and index objects made up for tests; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from backupd.index.layout import ID_BYTES, BlockContents, Frame
from backupd.index.parts import IndexSeal
from backupd.seal.cipher import Binding, EpochName
from backupd.seal.header import ObjectKind

EPOCH = EpochName(1, b"epoch 01")


def make_ids(first: int, count: int) -> bytes:
    """Ids of chunks first, first + 1, …; 32 bytes each."""
    return b"".join([blake3(number.to_bytes(8, "little")).digest() for number in range(first, first + count)])


def make_block(number: int, chunk_counts: Iterable[int], first_chunk: int, content: int = 1) -> BlockContents:
    """A block with a frame for each count; its chunks are numbered on from first_chunk."""
    frames: list[Frame] = []
    offset = 80
    for count in chunk_counts:
        frames.append(Frame(offset, 1000 + count, 2000 + count, make_ids(first_chunk, count)))
        first_chunk += count
        offset += 1096 + count
    return BlockContents(blake3(b"block %d" % number).digest(), offset + 96, content, frames)


def make_seal(name: str = "index/" + "0" * 32, cipher: str = "aes-256-gcm") -> IndexSeal:
    """What seals index objects in tests."""
    return IndexSeal(Binding(ObjectKind.INDEX, bytes(range(16)), EPOCH, name), bytes(range(32)), cipher)


def ids_of(blocks: Iterable[BlockContents]) -> bytes:
    """All ids in the order of blocks."""
    return b"".join([frame.ids for block in blocks for frame in block.frames])


def split_ids(ids: bytes) -> list[bytes]:
    """One id an item."""
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
