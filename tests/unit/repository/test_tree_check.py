"""Every snapshot that a lost chunk hits is named, at the cost of one walk over what snapshots share."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from backupd.cache.index_tables import IndexTables
from backupd.destination.local import LocalDestination
from backupd.repository.index_loading import load_index
from backupd.repository.reader import ChunkReader, SegmentReader, worker_setup
from backupd.repository.tree_check import Hit, TreeCheck
from backupd.tree.entry import Entry, Kind, encode
from backupd.tree.nodes import NodeBuilder
from tests.support.small_repository import CHUNK_BYTES, Node, SmallRepository, directory

LONG = bytes(range(256)) * (300 * CHUNK_BYTES // 256)
DEPTH = 1500


class _Walks:
    """Snapshots of a small repository, walked while all nodes that are loaded are noted."""

    def __init__(self, above: Path) -> None:
        self.small = SmallRepository(above / "place")
        shared = directory(**{f"name{n}": Node(bytes([n]) * 10) for n in range(200)})
        shared_long = directory(long=Node(bytes(n % 251 for n in range(300)) + LONG))
        self.roots = [
            self.small.add(directory(shared=shared, lists=shared_long, own=Node(bytes([day]) * 20)), day=day).root
            for day in range(3)
        ]
        repository = self.small.repository
        self.tables: IndexTables = load_index(repository, str(above / "tables")).tables
        place = LocalDestination(f"{self.small.place}/{repository.text_id}", "reader")
        self.reader = ChunkReader(SegmentReader(place, worker_setup(repository, str(self.small.place))), self.tables)
        self.loaded: list[bytes] = []

    def load(self, chunk_id: bytes) -> bytes:
        self.loaded.append(chunk_id)
        return self.reader.load(chunk_id)

    def walk(self, lost: set[bytes] = frozenset()) -> list[list[Hit]]:  # type: ignore[assignment]
        def has_many(ids: bytes) -> bytearray:
            present = self.tables.has_many(ids)
            return bytearray(
                is_there and ids[32 * at : 32 * at + 32] not in lost for at, is_there in enumerate(present)
            )

        check = TreeCheck(self.load, has_many, self.tables)
        return [[hit for hit in check.walk(root) if hit is not None] for root in self.roots]


@pytest.fixture
def walks(tmp_path: Path) -> _Walks:
    return _Walks(tmp_path)


def test_what_snapshots_share_is_walked_once(walks: _Walks) -> None:
    """10,000 snapshots of one tree must not take 10,000 walks."""
    assert walks.walk() == [[], [], []]
    assert len(walks.loaded) == len(set(walks.loaded))


def test_each_snapshot_names_its_files(walks: _Walks) -> None:
    """A user who restores an older snapshot must know of it, too."""
    identity = walks.reader._segments.identity
    shared = identity.chunk_id(bytes([7]) * 10)
    piece = identity.chunk_id((bytes(n % 251 for n in range(300)) + LONG)[CHUNK_BYTES : 2 * CHUNK_BYTES])
    own = identity.chunk_id(bytes([1]) * 20)
    hits = walks.walk({shared, piece, own})
    paths = [sorted({hit.path for hit in found}) for found in hits]
    assert paths[0] == paths[2] == [b"/lists/long", b"/shared/name7"]
    assert paths[1] == [b"/lists/long", b"/own", b"/shared/name7"]


def test_a_tree_deeper_than_python_recurses() -> None:
    nodes: dict[bytes, bytes] = {}

    def store(data: bytes) -> bytes:
        chunk_id = blake3(data).digest()
        nodes[chunk_id] = data
        return chunk_id

    root = store(bytes((0x92, 1, 0x90)))
    for _ in range(DEPTH):
        builder = NodeBuilder(bytes(32), store)
        builder.add(b"d", encode(Entry(b"d", Kind.DIRECTORY, 0o755, 0, 0, 0, 0, root)))
        root = builder.finish()
    tables = IndexTables("")
    check = TreeCheck(nodes.__getitem__, tables.has_many, tables)
    assert [hit for hit in check.walk(root) if hit is not None] == []
    assert check.entry_count == DEPTH
