"""A small real repository made without a run: trees given as dictionaries, blocks, index and snapshots as ever."""

from __future__ import annotations

import os
import struct
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from backupd.block.assembler import BlockAssembler
from backupd.block.layout import DATA, TREE, FrameHeader, block_name
from backupd.block.segment import pack
from backupd.cache.index_tables import IndexTables
from backupd.chunk.identity import ZERO_SALT, Identity, node_key
from backupd.destination.local import LocalDestination
from backupd.repository import opening
from backupd.repository.index_loading import publish, to_contents
from backupd.repository.opening import NewSlot, OpenRepository
from backupd.repository.records import Records
from backupd.seal.cipher import EpochName
from backupd.seal.compression import Compressor
from backupd.seal.keyring import Configuration
from backupd.seal.segment_seal import SegmentSealer
from backupd.seal.slot import new_secret
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Content, Entry, Extra, Kind, Stored, encode
from backupd.tree.lists import make_content
from backupd.tree.nodes import NodeBuilder

SECOND = 1_000_000_000
START_NS = 1_795_000_000 * SECOND
CHUNK_BYTES = 1000


@dataclass
class Node:
    """One entry of a tree to store; `data` is a file's content without its holes."""

    data: bytes = b""
    below: dict[bytes, Node] | None = None
    target: bytes | None = None
    mode: int = 0o644
    mtime_ns: int = START_NS
    extents: list[tuple[int, int]] = field(default_factory=list)
    size: int | None = None
    xattrs: list[tuple[bytes, bytes | Stored]] = field(default_factory=list)


def directory(**below: Node) -> Node:
    """A directory of these entries."""
    return Node(below={name.encode(): node for name, node in below.items()}, mode=0o755)


class SmallRepository:
    """A repository at a local place; each `add` makes one snapshot with its own blocks and index object."""

    def __init__(
        self, place: Path, new: NewSlot | None = None, repository: OpenRepository | None = None, parity: int = 0
    ) -> None:
        """parity: percent."""
        place.mkdir(exist_ok=True)
        self.place = place
        self.secret = new_secret() if new is None else new.secret
        self.whole = LocalDestination(str(place), "small")
        config = Configuration("aes-256-gcm", 32 << 20, parity)
        slot = new or NewSlot("key", self.secret, "first key")
        self.repository = repository or opening.create(self.whole, os.urandom(16), config, slot, START_NS)

    def add(
        self,
        root: Node,
        *,
        set_name: str = "documents",
        host: str = "laptop",
        day: int = 0,
        sources: tuple[bytes, ...] = (b"/home/anna",),
        is_complete: bool = True,
    ) -> Snapshot:
        """Store a tree that stands for `/` and commit its snapshot."""
        store = _Store(self.repository)
        top = store.directory(root)
        store.finish()
        started_ns = START_NS + day * 86_400 * SECOND
        snapshot = Snapshot(
            id=os.urandom(16),
            set_id=(host.encode() + b":" + set_name.encode()).ljust(16, b"\0")[:16],
            set_name=set_name,
            host_id=bytes(16),
            host_name=host,
            started_ns=started_ns,
            finished_ns=started_ns + 7 * SECOND,
            is_complete=is_complete,
            root=top,
            sources=list(sources),
            owners=[(1000, b"anna")],
            groups=[(1000, b"people")],
            file_count=store.file_count,
            byte_count=store.byte_count,
            statistics={"stored_bytes": store.stored_bytes},
            tags={"why": "test"},
            settings="made by a test",
        )
        name = naming.snapshot_name(snapshot.set_id, started_ns, snapshot.id)
        Records(self.repository).commit(name, snapshot)
        return snapshot


class _Store:
    def __init__(self, repository: OpenRepository) -> None:
        self._repository = repository
        keyring = repository.keyring
        keys, cipher, parity = keyring.current, keyring.configuration.cipher, keyring.configuration.parity
        self._epoch = EpochName(keys.number, keys.random)
        self._sealer = SegmentSealer(repository.id, self._epoch, keys.data_key, cipher)
        self._identity = Identity(keyring.chunk_id_key)
        self._key = node_key(keyring.chunk_id_key)
        self._compressor = Compressor("fast")
        self._blocks = {
            content: BlockAssembler(repository.id, self._epoch, keys.data_key, cipher, content, parity)
            for content in (DATA, TREE)
        }
        self._seen: set[bytes] = set()
        self.file_count = self.byte_count = self.stored_bytes = 0

    def chunk(self, data: bytes, content: int) -> bytes:
        """Store a chunk in a segment of its own; gives its id."""
        chunk_id = self._identity.chunk_id(data)
        if chunk_id not in self._seen:
            self._seen.add(chunk_id)
            plain = pack([data], [ZERO_SALT])
            compression, body = self._compressor.compress(plain)
            sealed = self._sealer.seal(body)
            frame = FrameHeader(
                self._sealer.salt, self._sealer.counter, len(sealed), len(plain), self._epoch, 1, compression
            )
            self._blocks[content].add(frame, chunk_id, sealed)
        return chunk_id

    def directory(self, node: Node) -> bytes:
        """Store a directory and all below; gives its top node."""
        builder = NodeBuilder(self._key, lambda data: self.chunk(data, TREE))
        for name in sorted(node.below or {}):
            builder.add(name, encode(self._entry(name, (node.below or {})[name])))
        return builder.finish()

    def finish(self) -> None:
        """Send blocks and index."""
        done = [block.finish() for block in self._blocks.values() if not block.is_empty]
        for finished in done:
            finished.complete()
        for block in done:
            self._repository.place.put(block_name(block.block_id), block.buffers)
            self.stored_bytes += block.size_bytes
        publish(self._repository, _NoTables(), [to_contents(block) for block in done], 0)

    def _entry(self, name: bytes, node: Node) -> Entry:
        kind, size = Kind.FILE, len(node.data)
        content: Content = None
        if node.below is not None:
            kind, content = Kind.DIRECTORY, self.directory(node)
        elif node.target is not None:
            kind, content, size = Kind.SYMLINK, node.target, len(node.target)
        else:
            content = self._content(node.data)
            self.file_count += 1
            self.byte_count += size
        extents = b"".join(struct.pack("<QQ", *pair) for pair in node.extents) or None
        extra = Extra(xattrs=node.xattrs or None, extents=extents) if node.xattrs or extents else None
        return Entry(name, kind, node.mode, 1000, 1000, node.mtime_ns, node.size or size, content, extra)

    def _content(self, data: bytes) -> Content:
        parts = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        ids = b"".join(self.chunk(part, DATA) for part in parts)
        return make_content(12, ids, array("I", map(len, parts)), lambda node: self.chunk(node, TREE))


class _NoTables(IndexTables):
    """Publishing makes tables of this host beside the object; here nobody wants them."""

    def __init__(self) -> None:
        super().__init__("")

    def build(self, name: str, contents: object) -> None:
        """Keep nothing."""
