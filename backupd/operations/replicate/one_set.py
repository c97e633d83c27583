"""The snapshots of one set: a session each, chunks that are lacking, the commit (DESIGN 8.1, 8.2, 8.6)."""

from __future__ import annotations

import os
from contextlib import suppress

from backupd.clock import to_name
from backupd.errors import (
    AccessError,
    DamageError,
    DestinationError,
    ObjectMissingError,
    StateError,
    StateFullError,
    StoppedError,
)
from backupd.model.orders import ReplicateOrder
from backupd.operations.backup import basing
from backupd.operations.backup.after_commit import end_session, remember_seen
from backupd.operations.backup.locking import is_locking, keep_locked, locks_failed
from backupd.operations.backup.session import (
    Publishing,
    RunningSession,
    WriterIdentity,
    begin_journal,
    drop_partials,
    validate,
)
from backupd.operations.backup.space import SpaceGuard, stored_in
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.replicate.blame import blame, told_of
from backupd.operations.replicate.content import ContentCopy, Ticker
from backupd.operations.replicate.report import Report
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository import reserve
from backupd.repository.copied_blocks import CopiedBlocks
from backupd.repository.index_loading import LoadedIndex, forget_lost, load_index, mark_absent, merge_levels
from backupd.settings.directories import ensure
from backupd.snapshot import naming
from backupd.snapshot.naming import SnapshotName
from backupd.snapshot.records import Snapshot
from backupd.store_errors import BlocksLostError


class SetReplication:
    """One set, whose lock is held."""

    def __init__(
        self,
        context: JobContext,
        old: OpenPlace,
        new: OpenPlace,
        report: Report,
        wanted: list[SnapshotAt],
        order: ReplicateOrder,
    ) -> None:
        """wanted: finished snapshots, the oldest first, at least one. order: says how much the new place may take."""
        self._limits, self._keeps_reserve = order.space, bool(order.to_name)
        self._context, self._old, self._new, self._report = context, old, new, report
        self._wanted, self._records = wanted, new.records
        self._set_id = wanted[0].snapshot.set_id
        host = context.host
        ids = (bytes.fromhex(host.host_id), bytes.fromhex(host.state_id))
        self._who = WriterIdentity(*ids, host.boot_id, self._set_id)
        self._names: list[SnapshotName] = []
        self._read: dict[str, Snapshot | None] = {}
        self._proved_by = ""
        self._began_ns = context.clock.now_ns()
        self._stored: set[bytes] = set()
        self._relied: set[bytes] = set()
        """Blocks of the new place, those stored and those there before, for their locks."""

    def run(self) -> None:
        """Copy what is lacking; what the new place loses meanwhile once more, for that is known as damage then.

        Raises BackupError; snapshots that were copied before it stand.
        """
        report = self._report
        there_count = report.there_count
        try:
            self._run()
        except BlocksLostError as error:
            self._context.warn(f"{error.message}; what was lost is copied again")
            report.lost, report.there_count = error, there_count
            self._run()

    def _run(self) -> None:
        context, report = self._context, self._report
        with told_of(report.to_name):
            set_id = naming.set_id_text(self._set_id)
            self._names = [name for name in self._records.snapshot_names() if name.set_id == set_id]
            missing = [at for at in self._wanted if not self._is_there(at.snapshot)]
        there = [at for at in self._wanted if at not in missing and not report.has_copied(at.snapshot)]
        report.there_count += len(there)
        if not missing and not os.path.exists(self._journal_path):
            return
        with told_of(report.to_name):
            directory = ensure(os.path.join(self._new.cache, "index"))
            index = load_index(self._new.repository, directory)
            for message in index.damaged.values():
                context.warn(f"{report.to_name}: {message}; what it names is copied again")
            basing.end_dead(context, self._new, self._set_id, self._who, index.tables)
            guard = SpaceGuard(self._limits, None, self._new, index.tables, context.clock)
            guard.refuse(lambda: [])
        if missing:
            with told_of(report.from_name):
                content = ContentCopy(context, self._old, self._new, index.tables, report)
            try:
                for at in missing:
                    self._copy(at.snapshot, index, content, guard)
                    self._merge(index)
            finally:
                content.close()
            self._tidy_up(index)
        report.held_bytes = sum(stored_in(index.tables).values())
        for warning in guard.warnings(report.held_bytes):
            context.warn(warning)
        index.tables.close()

    @property
    def _journal_path(self) -> str:
        return basing.journal_path(self._context, self._new, self._set_id)

    def _is_there(self, snapshot: Snapshot) -> bool:
        """Whether the new place lists a snapshot by its id. A name tells when it began, so few have to be read."""
        alike = [name for name in self._names if name.start == to_name(snapshot.started_ns)]
        return any(found is not None and found.id == snapshot.id for found in map(self._complete, alike))

    def _complete(self, name: SnapshotName) -> Snapshot | None:
        """A finished snapshot of the new place; None: it is partial, or can't be read."""
        if name.name not in self._read:
            found: Snapshot | None = None
            with suppress(DamageError, ObjectMissingError):
                found = self._records.snapshot(name.name)
            self._read[name.name] = found if found is not None and found.is_complete else None
        return self._read[name.name]

    def _base_of(self, snapshot: Snapshot) -> SnapshotAt | None:
        """The finished snapshot of the new place that began last before this one, else the next one after it."""
        ordered = sorted(self._names, key=lambda name: name.start)
        before = [name for name in ordered if name.start <= to_name(snapshot.started_ns)]
        for name in (*reversed(before), *ordered[len(before) :]):
            found = self._complete(name)
            if found is not None:
                return SnapshotAt(name.name, found)
        return None

    def _copy(self, snapshot: Snapshot, index: LoadedIndex, content: ContentCopy, guard: SpaceGuard) -> None:
        """One snapshot, whole or not at all."""
        context, report = self._context, self._report
        context.step(f"copy snapshot {report.done_count + 1} of {report.wanted_count}")
        with told_of(report.to_name):
            base = self._base_of(snapshot)
            session = RunningSession(
                os.urandom(16), self._records, self._who, [base.name] if base is not None else [], snapshot.started_ns
            )
            session.post(context.clock.now_ns())
            state, _ = mark_absent(index.tables, self._records)
            honouring = session.begin_honouring(index.tables, state, context.clock.now_ns())
            if base is not None and not self._is_whole(base, index, state.absent):
                base = None
            # What it reaches is taken over unasked.
            session.relied = [base.name] if base is not None else []
        journal = begin_journal(self._journal_path, session, "")
        publishing = Publishing(self._records, index.tables, journal, context.warn, honouring, state.generation)
        ticker = Ticker(context, session, report, guard)
        with told_of(report.to_name):
            guard.begin_copy()
            blocks = CopiedBlocks(self._new.repository, publishing.announce, ticker.turn)
        content.begin(blocks, publishing, ticker)
        is_ended = False
        try:
            is_proving = base is not None and base.name == self._proved_by
            loss = content.copy(snapshot, base.snapshot.root if base is not None else None, is_proving=is_proving)
            content.finish()
            self._validate(blocks, publishing)
            if loss is None:
                with told_of(report.to_name):
                    session.commit(snapshot, context.clock.now_ns())
                is_ended = True
                self._after_commit(snapshot, session, content)
            else:
                report.add_lost(snapshot, loss.message, loss.hits)
                with told_of(report.to_name):
                    session.abandon(context.clock.now_ns())
                is_ended = True
        except StoppedError:
            self._stop(session, content, ticker)
            is_ended = True
            raise
        finally:
            blocks.close()
            journal.close(is_ended=is_ended)
            report.stored_bytes += blocks.stored_bytes
            if is_locking(self._new):
                self._stored.update(blocks.sizes)
                self._relied |= index.tables.relied_blocks()

    def _is_whole(self, base: SnapshotAt, index: LoadedIndex, given_free: set[bytes]) -> bool:
        """Whether all that a base reaches is there: it is listed after it was announced, and no damage is known.

        Nor was a part of the index lost, nor is there a drop record that can't be read (DESIGN 7, operations.backup).
        """
        _, unread = self._records.readable_void_names()
        tables = index.tables
        has_damage = bool(tables.absent_blocks - given_free) or bool(tables.absent_places)
        listed = {name.name for name in self._records.snapshot_names()}
        return base.name in listed and not unread and not has_damage and index.is_whole

    def _validate(self, blocks: CopiedBlocks, publishing: Publishing) -> None:
        """Count and measure what was stored. Raises BlocksLostError, DestinationError."""
        context = self._context
        try:
            sizes = publishing.unmeasured(blocks.sizes)
            validate(self._records, sizes, context.warn, context.clock.now_ns(), self._who.host_id)
        except DestinationError as error:
            error.hint = "the snapshot was not made there; run it again: what is missing is copied anew"
            blame(error, self._report.to_name)
            raise

    def _after_commit(self, snapshot: Snapshot, session: RunningSession, content: ContentCopy) -> None:
        """The snapshot stands: what fails now fails nothing."""
        context = self._context
        self._report.add_copied(snapshot)
        content.keep_proof()
        self._proved_by = session.name
        self._read[session.name] = snapshot
        parsed = naming.parse_snapshot_name(session.name)
        if parsed is not None:
            self._names.append(parsed)
        remember_seen(context, self._new, session.name)
        end_session(context, session)

    def _tidy_up(self, index: LoadedIndex) -> None:
        """As after a backup, where the newest snapshot of the set is there now. What fails here fails nothing.

        The next backup of this host there builds on what it knows of that snapshot, as at the old place.
        """
        context, newest = self._context, self._wanted[-1].snapshot
        last = max(self._names, key=lambda name: name.start, default=None)
        found = self._complete(last) if last is not None else None
        if last is None or found is None or (found.id, found.root) != (newest.id, newest.root):
            return
        now_ns = context.clock.now_ns()
        try:
            drop_partials(self._records, self._set_id, (last.name, found), now_ns, self._who.host_id)
            forget_lost(index)
            if self._keeps_reserve:
                reserve.keep(self._records.place, self._new.cache, now_ns)
            basing.share_cache(self._context.directories, self._old, self._new, self._set_id, newest.id)
        except (DestinationError, DamageError, StateFullError, StateError, AccessError) as error:
            context.warn(f"{self._report.to_name}: not all was tidied up: {error.message}")
        if is_locking(self._new):
            self._keep_locked(newest, index)

    def _keep_locked(self, newest: Snapshot, index: LoadedIndex) -> None:
        """As after a backup."""
        self._context.step("extend locks")
        try:
            keep_locked(self._context, self._new, index, newest, self._stored, self._began_ns, relied=self._relied)
        except (DestinationError, DamageError, StateFullError, StateError, AccessError) as error:
            self._context.warn(f"{self._report.to_name}: {locks_failed(error).message}")

    def _stop(self, session: RunningSession, content: ContentCopy, ticker: Ticker) -> None:
        """Keep what was copied for the next time; where that fails the journal and the next run do."""
        ticker.is_stopping = True
        self._context.step("stop: keep what was copied for the next time")
        with told_of(self._report.to_name):
            content.finish()
            session.abandon(self._context.clock.now_ns())

    def _merge(self, index: LoadedIndex) -> None:
        """Merge index objects as after each backup; what fails here the next run does."""
        context, place = self._context, self._new.repository.place
        if context.alarm is not None:
            return
        try:
            while True:
                for name in index.tables.names():
                    if name not in index.sizes:
                        index.sizes[name] = place.size(f"index/{name}") or 0
                if not merge_levels(self._records, index):
                    return
        except (DestinationError, DamageError, StateFullError, StateError, AccessError) as error:
            context.warn(f"{self._report.to_name}: not all was tidied up: {error.message}")
