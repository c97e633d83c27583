"""Lists of a file's chunks: inline up to 256, else a tree of list nodes (docs/format.md, Trees)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Annotated

import msgspec

from backupd.errors import FormatError
from backupd.tree.entry import ChunkId, Chunks, ChunkTree, Content
from backupd.tree.nodes import LIST_INNER, LIST_LEAF, MAX_CHILDREN, MAX_HEIGHT, MIN_CHILDREN, Load, Most, Store
from backupd.wire.malformed import MALFORMED

INLINE_CHUNKS = 256
_MAX_CHUNK_BYTES = 8 << 20
_FEW_CHUNKS, _LEAST_BYTES = 1 << 16, 128
"""Of more chunks than these few, each has so many bytes on average at least; the cutter's smallest have eight times."""
_END_BITS = 0x1FF


class _Part(msgspec.Struct, frozen=True, array_like=True):
    node: ChunkId
    chunks: int
    byte_count: int


class _ListLeaf(msgspec.Struct, frozen=True, array_like=True, tag=LIST_LEAF):
    ids: bytes
    lengths: Annotated[list[int], Most]


class _ListInner(msgspec.Struct, frozen=True, array_like=True, tag=LIST_INNER):
    height: int
    parts: Annotated[list[_Part], Most]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_ListLeaf | _ListInner)


def _ends(chunk_id: bytes) -> bool:
    return not (chunk_id[0] | chunk_id[1] << 8) & _END_BITS


def make_content(size_class: int, ids: bytes, lengths: array[int], store: Store) -> Content:
    """The content field of a file. `ids`: 32 bytes a chunk; `lengths`: plain bytes of each, as many."""
    if not lengths:
        return None
    if len(lengths) == 1:
        return bytes(ids)
    if len(lengths) <= INLINE_CHUNKS:
        return Chunks(size_class, bytes(ids), lengths.tolist())
    parts: list[_Part] = []
    start = 0
    for at in range(len(lengths)):
        count = at + 1 - start
        is_end = count >= MIN_CHILDREN and _ends(ids[32 * at : 32 * at + 32])
        if is_end or count >= MAX_CHILDREN or at + 1 == len(lengths):
            piece = lengths[start : at + 1].tolist()
            node = store(_encoder.encode(_ListLeaf(bytes(ids[32 * start : 32 * at + 32]), piece)))
            parts.append(_Part(node, count, sum(piece)))
            start = at + 1
    height = 1
    while len(parts) > 1:
        parts = _stack(parts, height, store)
        height += 1
    return ChunkTree(size_class, parts[0].node, height, len(lengths))


def _stack(parts: list[_Part], height: int, store: Store) -> list[_Part]:
    above: list[_Part] = []
    group: list[_Part] = []
    for at, part in enumerate(parts):
        group.append(part)
        is_end = len(group) >= MIN_CHILDREN and _ends(part.node)
        if is_end or len(group) >= MAX_CHILDREN or at + 1 == len(parts):
            node = store(_encoder.encode(_ListInner(height, group)))
            above.append(_Part(node, sum(p.chunks for p in group), sum(p.byte_count for p in group)))
            group = []
    return above


def iterate_chunks(content: Content, size: int, load: Load) -> Iterator[tuple[bytes, int]]:
    """(chunk id, plain bytes) of a file's content in order. `size`: of the content, or more; that of a single chunk.

    Raises DamageError; FormatError, too, where there is more of it than the size or the count of chunks says.
    """
    if isinstance(content, bytes):
        yield content, size
    elif isinstance(content, Chunks):
        _check_lengths(content.lengths, size)
        for at, length in enumerate(content.lengths):
            yield content.ids[32 * at : 32 * at + 32], length
    elif isinstance(content, ChunkTree):
        _check_count(content, size)
        chunks_left, bytes_left = content.count, size
        for ids, lengths in _list_leaves(content.root, load, MAX_HEIGHT):
            chunks_left -= len(lengths)
            bytes_left -= _check_lengths(lengths, bytes_left)
            if chunks_left < 0:
                raise FormatError(f"a list of {content.count} chunks has more")
            for at, length in enumerate(lengths):
                yield ids[32 * at : 32 * at + 32], length


def list_references(content: Content, load: Load) -> Iterator[bytes]:
    """Chunk ids of all list nodes of a file, the root first. Raises DamageError, FormatError."""
    if isinstance(content, ChunkTree):
        for number, node in enumerate(_list_nodes(content.root, load, MAX_HEIGHT)):
            # Each leaf has a chunk at least, each inner node stands above one.
            if number >= content.count * MAX_HEIGHT:
                raise FormatError(f"a list of {content.count} chunks has {number} nodes")
            yield node


def list_parts(data: bytes) -> tuple[list[bytes], bytes, list[int]]:
    """One list node: (ids of its child nodes, ids of its chunks, 32 bytes each, plain bytes of these).

    Either children or chunks are none. Raises FormatError.
    """
    node = _decode(data)
    if isinstance(node, _ListInner):
        _check_height(node, MAX_HEIGHT)
        return [part.node for part in node.parts], b"", []
    if len(node.ids) != 32 * len(node.lengths):
        raise FormatError("a list node has other counts of ids and lengths")
    return [], node.ids, node.lengths


def _list_nodes(root: bytes, load: Load, limit: int) -> Iterator[bytes]:
    yield root
    node = _decode(load(root))
    if isinstance(node, _ListInner):
        _check_height(node, limit)
        for part in node.parts:
            yield from _list_nodes(part.node, load, node.height)


def _check_count(content: ChunkTree, size: int) -> None:
    if content.count > max(_FEW_CHUNKS, size // _LEAST_BYTES):
        raise FormatError(f"a file of {size} bytes has {content.count} chunks")


def _check_lengths(lengths: list[int], most_bytes: int) -> int:
    """Their sum. A list of nothing, or of chunks of nothing, would never come to an end of the file."""
    if not lengths or min(lengths) < 1 or max(lengths) > _MAX_CHUNK_BYTES:
        raise FormatError("a list of chunks has one that is none, or has none")
    byte_count = sum(lengths)
    if byte_count > most_bytes:
        raise FormatError(f"a list of chunks has {byte_count} bytes where at most {most_bytes} are due")
    return byte_count


def _list_leaves(root: bytes, load: Load, limit: int) -> Iterator[tuple[bytes, list[int]]]:
    node = _decode(load(root))
    if isinstance(node, _ListLeaf):
        if len(node.ids) != 32 * len(node.lengths):
            raise FormatError("a list node has other counts of ids and lengths")
        yield node.ids, node.lengths
        return
    _check_height(node, limit)
    for part in node.parts:
        yield from _list_leaves(part.node, load, node.height)


def _decode(data: bytes) -> _ListLeaf | _ListInner:
    try:
        node: _ListLeaf | _ListInner = _decoder.decode(data)
    except MALFORMED as error:
        raise FormatError(f"a list node is malformed: {error}") from error
    return node


def _check_height(node: _ListInner, limit: int) -> None:
    if not 1 <= node.height < limit or not node.parts:
        raise FormatError(f"a list node of height {node.height} stands where less than {limit} is due")
