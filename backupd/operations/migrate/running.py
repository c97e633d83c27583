"""The order of a migration's steps is the order of `run`."""

from __future__ import annotations

import os

import msgspec

from backupd.cache.index_tables import IndexTables
from backupd.errors import DamageError, KeyMissingError, StoppedError
from backupd.model import events
from backupd.model.orders import MigrateOrder
from backupd.operations.backup import basing, priority
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.session import Publishing, RunningSession, WriterIdentity, begin_journal, validate
from backupd.operations.backup.space import SpaceGuard
from backupd.operations.context import JobContext
from backupd.operations.migrate.carrying import Carrying
from backupd.operations.migrate.history import History
from backupd.operations.migrate.report import Report
from backupd.operations.places import OpenPlace, load_place_index, open_place, writing
from backupd.operations.ticker import Ticker
from backupd.repository import block_facts
from backupd.repository.bad_places import BadPlaces, retired_in
from backupd.repository.block_facts import FactsReader, Wanted
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_loading import LoadedIndex, epoch_of, load_index, mark_absent, merge_named, read_doubts
from backupd.repository.key_management import check_newest
from backupd.repository.parity_setting import wanted_there, with_parity
from backupd.settings.directories import ensure
from backupd.settings.lock import SetLock


def run(order: MigrateOrder, context: JobContext) -> events.Done:
    """Store anew what is not as its set wants it, and say what that came to.

    Raises DamageError where the index can't be read whole, KeyMissingError with a key of an older epoch, BusyError,
    DestinationError, DestinationFullError among them: what was stored anew until then stays, nothing else has changed.
    """
    if order.limits.polite:
        priority.lower()
    context.stop_after(order.limits.stop_after_seconds)
    context.step("look how what is stored is sealed, compressed and protected")
    place = open_place(context)
    if context.alarm is not None:
        # An older copy of the place: what is there now is not to be made the only one.
        raise context.alarm
    check_newest(place.repository)
    place = msgspec.structs.replace(place, repository=with_parity(place.repository, _parity(order, place)))
    report = Report()
    if order.dry_run:
        index = load_place_index(place)
        try:
            mark_absent(index.tables, place.records)
            _refuse_unread(index)
            History(order, context, place, index, report.history).plan()
            _plan(order, context, place, index, report)
        finally:
            index.tables.close()
        return report.end(context, is_dry=True)
    with SetLock(context.directories.state, order.set_id) as lock:
        lock.acquire(context.clock, cancel=context.cancel)
        with writing(context, place) as writable:
            _Migration(order, context, writable, report).run()
    return report.end(context, is_dry=False)


def _parity(order: MigrateOrder, place: OpenPlace) -> int:
    """The most that a set wants that stores there: what is stored anew is of all of them."""
    own = order.parity if order.parity is not None else place.repository.keyring.configuration.parity
    return max(own, wanted_there(place.records) or 0)


def _wanted(order: MigrateOrder, place: OpenPlace) -> Wanted:
    keyring = place.repository.keyring
    return Wanted(keyring.current.name, order.compression, keyring.configuration.parity)


def _refuse_unread(index: LoadedIndex) -> None:
    """Raises KeyMissingError, DamageError where a part of the index can't be read."""
    for message in index.locked.values():
        raise KeyMissingError(message, hint="nothing was stored anew; use a newer key of the repository")
    for message in index.damaged.values():
        raise DamageError(message, hint="make the index anew, then migrate: bkctl check --rebuild-index")


def _plan(
    order: MigrateOrder, context: JobContext, place: OpenPlace, index: LoadedIndex, report: Report
) -> None:
    """Find the blocks that are not as they are wanted, and tell. index: what is absent for writing is marked."""
    tables, state = index.tables, place.records.gc_state()
    rows = [row for row in tables.blocks() if row.block_id not in state.absent]
    listed = list_blocks(place.records.place)
    path = os.path.join(place.cache, "blocks.facts")
    known = block_facts.load(path)

    def step() -> None:
        context.cancel.check()
        context.progress(lambda elapsed: events.Progress(step="look", elapsed_seconds=elapsed))

    # One that is gone is found by its chunks; one that was retired is looked at again, for its copy may be gone.
    there = [row for row in rows if row.block_id in listed]
    facts = {row.block_id: known[row.block_id] for row in there if row.block_id in known}
    try:
        FactsReader(place.records.place, place.setup(), step).read(there, facts)
    finally:
        # Where it is stopped, the next run reads the rest.
        if facts.keys() != known.keys():
            block_facts.keep(path, facts)
    wanted = _wanted(order, place)
    report.held_bytes = sum(listed.values())
    lacks = {row.block_id: (row, wanted.lacks(facts.get(row.block_id))) for row in there}
    report.lacking = {block_id: found for block_id, found in lacks.items() if found[1]}
    for block_id in _done_before(place, tables, report):
        del report.lacking[block_id]
    report.tell_plan(context, place.whole.shown)


def _done_before(place: OpenPlace, tables: IndexTables, report: Report) -> list[bytes]:
    """Lacking blocks that were retired, where all that they hold still has a place as it is wanted."""
    retired = retired_in(place.records.readable_damage().values())
    tables.retired_blocks |= report.lacking.keys()
    done: list[bytes] = []
    for block_id in report.lacking.keys() & retired:
        ids = b"".join(frame.ids for frame in tables.frames_of(block_id))
        if all(tables.has_many(ids)):
            done.append(block_id)
    return done


class _Migration:
    """Of one place, whose set's lock is held."""

    def __init__(self, order: MigrateOrder, context: JobContext, place: OpenPlace, report: Report) -> None:
        self._order, self._context, self._place, self._report = order, context, place, report
        self._set_id = bytes.fromhex(order.set_id[1:])
        host = context.host
        ids = (bytes.fromhex(host.host_id), bytes.fromhex(host.state_id))
        self._who = WriterIdentity(*ids, host.boot_id, self._set_id)

    def run(self) -> None:
        """Plan, announce, carry, end the session."""
        context, place = self._context, self._place
        index = load_index(place.repository, ensure(os.path.join(place.cache, "index")))
        try:
            basing.end_dead(context, place, self._set_id, self._who, index.tables)
            mark_absent(index.tables, place.records)
            _refuse_unread(index)
            history = History(self._order, context, place, index, self._report.history)
            history.plan()
            _plan(self._order, context, place, index, self._report)
            if self._report.lacking:
                self._carry(index)
            history.run(self._who)
            self._seal_index_anew(index)
        finally:
            index.tables.close()

    def _carry(self, index: LoadedIndex) -> None:
        context, place, report = self._context, self._place, self._report
        tables = index.tables
        guard = SpaceGuard(self._order.space, None, place, tables, context.clock)
        guard.refuse(lambda: [])
        session = RunningSession(os.urandom(16), place.records, self._who, [], context.clock.now_ns())
        session.post(context.clock.now_ns())
        state, _ = mark_absent(tables, place.records)
        honouring = session.begin_honouring(tables, state, context.clock.now_ns())
        journal = begin_journal(basing.journal_path(context, place, self._set_id), session, "")
        publishing = Publishing(place.records, tables, journal, context.warn, honouring, state.generation)
        guard.begin_copy()
        ticker = Ticker(context, Posts(session, context.clock), guard, report.planned_bytes)
        carrying = Carrying(context, place, tables, publishing, ticker, _wanted(self._order, place), report)
        context.step("store anew what is not as the set wants it")
        is_ended = False
        try:
            try:
                carrying.run([row for row, _ in report.lacking.values() if row.block_id not in state.absent])
            except StoppedError as stop:
                ticker.is_stopping = True
                carrying.finish()
                session.abandon(context.clock.now_ns())
                is_ended = True
                stop.hint = stop.hint or "what was stored anew stays; the next run goes on from there"
                raise
            self._record_lost(tables)
            sizes = publishing.unmeasured(carrying.sizes)
            validate(place.records, sizes, context.warn, context.clock.now_ns(), self._who.host_id)
            session.abandon(context.clock.now_ns())
            is_ended = True
        finally:
            carrying.close()
            journal.close(is_ended=is_ended)

    def _seal_index_anew(self, index: LoadedIndex) -> None:
        """Index objects of older epochs are replaced; a freeing removes them a week later."""
        place, current = self._place, self._place.repository.keyring.current.name
        tables = index.tables
        old = [name for name in tables.names() if name in index.sizes and epoch_of(place.repository, name) != current]
        doubts = read_doubts(place.records, tables) if old else None
        for name in old:
            self._context.cancel.check()
            merge_named(place.records, index, [name], doubts)

    def _record_lost(self, tables: IndexTables) -> None:
        """What can't be read is known as damage from now on, but for what a cleaner took away meanwhile."""
        lost = self._report.lost
        if not lost:
            return
        records, bad = self._place.records, BadPlaces()
        absent = records.gc_state().absent
        for chunk_id in list(lost):
            places = [place for place in tables.places(chunk_id) if place.block_id not in absent]
            for place in places:
                bad.add_chunks(place.block_id, chunk_id)
            if not places:
                del lost[chunk_id]
        known = BadPlaces()
        known.add_records(records.readable_damage().values(), absent)
        fresh = bad.without(known)
        if fresh:
            records.report_damage(fresh.record(self._context.clock.now_ns(), self._who.host_id))
