"""A snapshot that stands in for another one: a session of its own that is based on the old one (docs/protocol.md).

Until the new one stands, the old one does; who writes it drops the old one afterwards, never before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from blake3 import blake3

from backupd.errors import BackupError, ConflictError, StoppedError
from backupd.operations.backup import basing
from backupd.operations.backup.after_commit import end_session, remember_seen
from backupd.operations.backup.session import Publishing, RunningSession, WriterIdentity, begin_journal
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, SnapshotAt
from backupd.repository.dropping import drop_snapshots
from backupd.repository.index_loading import LoadedIndex, mark_absent
from backupd.snapshot.records import Snapshot

Fill = Callable[[Publishing, RunningSession], Snapshot]
"""Stores and names what the new snapshot needs besides; gives that snapshot."""


class GivenUpError(Exception):
    """The new snapshot can't be made: its session is ended at once, the old one stays."""

    def __init__(self, reason: BackupError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class WritingAnew:
    """Of one set, whose lock is held, at one place, of which it is a writer. One thread calls everything here."""

    def __init__(self, context: JobContext, place: OpenPlace, index: LoadedIndex, who: WriterIdentity) -> None:
        """index: sessions of dead runs of this state were ended with it."""
        self._context, self._place, self._tables, self._who = context, place, index.tables, who

    def write(self, at: SnapshotAt, fill: Fill, also: Sequence[str] = ()) -> SnapshotAt:
        """The snapshot that stands in for the old one, which is not dropped here.

        also: names of further snapshots that it relies on. Raises ConflictError where the old one was dropped
        meanwhile, GivenUpError as `fill`, and what it raises besides. After that one or a stop nothing is left open.
        """
        context, records = self._context, self._place.records
        self._refuse_dropped(at.name)
        bases = [at.name, *also]
        session = RunningSession(os.urandom(16), records, self._who, bases, at.snapshot.started_ns)
        session.post(context.clock.now_ns())
        state, _ = mark_absent(self._tables, records)
        honouring = session.begin_honouring(self._tables, state, context.clock.now_ns())
        journal = begin_journal(basing.journal_path(context, self._place, self._who.set_id), session, "")
        is_ended = False
        try:
            self._refuse_dropped(at.name)
            session.relied = bases
            publishing = Publishing(records, self._tables, journal, context.warn, honouring, state.generation)
            try:
                snapshot = fill(publishing, session)
            except (StoppedError, GivenUpError):
                session.abandon(context.clock.now_ns())
                is_ended = True
                raise
            session.commit(snapshot, context.clock.now_ns())
            is_ended = True
            remember_seen(context, self._place, session.name)
            end_session(context, session)
            if at.name in records.readable_void_names()[0]:
                # Who dropped the old one meant what it holds.
                drop_snapshots(records, [session.name], context.clock.now_ns(), self._who.host_id, "dropped meanwhile")
                raise _dropped()
        finally:
            # Where it did not end, the next run of the set ends the session by the journal.
            journal.close(is_ended=is_ended)
        return SnapshotAt(session.name, snapshot)

    def _refuse_dropped(self, name: str) -> None:
        """Of one that was dropped what it holds may go at any moment. Raises ConflictError."""
        records = self._place.records
        void, unread = records.readable_void_names()
        if name in void or records.place.size(name) is None:
            raise _dropped()
        if unread:
            raise ConflictError(
                f"{min(unread)} can't be read: it may have dropped the snapshot that is to be written anew",
                hint="bkctl check SET says what helps against that record",
            )


def _dropped() -> ConflictError:
    return ConflictError("the snapshot was dropped before it was written anew", hint="run the same command again")


def rewritten_id(chunk_id_key: bytes, old_id: bytes, parts: Sequence[bytes]) -> bytes:
    """The id of what stands in for a snapshot: the same at each destination, and whenever it is asked for.

    parts: what tells apart the ways in which it may be written anew.
    """
    key = blake3(b"backupd rewritten" + chunk_id_key).digest()
    return blake3(old_id + b"\0".join(parts), key=key).digest(16)
