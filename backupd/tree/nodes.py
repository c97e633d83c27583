"""A directory's entries as a tree of nodes, built in one pass and read lazily (docs/format.md, Trees).

Where nodes end depends on the names alone, so one new file changes one leaf and the nodes above it.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec

from backupd.errors import FormatError
from backupd.seal.cipher import keyed_hash
from backupd.tree.entry import ChunkId, Entry, check
from backupd.wire.malformed import MALFORMED

LEAF, INNER, LIST_LEAF, LIST_INNER = 1, 2, 3, 4
MIN_CHILDREN, MAX_CHILDREN, MAX_NODE_BYTES = 64, 2048, 256 << 10
MAX_HEIGHT = 16
_END_BITS = 0x1FF

Store = Callable[[bytes], bytes]
"""Takes a node's bytes, keeps them as a chunk, gives the chunk's id."""
Load = Callable[[bytes], bytes]
"""Takes a chunk id, gives the chunk's bytes; raises DamageError."""


class Child(msgspec.Struct, frozen=True, array_like=True):
    """A reference from an inner node."""

    first_name: bytes
    node: ChunkId
    entries: int


# Counted before they are read: eight megabytes of the shortest ones would be a million objects.
Most = msgspec.Meta(max_length=MAX_CHILDREN)


class _Leaf(msgspec.Struct, frozen=True, array_like=True, tag=LEAF):
    entries: Annotated[list[Entry], Most]


class _Inner(msgspec.Struct, frozen=True, array_like=True, tag=INNER):
    height: int
    children: Annotated[list[Child], Most]


_node_decoder = msgspec.msgpack.Decoder(_Leaf | _Inner)
_encoder = msgspec.msgpack.Encoder()


def array_head(count: int) -> bytes:
    """The msgpack header of an array, in its smallest form."""
    if count < 16:
        return bytes((0x90 | count,))
    return struct.pack(">BH", 0xDC, count) if count < 1 << 16 else struct.pack(">BI", 0xDD, count)


class NodeBuilder:
    """Builds one directory's nodes from entries that come in strict byte order of names."""

    def __init__(self, hash_key: bytes, store: Store) -> None:
        """hash_key: `chunk.identity.node_key`."""
        self._hash_key, self._store = hash_key, store
        self._encoded: list[bytes] = []
        self._first = b""
        self._bytes = 0
        self._levels: list[list[Child]] = []
        self.entry_count = 0

    def add(self, name: bytes, encoded: bytes) -> None:
        """Append an entry, given by its encoding."""
        if not self._encoded:
            self._first = name
        self._encoded.append(encoded)
        self._bytes += len(encoded)
        self.entry_count += 1
        count = len(self._encoded)
        if (count >= MIN_CHILDREN and self._ends(name)) or count >= MAX_CHILDREN or self._bytes >= MAX_NODE_BYTES:
            self._close_leaf(name)

    def finish(self) -> bytes:
        """Close what is open; gives the id of the top node."""
        if self._encoded or not self._levels:
            self._close_leaf(None)
        level = 0
        while len(self._levels[level]) > 1 or level + 1 < len(self._levels):
            if self._levels[level]:
                self._close_inner(level)
            level += 1
        return self._levels[level][0].node

    def copy(self) -> NodeBuilder:
        """An independent builder in the same state: checkpoints finish the copy."""
        twin = NodeBuilder(self._hash_key, self._store)
        twin._encoded, twin._first, twin._bytes = list(self._encoded), self._first, self._bytes
        twin._levels, twin.entry_count = [list(level) for level in self._levels], self.entry_count
        return twin

    def _ends(self, name: bytes) -> bool:
        digest = keyed_hash(self._hash_key, name)
        return not (digest[0] | digest[1] << 8) & _END_BITS

    def _close_leaf(self, last_name: bytes | None) -> None:
        head = bytes((0x92, LEAF)) + array_head(len(self._encoded))
        node = self._store(head + b"".join(self._encoded))
        child = Child(self._first, node, len(self._encoded))
        self._encoded, self._bytes = [], 0
        self._push(0, child, last_name is not None and self._ends(last_name))

    def _push(self, level: int, child: Child, ends: bool) -> None:
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(child)
        count = len(self._levels[level])
        # An inner node ends by the same rule on the first name of its last child.
        if (count >= MIN_CHILDREN and ends and self._ends(child.first_name)) or count >= MAX_CHILDREN:
            self._close_inner(level)

    def _close_inner(self, level: int) -> None:
        children = self._levels[level]
        self._levels[level] = []
        node = self._store(_encoder.encode(_Inner(level + 1, children)))
        self._push(level + 1, Child(children[0].first_name, node, sum(c.entries for c in children)), False)


def iterate_entries(root: bytes, load: Load, first: bytes = b"") -> Iterator[Entry]:
    """Entries of a directory in byte order of names; nodes are loaded as they are reached.

    first: nodes that hold earlier names alone are passed over.
    Raises DamageError of a node that can't be had; FormatError when the nodes break the rules of order, height or size.
    """
    last = b""
    for entries in _leaves(root, load, MAX_HEIGHT, first):
        for entry in entries:
            check(entry)
            if entry.name <= last:
                raise FormatError(f"a directory's entries are out of order at {entry.name!r}")
            last = entry.name
            yield entry


def find_entry(root: bytes, name: bytes, load: Load) -> Entry | None:
    """One entry of a directory, or None. Loads one node a level."""
    node, limit = decode_node(load(root)), MAX_HEIGHT
    while isinstance(node, _Inner):
        limit = _check_height(node, limit)
        at = bisect_right(node.children, name, key=lambda child: child.first_name) - 1
        if at < 0:
            return None
        node = decode_node(load(node.children[at].node))
    for entry in node.entries:
        if entry.name == name:
            check(entry)
            return entry
    return None


def node_references(data: bytes) -> list[bytes]:
    """Chunk ids of the child nodes of an inner node; empty for a leaf."""
    node = decode_node(data)
    return [child.node for child in node.children] if isinstance(node, _Inner) else []


def leaf_entries(data: bytes) -> list[Entry]:
    """Entries of a leaf, unchecked; none for an inner node."""
    node = decode_node(data)
    return node.entries if isinstance(node, _Leaf) else []


def decode_node(data: bytes) -> _Leaf | _Inner:
    """A leaf or an inner node. Raises FormatError."""
    try:
        node: _Leaf | _Inner = _node_decoder.decode(data)
    except MALFORMED as error:
        raise FormatError(f"a tree node is malformed: {error}") from error
    return node


def _leaves(root: bytes, load: Load, limit: int, first: bytes) -> Iterator[list[Entry]]:
    node = decode_node(load(root))
    if isinstance(node, _Leaf):
        # Only a directory without entries has such a leaf; below inner nodes, millions of it would be told of nothing.
        if not node.entries and limit < MAX_HEIGHT:
            raise FormatError("a tree node without entries stands below another")
        yield node.entries
        return
    limit = _check_height(node, limit)
    following = [*(child.first_name for child in node.children[1:]), None]
    for child, end in zip(node.children, following, strict=True):
        if end is None or end > first:
            yield from _leaves(child.node, load, limit, first)


def _check_height(node: _Inner, limit: int) -> int:
    if not 1 <= node.height < limit or not node.children:
        raise FormatError(f"a tree node of height {node.height} stands where less than {limit} is due")
    return node.height
