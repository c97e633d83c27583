"""Rows of the table: entries, tree nodes, lists of chunks, what permissions and sparse files are read from, records."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from backupd.operations import followed_links
from backupd.operations.backup import lineage
from backupd.repository import opening, parity_setting
from backupd.repository.block_listing import block_id_of
from backupd.snapshot import naming, records
from backupd.snapshot.records import BlockList, Checkpoint, Damage, Drop, Note, Record, Session, Snapshot
from backupd.source.extents import ExtentMap
from backupd.target import acls, sparse
from backupd.tree import comparing, entry, lists, nodes, permissions
from backupd.tree.entry import Chunks, ChunkTree, Device, Entry, Extra, Kind, Stored
from backupd.tree.nodes import NodeBuilder
from backupd.tree.permissions import Reader
from tests.hostile.decoder import Decoder

_ID = bytes(range(32))
_MOST = 3000
"""So many entries or chunks are taken from what may have no end."""

_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *line) for line in ((1, 6, 0), (2, 4, 1000), (4, 4, 0), (8, 4, 50), (16, 7, 0), (32, 0, 0))
)
_ENTRIES = (
    Entry(b"empty", Kind.FILE, 0o644, 0, 0, 1, 0, None),
    Entry(b"file", Kind.FILE, 0o4755, 1000, 1000, 1, 30, _ID, Extra(hard_link=bytes(16), birth_ns=5, flags=16)),
    Entry(b"long", Kind.FILE, 0o640, 7, 50, 1, 9, Chunks(14, _ID * 3, [2, 3, 4]),
          Extra(xattrs=[(b"system.posix_acl_access", _ACL), (b"user.b", Stored(_ID, 600))])),
    Entry(b"sparse", Kind.FILE, 0o600, 0, 0, 1, 1 << 40, ChunkTree(14, _ID, 2, 400),
          Extra(salt=_ID, extents=struct.pack("<QQQQ", 0, 4096, 1 << 30, 4096), state=2, began_with=(1, 2, 3, 4))),
    Entry(b"sub", Kind.DIRECTORY, 0o755, 0, 0, 1, 0, _ID),
    Entry(b"to", Kind.SYMLINK, 0o777, 0, 0, 1, 6, b"target"),
    Entry(b"tty", Kind.CHARACTER_DEVICE, 0o600, 0, 0, 1, 0, Device(4, 1)),
)  # fmt: skip
_SNAPSHOT = Snapshot(
    bytes(16), bytes(16), "documents", bytes(16), "laptop", 5, 6, True, _ID, [b"/home"], [(0, b"root")],
    [(0, b"root")], 1, 2, {"stored_bytes": 3}, "text", {"why": "test"}, 1, "snapshots/x", 4, "1.0",
)  # fmt: skip
ENCODED = tuple(map(entry.encode, _ENTRIES))
_RECORDS: tuple[tuple[str, Record], ...] = (
    ("snapshot", _SNAPSHOT),
    ("session", Session(_ID[:16], 1, bytes(16), bytes(16), "boot", bytes(16), ["snapshots/x"], "snapshots/y", 5, 1,
                        [_ID], Checkpoint(_ID, 1, 2), _SNAPSHOT)),
    ("drop record", Drop(["snapshots/x"], 5, bytes(16), "asked")),
    ("damage record", Damage(5, bytes(16), [(_ID, None), (_ID, _ID * 2)])),
    ("note", Note(5, bytes(16), bytes(16), "pin", "text")),
    ("gc list", BlockList(1, [_ID], [1, 2])),
)  # fmt: skip


def _nodes() -> tuple[bytes, ...]:
    """A leaf, and an inner node above leaves."""
    stored: list[bytes] = []

    def store(data: bytes) -> bytes:
        stored.append(data)
        return len(stored).to_bytes(32, "big")

    few, many = NodeBuilder(_ID, store), NodeBuilder(_ID, store)
    for one in _ENTRIES:
        few.add(one.name, entry.encode(one))
    few.finish()
    for number in range(2100):
        name = b"%06d" % number
        many.add(name, entry.encode(Entry(name, Kind.FIFO, 0o600, 0, 0, 0, 0, None)))
    many.finish()
    return stored[0], stored[-1]


def _list_nodes() -> tuple[bytes, ...]:
    stored: list[bytes] = []

    def store(data: bytes) -> bytes:
        stored.append(data)
        return len(stored).to_bytes(32, "big")

    count = 5000
    ids = b"".join(number.to_bytes(32, "little") for number in range(count))
    lists.make_content(14, ids, array("I", [9] * count), store)
    small = msgspec.msgpack.encode([3, _ID * 2, [4, 5]])
    return small, stored[-1]


_NODES, _LISTS = _nodes(), _list_nodes()


def _loader(data: bytes) -> nodes.Load:
    """Every id leads to the same bytes: what has no end by itself must be ended by the reader."""

    def load(chunk_id: bytes) -> bytes:
        assert len(chunk_id) == 32, "look-ups take nothing else"
        return data

    return load


def _walk(data: bytes, _: Path) -> object:
    load = _loader(data)
    found = list(islice(nodes.iterate_entries(_ID, load), _MOST))
    return found, nodes.find_entry(_ID, b"file", load), nodes.node_references(data), nodes.leaf_entries(data)


def _compare(data: bytes, _: Path) -> object:
    known, load_any = bytes(32), _loader(data)

    def load(node: bytes) -> bytes:
        return _NODES[0] if node == known else load_any(node)

    return [
        (comparing.has_same_content(old, new), comparing.has_same_metadata(old, new))
        for old, new in islice(comparing.differing_entries(known, _ID, load), _MOST)
        if old is not None and new is not None
    ]


def _list(data: bytes, _: Path) -> object:
    tree = ChunkTree(14, _ID, 2, 400)
    load = _loader(data)
    first = list(islice(lists.list_references(tree, load), _MOST))
    return first, list(islice(lists.iterate_chunks(tree, 3600, load), _MOST)), lists.list_parts(data)


def _permit(data: bytes, _: Path) -> object:
    """An entry, and what its ACL says, inline and as a chunk."""
    one = entry.decode(data)
    reader = Reader(1000, frozenset([1000, 50]))

    load = _loader(data)
    return permissions.veiled(reader, one, load), permissions.can_read(reader, one, load)


def _acl(data: bytes, _: Path) -> object:
    one = Entry(b"x", Kind.FILE, 0o660, 7, 7, 0, 0, None, Extra(xattrs=[(b"system.posix_acl_access", data)]))
    seen = permissions.allows(Reader(1000, frozenset([50])), one, 4, _loader(data))
    return seen, acls.with_ids(data, {1000: 1001}, {50: 51}), acls.group_permissions(data)


def _extents(data: bytes, _: Path) -> object:
    laid = sparse.Extents(data, 1 << 41)
    return list(islice(laid.pieces(0, laid.content_bytes), _MOST))


def _extent_map(data: bytes, _: Path) -> object:
    found = ExtentMap(data, 1 << 41)
    return found.pieces(0, min(found.content_bytes, 1 << 62)), found.content_at(5)


def _record(kind: type[Record]) -> Callable[[bytes, Path], Any]:
    return lambda data, _: records.decode(data, kind, "x")


def _names(data: bytes, _: Path) -> object:
    text = data.decode("utf-8", "surrogateescape")
    found = naming.parse_gc_name(text)
    # What is read from a name is written into records again.
    msgspec.msgpack.encode(found)
    session = naming.parse_session_name(text)
    assert session is None or naming.session_name(*session) == text
    return naming.parse_snapshot_name(text), block_id_of(text), opening.parse_epoch(text)


ROWS = (
    Decoder("entry", lambda data, _: entry.decode(data), ENCODED, "msgpack"),
    Decoder("tree node", _walk, _NODES, "msgpack"),
    Decoder("tree node compared", _compare, _NODES, "msgpack"),
    Decoder("list node", _list, _LISTS, "msgpack"),
    Decoder("entry's permissions", _permit, ENCODED, "msgpack"),
    Decoder("ACL", _acl, (_ACL,)),
    Decoder("extents to write", _extents, (struct.pack("<QQQQ", 0, 4096, 1 << 30, 4096),)),
    Decoder("extents to read", _extent_map, (struct.pack("<QQQQ", 0, 4096, 1 << 30, 4096),)),
    *[Decoder(name, _record(type(one)), (records.encode(one),), "msgpack") for name, one in _RECORDS],
    Decoder(
        "parity that a set wants",
        lambda data, _: parity_setting.wanted_of([data.decode(errors="replace")]),
        (b'{"sources": ["/home"], "parity": 5}',),
        "json",
    ),
    Decoder(
        "as what files were stored",
        lambda data, _: lineage.lineage_of([replace(_SNAPSHOT, settings=data.decode(errors="replace"))]),
        (b'{"sources": ["/home"], "stored_as": [["set", "auto"], ["path", "65536"]]}',),
        "json",
    ),
    Decoder(
        "what links lead to",
        lambda data, _: followed_links.named_sources(replace(_SNAPSHOT, settings=data.decode(errors="replace"))),
        (b'{"sources": ["/home"], "followed": ["/srv/x", "/mnt"]}',),
        "json",
    ),
    Decoder(
        "names of objects",
        _names,
        (
            b"snapshots/b" + b"0" * 32 + b"/20261121t210710z-" + b"1" * 32,
            b"sessions/" + b"a" * 32 + b"/00000001",
            b"gc/12.candidates",
            b"blocks/ab/" + b"ab" * 32,
        ),
        "text",
    ),
)
