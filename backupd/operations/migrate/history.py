"""The history of a set, cut and named as the set wants it now: one snapshot after the other, the newest first.

Each is written anew from what is stored, equal but for the chunk lists of its files; then the old one is dropped. Each
is a step by itself: a run that is broken off goes on with the next one (docs/protocol.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from blake3 import blake3

from backupd import durable_io
from backupd.chunk.size_class import class_of_average
from backupd.errors import CheckFailedError, ConflictError, DamageError, NewerVersionError, StoppedError
from backupd.model import events
from backupd.model.orders import MigrateOrder
from backupd.operations.backup.lineage import Fitness, stored_as, with_lineage
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.session import Publishing, RunningSession, WriterIdentity, validate
from backupd.operations.backup.space import SpaceGuard
from backupd.operations.context import JobContext
from backupd.operations.migrate.history_report import HistoryReport
from backupd.operations.migrate.recutting import Naming, Recutter
from backupd.operations.migrate.retreeing import TreeRecutter
from backupd.operations.migrate.surveying import Left, Survey
from backupd.operations.new_chunks import NewChunks
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.operations.ticker import Ticker
from backupd.operations.writing_anew import (
    DROPPED_MEANWHILE,
    GivenUpError,
    Replaced,
    WritingAnew,
    look_again,
    rewritten_id,
)
from backupd.repository.dropping import CUT_ANEW, drop_snapshots
from backupd.repository.index_loading import LoadedIndex
from backupd.repository.notes import carry_notes, read_notes
from backupd.repository.reader import ChunkReader
from backupd.snapshot.notes import NOTHING, Noted
from backupd.snapshot.records import Rewriting, Snapshot
from backupd.state_errors import translated

_DROPPED_TOGETHER = 32
"""So many old snapshots are dropped by one record: every run reads all of them."""
_DROPPED_AFTER_SECONDS = 30.0
"""Fewer where it takes longer: meanwhile both stand there."""
_MOST_RELIED = 200
"""So many of the new snapshots a session names as bases at most; then what was made for them is forgotten."""
_ID_BYTES = 16
_LIMIT_BYTES = 16 << 20


class _Step(NamedTuple):
    """One snapshot that is written anew."""

    at: SnapshotAt
    fitness: Fitness
    new_id: bytes
    noted: Noted


class History:
    """Of one set at one place. One thread calls everything here."""

    def __init__(
        self, order: MigrateOrder, context: JobContext, place: OpenPlace, index: LoadedIndex, report: HistoryReport
    ) -> None:
        """index: what is absent for writing is marked."""
        self._order, self._context, self._place, self._index = order, context, place, index
        self._report, self._records = report, place.records
        keyring = place.repository.keyring
        chosen_class = class_of_average(order.chunk_size_bytes) if order.chunk_size_bytes else None
        self._now = stored_as(order.deduplication, chosen_class)
        self._naming = Naming(bytes.fromhex(order.set_id[1:]), order.deduplication)
        self._reader = ChunkReader(place.segments(), index.tables)
        recutter = Recutter(self._naming, keyring.chunker_seed, chosen_class, self._reader.load, self._read)
        self._tree = TreeRecutter(
            keyring.chunk_id_key,
            index.tables,
            self._reader.load,
            recutter,
            is_by_path=order.deduplication == "path",
        )
        self._survey = Survey(self._naming, self._now, chosen_class, self._reader.load, self._look)
        self._ticker: Ticker | None = None
        self._notes: Mapping[bytes, Noted] = {}
        """By snapshot, as they were when it began."""
        self._relied: list[str] = []
        """Names of the snapshots that were written here: what is known of what was made of what holds by them."""
        self._damage: set[str] = set()
        """Names of the damage records that there were when that began."""

    def plan(self) -> None:
        """Find the snapshots, and tell. Raises DamageError, DestinationError."""
        is_dry = self._order.dry_run
        known = self._load_well()
        # Before the run itself, what is newest now is history, too.
        planned = self._survey.look(self._records, known, is_newest_left=not is_dry)
        self._report.planned = planned
        self._report.tell_plan(self._context, self._place.whole.shown)
        for left in planned.left:
            self._report.leave(self._context, left)
        # Not while one may stand beside what it stands in for: it has to be read then.
        if not (is_dry or planned.chosen or planned.leftovers) and planned.well != known:
            self._save_well(planned.well)

    def run(self, who: WriterIdentity) -> None:
        """Write anew what `plan` found. The set's lock is held, its dead sessions were ended.

        Raises the stop that was asked for, DestinationError, QuotaError, DamageError of what belongs to no snapshot:
        those that were written until then stand, and the old ones are dropped.
        """
        planned, report, context = self._report.planned, self._report, self._context
        if not planned.chosen and not planned.leftovers:
            return
        self._notes = read_notes(self._records)
        if not self._may_drop(who):
            for at, _ in planned.chosen:
                report.leave(context, Left(at, "this login may add to the repository, but drop nothing there"))
            return
        gone = self._end_leftovers(who)
        chosen = [(at, fitness) for at, fitness in planned.chosen if at.name not in gone]
        if not chosen:
            return
        guard = SpaceGuard(self._order.space, None, self._place, self._index.tables, context.clock)
        guard.refuse(lambda: [])
        replaced: list[Replaced] = []
        dropped_at = context.clock.monotonic()
        try:
            for number, (at, fitness) in enumerate(chosen, 1):
                context.step(f"write snapshot {number} of {len(chosen)} anew")
                step = _Step(at, fitness, self._new_id(at.snapshot), self._notes.get(at.snapshot.id, NOTHING))
                new = self._rewrite(step, who, guard)
                if new is None:
                    continue
                replaced.append(Replaced(at, new, is_fresh=True))
                now = context.clock.monotonic()
                if len(replaced) >= _DROPPED_TOGETHER or now - dropped_at >= _DROPPED_AFTER_SECONDS:
                    dropping, replaced, dropped_at = replaced, [], now
                    self._drop(dropping, who)
        finally:
            self._drop(replaced, who)

    def _end_leftovers(self, who: WriterIdentity) -> set[str]:
        """What a run has written anew that was broken off before it dropped the old one; names of what is settled.

        Whoever wrote it may have slept through all of a freeing before it stood there, or never have looked after it.
        """
        gone: set[str] = set()
        replaced: list[Replaced] = []
        writing = WritingAnew(self._context, self._place, self._index, who, CUT_ANEW)
        if self._report.planned.leftovers:
            self._context.step("look at what an earlier run has written anew")
        try:
            for old, new in self._report.planned.leftovers:
                if gone & {old.name, new.name}:
                    continue
                try:
                    if writing.is_whole(old, new):
                        replaced.append(Replaced(old, new, is_fresh=False))
                        gone.add(old.name)
                    else:
                        gone.add(new.name)
                except (ConflictError, NewerVersionError) as error:
                    self._report.leave(self._context, Left(old, error.message))
                    gone.add(old.name)
        finally:
            self._drop(replaced, who)
        return gone

    def _rewrite(self, step: _Step, who: WriterIdentity, guard: SpaceGuard) -> SnapshotAt | None:
        """The new one; None: it is told why the old one stays."""
        reason = _reason_to_stay(step.noted)
        if reason:
            self._report.leave(self._context, Left(step.at, reason))
            return None

        def fill(publishing: Publishing, session: RunningSession) -> Snapshot:
            self._see_what_stands()
            return self._stand_in(step, who, self._store(step, publishing, session, guard, who))

        if len(self._relied) >= _MOST_RELIED:
            self._tree.clear()
            self._relied = []
        writing = WritingAnew(self._context, self._place, self._index, who, CUT_ANEW)
        try:
            new = writing.write(step.at, step.new_id, step.noted, fill, self._relied)
        except GivenUpError as error:
            self._report.leave(self._context, Left(step.at, error.reason.message, is_damaged=True))
        except ConflictError as error:
            self._report.leave(self._context, Left(step.at, error.message))
        else:
            self._tree.keep()
            self._relied.append(new.name)
            return new
        finally:
            self._tree.undo()
        return None

    def _see_what_stands(self) -> None:
        """The session is posted: forget what was made before if it may be gone, as a cache is not believed then."""
        standing = {name.name for name in self._records.snapshot_names()}
        damage = {info.name for info in self._records.place.list("damage/")}
        if not standing.issuperset(self._relied) or not damage <= self._damage:
            self._tree.clear()
            self._relied = []
            self._damage = damage

    def _store(
        self, step: _Step, publishing: Publishing, session: RunningSession, guard: SpaceGuard, who: WriterIdentity
    ) -> bytes:
        """Top node of the new tree, of which all is stored and named."""
        context, report = self._context, self._report
        ticker = self._ticker = Ticker(context, Posts(session, context.clock), guard, report.planned.bytes)
        ticker.done_bytes = report.read_bytes
        guard.begin_copy()
        store = NewChunks(self._place, self._index.tables, publishing, ticker, self._order.compression)
        try:
            try:
                root = self._tree.apply(step.at.snapshot.root, step.fitness, store)
            except (DamageError, NewerVersionError) as error:
                if error is ticker.raised or isinstance(error, CheckFailedError):
                    raise
                # What is stored is good: it is named, so that the next try finds it.
                store.finish()
                raise GivenUpError(error) from error
            store.finish()
            validate(self._records, store.unmeasured, context.warn, context.clock.now_ns(), who.host_id)
        except StoppedError as stop:
            ticker.is_stopping = True
            store.finish()
            stop.hint = stop.hint or "what was stored anew stays; the next run goes on from there"
            raise
        finally:
            report.stored_bytes += store.stored_bytes
            store.close()
        return root

    def _stand_in(self, step: _Step, who: WriterIdentity, root: bytes) -> Snapshot:
        old = step.at.snapshot
        paths = old.rewriting.path_count if old.rewriting is not None else 0
        try:
            settings = with_lineage(old.settings, frozenset(), self._now)
        except (ValueError, TypeError):
            settings = with_lineage("{}", frozenset(), self._now)
        return msgspec.structs.replace(
            old,
            id=step.new_id,
            root=root,
            settings=settings,
            tags=step.noted.tags_over(old.tags),
            rewriting=Rewriting(old.id, self._context.clock.now_ns(), who.host_id, paths),
        )

    def _new_id(self, old: Snapshot) -> bytes:
        parts = [b"recut", self._now.deduplication.encode(), self._now.chunk_size.encode()]
        return rewritten_id(self._place.repository.keyring.chunk_id_key, old.id, parts)

    def _may_drop(self, who: WriterIdentity) -> bool:
        """Whether this login may drop snapshots; else the old ones would stand beside the new ones for ever.

        A session that is ended at once tells it: its name becomes void.
        """
        now_ns = self._context.clock.now_ns()
        session = RunningSession(os.urandom(16), self._records, who, [], now_ns)
        session.post(now_ns)
        session.abandon(now_ns)
        return not session.may_only_add

    def _drop(self, replaced: list[Replaced], who: WriterIdentity) -> None:
        """The old ones, but for those that are not to go, or whose new one was dropped meanwhile."""
        if not replaced:
            return
        records, report, context = self._records, self._report, self._context
        found = look_again(records, self._with_notes(replaced, who), CUT_ANEW)
        for one in found.new_gone:
            report.leave(context, Left(one.old, "what stands in for it was dropped meanwhile"))
        for one in found.old_gone:
            report.leave(context, Left(one.old, "it was dropped meanwhile, and what stands in for it goes, too"))
        if found.old_gone:
            names = [one.new.name for one in found.old_gone]
            drop_snapshots(records, names, context.clock.now_ns(), who.host_id, DROPPED_MEANWHILE)
        names = [one.old.name for one in found.both]
        if not names:
            return
        count = drop_snapshots(records, names, context.clock.now_ns(), who.host_id, CUT_ANEW)
        report.rewritten += [(one.old.snapshot, one.new.snapshot.id) for one in found.both]
        if count < len(names):
            context.tell(
                "information",
                f"{len(names) - count} of the old snapshots are locked at the store or in use: they count for nothing "
                "and go with a later freeing",
            )

    def _with_notes(self, replaced: list[Replaced], who: WriterIdentity) -> list[Replaced]:
        """Those whose old one may go still, once what was noted of it meanwhile is noted of the new one."""
        notes, kept = read_notes(self._records), []
        for one in replaced:
            old, new = one.old.snapshot, one.new.snapshot
            reason = _reason_to_stay(notes.get(old.id, NOTHING)) or _reason_to_stay(notes.get(new.id, NOTHING))
            if reason:
                self._report.leave(self._context, Left(one.old, reason))
                continue
            was = self._notes.get(old.id, NOTHING) if one.is_fresh else NOTHING
            carry_notes(self._records, notes, old, new, was, (self._context.clock.now_ns(), who.host_id))
            kept.append(one)
        return kept

    def _read(self, byte_count: int) -> None:
        self._report.read_bytes += byte_count
        if self._ticker is not None:
            self._ticker.done_bytes += byte_count
            self._ticker.turn()

    def _look(self) -> None:
        self._context.cancel.check()
        self._context.wait_while_paused()
        self._context.progress(lambda elapsed: events.Progress(step="look", elapsed_seconds=elapsed))

    # Sessions of snapshots that have nothing to be cut anew: what this host knows of them

    @property
    def _well_path(self) -> str:
        what = blake3(f"{self._order.set_id} {self._now.deduplication} {self._now.chunk_size}".encode())
        return os.path.join(self._place.cache, f"{what.hexdigest(length=8)}.well")

    def _load_well(self) -> set[bytes]:
        try:
            with open(self._well_path, "rb") as file:
                data = file.read(_LIMIT_BYTES)
        except OSError:
            return set()
        return {data[at : at + _ID_BYTES] for at in range(0, len(data), _ID_BYTES)}

    def _save_well(self, ids: set[bytes]) -> None:
        try:
            durable_io.replace(self._well_path, [b"".join(sorted(ids))])
        except OSError as error:
            raise translated(error, self._well_path) from error


def _reason_to_stay(noted: Noted) -> str:
    """Why a snapshot is not replaced of which this is noted; nothing: it may be."""
    if noted.unknown:
        return f"a note of kind '{min(noted.unknown)}' on it is not known here; install the newer backupd"
    return "a part of it was given up as lost" if noted.loss is not None else ""
