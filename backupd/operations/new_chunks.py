"""Chunks and nodes of one session on their way into blocks: what is lacking is stored, grouped and compressed."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.block.layout import DATA, TREE
from backupd.cache.index_tables import IndexTables
from backupd.chunk.identity import ZERO_SALT, Identity
from backupd.operations.backup.session import Publishing
from backupd.operations.places import OpenPlace
from backupd.operations.ticker import Ticker
from backupd.repository.copied_blocks import CopiedBlocks
from backupd.repository.repacking import Repacker
from backupd.sizes import MIB

_PUBLISH_BYTES = 512 * MIB
_PUBLISH_CHUNKS = 100_000


class NewChunks:
    """Of one session at one place. One thread calls everything here; give it back what it needs by `close`."""

    def __init__(
        self, place: OpenPlace, tables: IndexTables, publishing: Publishing, ticker: Ticker, compression: str
    ) -> None:
        """tables: what is absent for writing is marked."""
        self._tables, self._publishing, self._ticker = tables, publishing, ticker
        self._identity = Identity(place.repository.keyring.chunk_id_key)
        self._blocks = ticker.blocks = CopiedBlocks(place.repository, publishing.announce, ticker.turn)
        setup = place.setup()
        self._repackers = {content: Repacker(setup, compression, content) for content in (DATA, TREE)}
        self._taken: set[bytes] = set()
        """On their way, and named by no index object yet."""
        self._publish_at = (_PUBLISH_BYTES, _PUBLISH_CHUNKS)
        """So many stored bytes, or so many taken chunks."""

    def add(self, parts: Sequence[bytes | memoryview], salt: bytes, *, is_compressible: bool) -> bytes:
        """Chunks of files: their ids, 32 bytes each. Raises what ends the sending, and what the ticker raises."""
        ids = [self._identity.chunk_id(part, salt) for part in parts]
        is_there = self._tables.has_many(b"".join(ids))
        for part, chunk_id, there in zip(parts, ids, is_there, strict=True):
            if not there:
                self._store(DATA, part, chunk_id, salt, is_compressible=is_compressible)
        return b"".join(ids)

    def add_node(self, node: bytes) -> bytes:
        """A node of a tree or list: its id. Raises as `add`."""
        self._ticker.turn()
        node_id = self._identity.chunk_id(node)
        if not self._tables.has_many(node_id)[0]:
            self._store(TREE, node, node_id, ZERO_SALT, is_compressible=True)
        return node_id

    def finish(self) -> None:
        """Send what is open and name it. Raises what ends the sending, BlocksLostError among them."""
        self._flush()
        self._blocks.finish()
        self._publish()

    @property
    def unmeasured(self) -> dict[bytes, int]:
        """Sizes of the blocks that are to be measured before the commit."""
        return self._publishing.unmeasured(self._blocks.sizes)

    @property
    def stored_bytes(self) -> int:
        """Of the blocks that are safe."""
        return self._blocks.stored_bytes

    def close(self) -> None:
        """End threads; what is open is given up."""
        self._blocks.close()
        for repacker in self._repackers.values():
            repacker.close()

    def _store(
        self, content: int, data: bytes | memoryview, chunk_id: bytes, salt: bytes, *, is_compressible: bool
    ) -> None:
        if chunk_id in self._taken:
            return
        self._taken.add(chunk_id)
        # A copy: the packer holds it until its segment is full.
        for sealed in self._repackers[content].add_chunk(
            bytes(data), chunk_id, salt, is_compressible=is_compressible
        ):
            self._blocks.add(sealed)
        if self._blocks.stored_bytes >= self._publish_at[0] or len(self._taken) >= self._publish_at[1]:
            self._publish()

    def _flush(self) -> None:
        for repacker in self._repackers.values():
            for sealed in repacker.flush():
                self._blocks.add(sealed)

    def _publish(self) -> None:
        """Name what is safe."""
        self._flush()
        self._publishing.publish_safe(self._blocks)
        self._taken &= self._blocks.placed
        self._publish_at = (self._blocks.stored_bytes + _PUBLISH_BYTES, len(self._taken) + _PUBLISH_CHUNKS)
