"""A snapshot that stands in for another one: a session of its own that is based on the old one (docs/protocol.md).

Until the new one stands, the old one does; who writes it drops the old one afterwards, never before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from blake3 import blake3

from backupd.errors import BackupError, CheckFailedError, ConflictError, DamageError, NewerVersionError, StoppedError
from backupd.operations.backup import basing
from backupd.operations.backup.after_commit import end_session, remember_seen
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.session import Publishing, RunningSession, WriterIdentity, begin_journal
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.operations.ticker import Ticker
from backupd.repository.dropping import drop_snapshots, is_meant
from backupd.repository.index_loading import LoadedIndex, mark_absent
from backupd.repository.notes import write_note
from backupd.repository.reader import ChunkReader
from backupd.repository.records import Records
from backupd.snapshot.notes import PIN, Noted
from backupd.snapshot.records import Note, Snapshot
from backupd.tree.reaching import TreeReach

Fill = Callable[[Publishing, RunningSession], Snapshot]
"""Stores and names what the new snapshot needs besides; gives that snapshot."""


class GivenUpError(Exception):
    """The new snapshot can't be made: its session is ended at once, the old one stays."""

    def __init__(self, reason: BackupError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Replaced(NamedTuple):
    """A snapshot, and the one that stands in for it."""

    old: SnapshotAt
    new: SnapshotAt
    is_fresh: bool
    """Whether this run wrote the new one: who dropped the old one may not have seen it."""


class _Run:
    """A session that is posted."""

    def __init__(self, context: JobContext, session: RunningSession, publishing: Publishing) -> None:
        self._context, self.session, self.publishing = context, session, publishing
        self.is_ended = False

    def abandon(self) -> None:
        """No snapshot comes of it."""
        self.session.abandon(self._context.clock.now_ns())
        self.is_ended = True

    def end(self) -> None:
        """Its name is taken or void."""
        self.is_ended = True
        end_session(self._context, self.session)


class WritingAnew:
    """Of one set, whose lock is held, at one place, of which it is a writer. One thread calls everything here."""

    def __init__(
        self, context: JobContext, place: OpenPlace, index: LoadedIndex, who: WriterIdentity, ours: str
    ) -> None:
        """index: sessions of dead runs of this state were ended with it. ours: as of `is_meant`."""
        self._context, self._place, self._tables, self._who = context, place, index.tables, who
        self._ours = ours
        self._records = place.records

    def write(self, at: SnapshotAt, new_id: bytes, noted: Noted, fill: Fill, also: Sequence[str] = ()) -> SnapshotAt:
        """The snapshot that stands in for the old one, which is not dropped here.

        new_id, noted: its id, and what is noted of the old one. also: names of further snapshots that it relies on.
        Raises ConflictError where the old one was dropped, or the session ended, meanwhile, GivenUpError as `fill`, and
        what it raises besides. After these two or a stop nothing is left open.
        """
        context, records = self._context, self._records
        if noted.is_pinned:
            # Before there is anything that a policy could drop.
            write_note(records, Note(context.clock.now_ns(), self._who.host_id, new_id, PIN, noted.reason))
        older_drops = frozenset(records.listed_drops)
        with self._posted(at, also) as run:
            session = run.session
            try:
                snapshot = fill(run.publishing, session)
            except (StoppedError, GivenUpError):
                run.abandon()
                raise
            except ConflictError:
                run.end()
                raise
            try:
                session.commit(snapshot, context.clock.now_ns())
            except ConflictError:
                run.end()
                # Its name may stand there, and lack something; nobody is to rely on it while the old one is there.
                self._drop_beside(at, session.name, older_drops)
                raise
            remember_seen(context, self._place, session.name)
            run.end()
            if is_meant(records, at.name, self._ours):
                # Who dropped the old one meant what it holds, or has something else standing in for it.
                self._drop(session.name, DROPPED_MEANWHILE)
                raise _dropped()
        return SnapshotAt(session.name, snapshot)

    def is_whole(self, at: SnapshotAt, stand_in: SnapshotAt, root: bytes | None = None) -> bool:
        """Whether all is there that an earlier call has made to stand in for a snapshot; else it is dropped.

        root: that it is to have, where that is known. What a list names is not relied on, for the cleaner may have
        looked before it stood there. Raises ConflictError where the old one was dropped meanwhile, NewerVersionError,
        the stop that was asked for, DestinationError.
        """
        older_drops = frozenset(self._records.listed_drops)
        with self._posted(at, [stand_in.name]) as run:
            try:
                stands = self._stands(stand_in.name)
                own = stand_in.snapshot.root
                lacks = stands and (root not in (None, own) or self._lacks(own, run.session))
            except (StoppedError, NewerVersionError):
                run.abandon()
                raise
            except ConflictError:
                run.end()
                raise
            # What a session is based on is not deleted.
            run.abandon()
            if lacks and not self._drop_beside(at, stand_in.name, older_drops):
                raise _dropped()
        return stands and not lacks

    @contextmanager
    def _posted(self, at: SnapshotAt, also: Sequence[str]) -> Iterator[_Run]:
        """A session that is based on the old one, which stood there still after that. Raises ConflictError."""
        context, records = self._context, self._records
        self._refuse_dropped(at.name)
        session = RunningSession(os.urandom(16), records, self._who, [at.name, *also], at.snapshot.started_ns)
        session.post(context.clock.now_ns())
        state, _ = mark_absent(self._tables, records)
        honouring = session.begin_honouring(self._tables, state, context.clock.now_ns())
        journal = begin_journal(basing.journal_path(context, self._place, self._who.set_id), session, "")
        publishing = Publishing(records, self._tables, journal, context.warn, honouring, state.generation)
        run = _Run(context, session, publishing)
        try:
            try:
                self._refuse_dropped(at.name)
            except ConflictError:
                run.abandon()
                raise
            # What was made for those is taken over unasked; of one that is gone already it is forgotten.
            session.relied = [at.name, *self._standing(also)]
            yield run
        finally:
            # Where it did not end, the next run of the set ends the session by the journal.
            journal.close(is_ended=run.is_ended)

    def _lacks(self, root: bytes, session: RunningSession) -> bool:
        """Whether anything is not there that a tree reaches."""
        ticker = Ticker(self._context, Posts(session, self._context.clock), None, None)
        reader = ChunkReader(self._place.segments(), self._tables)
        try:
            for ids in TreeReach(reader.load, set()).chunks(root, None):
                ticker.turn()
                if ids and not all(self._tables.has_many(ids)):
                    return True
        except DamageError as error:
            if error is ticker.raised or isinstance(error, CheckFailedError):
                raise
            return True
        return False

    def _refuse_dropped(self, name: str) -> None:
        """Of one that was dropped what it holds may go at any moment. Raises ConflictError."""
        # In this order: an object goes after the record of it, and not while a session is based on it.
        is_there = self._records.place.size(name) is not None
        void, unread = self._records.readable_void_names()
        if name in void or not is_there:
            raise _dropped()
        if unread:
            raise ConflictError(
                f"{min(unread)} can't be read: it may have dropped the snapshot that is to be written anew",
                hint="bkctl check SET says what helps against that record",
            )

    def _standing(self, names: Sequence[str]) -> list[str]:
        """Those that stand, by one listing; where that lags each other one is asked for."""
        listed = {one.name for one in self._records.snapshot_names()} if names else set()
        return [name for name in names if name in listed or self._stands(name)]

    def _stands(self, name: str) -> bool:
        return name not in self._records.readable_void_names()[0] and self._records.place.size(name) is not None

    def _drop_beside(self, at: SnapshotAt, name: str, older_drops: frozenset[str]) -> bool:
        """Drop what stands in for a snapshot that is there for sure; whether it was so.

        older_drops: records that came before the session, none of which named the old one.
        """
        void, unread = self._records.readable_void_names()
        is_sure = at.name not in void and not unread.keys() - older_drops
        if not is_sure or self._records.place.size(at.name) is None:
            return False
        self._drop(name, "not whole")
        return True

    def _drop(self, name: str, reason: str) -> None:
        drop_snapshots(self._records, [name], self._context.clock.now_ns(), self._who.host_id, reason)


DROPPED_MEANWHILE = "dropped meanwhile"
"""Why what stands in for a snapshot is dropped that another one has dropped."""


class Standing(NamedTuple):
    """Pairs of an old and a new snapshot, by what is to become of them."""

    both: list[Replaced]
    old_gone: list[Replaced]
    """The old one was dropped for what it holds, or something else stands in for it: so the new one goes, too."""
    new_gone: list[Replaced]
    """The new one was dropped: who did it saw both, and chose one."""


def look_again(records: Records, replaced: Sequence[Replaced], ours: str) -> Standing:
    """Which of them stand, right before the old ones are dropped.

    Of one that was dropped beside a stand-in from an earlier run, that stays: who did it saw both, and chose one. So it
    does where another host has taken the stand-in over, and dropped the old one for it. ours: as of `is_meant`.
    """
    standing = {name.name for name in records.snapshot_names()}
    found = Standing([], [], [])
    for one in replaced:
        if one.new.name not in standing:
            found.new_gone.append(one)
        elif one.old.name in standing:
            found.both.append(one)
        elif one.is_fresh and is_meant(records, one.old.name, ours):
            found.old_gone.append(one)
    return found


def _dropped() -> ConflictError:
    return ConflictError("the snapshot was dropped before it was written anew", hint="run the same command again")


def rewritten_id(chunk_id_key: bytes, old_id: bytes, parts: Sequence[bytes]) -> bytes:
    """The id of what stands in for a snapshot: the same at each destination, and whenever it is asked for.

    parts: what tells apart the ways in which it may be written anew.
    """
    key = blake3(b"backupd rewritten" + chunk_id_key).digest()
    return blake3(old_id + b"\0".join(parts), key=key).digest(16)
