"""A snapshot written anew without some paths: a session of its own that is based on the old one, then the old one goes.

Until the new one stands, the old one does; what both share is never read (DESIGN 8).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
from blake3 import blake3

from backupd.block.layout import TREE
from backupd.chunk.identity import ZERO_SALT, Identity, node_key
from backupd.errors import ConflictError, StoppedError
from backupd.operations.backup import basing
from backupd.operations.backup.after_commit import end_session, remember_seen
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.session import (
    Publishing,
    RunningSession,
    WriterIdentity,
    begin_journal,
    validate,
)
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.purge.choosing import Wish, remaining_sources
from backupd.repository.copied_blocks import CopiedBlocks
from backupd.repository.index_loading import LoadedIndex, load_index, mark_absent
from backupd.repository.notes import write_note
from backupd.repository.reader import ChunkReader
from backupd.repository.repacking import Repacker
from backupd.settings.directories import ensure
from backupd.snapshot.notes import PIN, Noted
from backupd.snapshot.records import Note, Rewriting, Snapshot
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
        self._identity = Identity(keyring.chunk_id_key)
        self._omission = Omission(node_key(keyring.chunk_id_key), paths)
        self._index: LoadedIndex = load_index(place.repository, ensure(os.path.join(place.cache, "index")))
        # What a dead run of this state stored, and its session, are ended as by the set's next backup.
        basing.end_dead(context, place, set_id, self._who, self._index.tables)
        self.stored_bytes = 0

    def close(self) -> None:
        """Close the tables."""
        self._index.tables.close()

    def rewrite(self, wish: Wish, noted: Noted, standing: dict[bytes, str]) -> Snapshot:
        """The snapshot that stands in for the old one, which is not dropped here; it may be there from an earlier call.

        standing: names of the set's snapshots by id. Raises ConflictError where the old one was dropped meanwhile.
        """
        old = wish.snapshot
        new_id = rewritten_id(self._chunk_id_key, old.id, self._omission.paths)
        name = standing.get(new_id)
        if name is not None:
            return self._records.snapshot(name)
        if noted.is_pinned:
            # Before there is anything that a policy could drop.
            note = Note(self._context.clock.now_ns(), self._who.host_id, new_id, PIN, noted.reason)
            write_note(self._records, note)
        return self._write(wish, new_id, noted)

    def _write(self, wish: Wish, new_id: bytes, noted: Noted) -> Snapshot:
        context, tables = self._context, self._index.tables
        session = RunningSession(
            os.urandom(16), self._records, self._who, [wish.at.name], wish.snapshot.started_ns
        )
        session.post(context.clock.now_ns())
        state, _ = mark_absent(tables, self._records)
        honouring = session.begin_honouring(tables, state, context.clock.now_ns())
        journal = begin_journal(basing.journal_path(context, self._place, self._who.set_id), session, "")
        is_ended = False
        try:
            void, _ = self._records.readable_void_names()
            if wish.at.name in void or self._records.place.size(wish.at.name) is None:
                raise ConflictError(
                    "the snapshot was dropped before it could be written anew", hint="run the purge again"
                )
            publishing = Publishing(self._records, tables, journal, context.warn, honouring, state.generation)
            try:
                root = self._store_nodes(wish.snapshot.root, publishing, session)
            except StoppedError:
                session.abandon(context.clock.now_ns())
                is_ended = True
                raise
            snapshot = self._stand_in(wish, new_id, root, noted)
            session.commit(snapshot, context.clock.now_ns())
            is_ended = True
            remember_seen(self._context, self._place, session.name)
            end_session(self._context, session)
        finally:
            # Where it did not end, the next run of the set, or the next purge, ends the session by the journal.
            journal.close(is_ended=is_ended)
        return snapshot

    def _store_nodes(self, root: bytes, publishing: Publishing, session: RunningSession) -> bytes:
        """Store the nodes on the way to the paths; gives the new top node."""
        tables, context = self._index.tables, self._context
        ticker = _Ticker(context, session)
        blocks = CopiedBlocks(self._place.repository, publishing.announce, ticker.turn)
        repacker = Repacker(self._place.setup(), "normal", TREE)
        made: dict[bytes, bytes] = {}
        reader = ChunkReader(self._place.segments(), tables)

        def store(node: bytes) -> bytes:
            ticker.turn()
            node_id = self._identity.chunk_id(node)
            if node_id not in made and not tables.has_many(node_id)[0]:
                made[node_id] = node
                for segment in repacker.add_chunk(node, node_id, ZERO_SALT, is_compressible=True):
                    blocks.add(segment)
            return node_id

        def load(node_id: bytes) -> bytes:
            return made.get(node_id) or reader.load(node_id)

        try:
            new_root, _ = self._omission.apply(root, load, store)
            for segment in repacker.flush():
                blocks.add(segment)
            blocks.finish()
            publishing.publish(blocks.take_safe())
            sizes = publishing.unmeasured(blocks.sizes)
            validate(self._records, sizes, context.warn, context.clock.now_ns(), self._who.host_id)
        finally:
            self.stored_bytes += blocks.stored_bytes
            repacker.close()
            blocks.close()
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


def rewritten_id(chunk_id_key: bytes, old_id: bytes, paths: Sequence[bytes]) -> bytes:
    """The id of what stands in for a snapshot: the same at each destination, and whenever it is asked for."""
    key = blake3(b"backupd rewritten" + chunk_id_key).digest()
    return blake3(old_id + b"\0".join(paths), key=key).digest(16)


class _Ticker:
    """Asked between all steps: is the job to end, to wait, to announce its session again?"""

    def __init__(self, context: JobContext, session: RunningSession) -> None:
        self._context, self._posts = context, Posts(session, context.clock)

    def turn(self) -> None:
        """Raises the stop that was asked for, DestinationError."""
        self._posts.post_if_due()
        self._context.cancel.check()
        self._context.wait_while_paused(tick=self._posts.post_if_due)
