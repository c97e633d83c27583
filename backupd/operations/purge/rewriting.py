"""A snapshot written anew without some paths: a session of its own that is based on the old one, then the old one goes.

Until the new one stands, the old one does; what both share is never read (DESIGN 8).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from backupd.chunk.identity import node_key
from backupd.operations.backup import basing
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.session import Publishing, RunningSession, WriterIdentity, validate
from backupd.operations.context import JobContext
from backupd.operations.new_chunks import NewChunks
from backupd.operations.places import OpenPlace
from backupd.operations.purge.choosing import Wish, paths_word, remaining_sources
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.operations.ticker import Ticker
from backupd.operations.writing_anew import Replaced, WritingAnew, rewritten_id
from backupd.repository.index_loading import LoadedIndex, load_index
from backupd.repository.reader import ChunkReader
from backupd.settings.directories import ensure
from backupd.snapshot.notes import Noted
from backupd.snapshot.records import Rewriting, Snapshot
from backupd.tree.omitting import Omission


class Rewriter:
    """Of one set, whose lock is held. One thread calls everything here."""

    def __init__(self, context: JobContext, place: OpenPlace, set_id: bytes, paths: Sequence[bytes]) -> None:
        """place: a writer's. Raises DamageError, DestinationError."""
        self._context, self._place, self._records = context, place, place.records
        host = context.host
        ids = (bytes.fromhex(host.host_id), bytes.fromhex(host.state_id))
        self._who = WriterIdentity(*ids, host.boot_id, set_id)
        keyring = place.repository.keyring
        self._chunk_id_key = keyring.chunk_id_key
        self._omission = Omission(node_key(keyring.chunk_id_key), paths)
        self._index: LoadedIndex = load_index(place.repository, ensure(os.path.join(place.cache, "index")))
        # What a dead run of this state stored, and its session, are ended as by the set's next backup.
        basing.end_dead(context, place, set_id, self._who, self._index.tables)
        self.stored_bytes = 0

    def close(self) -> None:
        """Close the tables."""
        self._index.tables.close()

    def rewrite(self, wish: Wish, noted: Noted, standing: dict[bytes, SnapshotAt]) -> Replaced:
        """The snapshot that stands in for the old one, which is not dropped here; it may be there from an earlier call.

        standing: the set's snapshots by id. Raises ConflictError where the old one was dropped meanwhile.
        """
        old = wish.snapshot
        new_id = rewritten_id(self._chunk_id_key, old.id, self._omission.paths)
        ours = paths_word(self._omission.paths)
        writing = WritingAnew(self._context, self._place, self._index, self._who, ours)
        stand_in = standing.get(new_id)
        if stand_in is not None and writing.is_whole(wish.at, stand_in, wish.new_root):
            return Replaced(wish.at, stand_in, is_fresh=False)

        def fill(publishing: Publishing, session: RunningSession) -> Snapshot:
            root = self._store_nodes(wish.snapshot.root, publishing, session)
            return self._stand_in(wish, new_id, root, noted)

        return Replaced(wish.at, writing.write(wish.at, new_id, noted, fill), is_fresh=True)

    def _store_nodes(self, root: bytes, publishing: Publishing, session: RunningSession) -> bytes:
        """Store the nodes on the way to the paths; gives the new top node."""
        tables, context = self._index.tables, self._context
        ticker = Ticker(context, Posts(session, context.clock), None, None)
        chunks = NewChunks(self._place, tables, publishing, ticker, "normal")
        made: dict[bytes, bytes] = {}
        reader = ChunkReader(self._place.segments(), tables)

        def store(node: bytes) -> bytes:
            node_id = chunks.add_node(node)
            made[node_id] = node
            return node_id

        def load(node_id: bytes) -> bytes:
            return made.get(node_id) or reader.load(node_id)

        try:
            new_root, _ = self._omission.apply(root, load, store)
            chunks.finish()
            validate(self._records, chunks.unmeasured, context.warn, context.clock.now_ns(), self._who.host_id)
        finally:
            self.stored_bytes += chunks.stored_bytes
            chunks.close()
        return new_root

    def _stand_in(self, wish: Wish, new_id: bytes, root: bytes, noted: Noted) -> Snapshot:
        old = wish.snapshot
        paths = len(wish.left_out) + (old.rewriting.path_count if old.rewriting is not None else 0)
        return msgspec.structs.replace(
            old,
            id=new_id,
            root=root,
            sources=remaining_sources(old, self._omission.paths),
            file_count=max(0, old.file_count - wish.files),
            byte_count=max(0, old.byte_count - wish.bytes),
            tags=noted.tags_over(old.tags),
            rewriting=Rewriting(old.id, self._context.clock.now_ns(), self._who.host_id, paths),
        )
