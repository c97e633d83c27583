"""The order of a purge's steps: look, compare with the plan that was shown, write anew, drop, free, list it all."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import msgspec

from backupd.errors import AnswerNeededError, BackupError, ConflictError, DamageError, DestinationError, StateError
from backupd.model import events
from backupd.model.purge_orders import PurgeOrder
from backupd.operations.backup import priority
from backupd.operations.context import JobContext, error_fields
from backupd.operations.freeing.cleaning import Cleaner
from backupd.operations.freeing.clearing import clear
from backupd.operations.freeing.report import Report, Waiting
from backupd.operations.freeing.sessions import Sessions
from backupd.operations.places import OpenPlace, open_place, writing
from backupd.operations.purge import traces, whole
from backupd.operations.purge.choosing import Action, Wish, check_order, paths_word, reason_of
from backupd.operations.purge.evidence import Evidence
from backupd.operations.purge.report import document
from backupd.operations.purge.rewriting import Rewriter
from backupd.operations.purge.survey import Survey, Surveyor, refuse_unknown_notes
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.operations.writing_anew import DROPPED_MEANWHILE, Replaced, look_again
from backupd.repository import reserve
from backupd.repository.dropping import REWRITE, delete_void, drop_snapshots, is_written_anew
from backupd.repository.notes import carry_notes, read_notes
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING
from backupd.store_errors import PlanOutdatedError, PurgeWaitsError


def run(order: PurgeOrder, context: JobContext) -> events.Done:
    """Show what would go, or delete just what was shown.

    Raises PlanOutdatedError, BusyError, DamageError and others where something can't be read: then nothing is deleted.
    """
    check_order(order)
    if order.limits.polite:
        priority.lower()
    if order.whole:
        return whole.run(order, context)
    context.step("open the repository")
    place = open_place(context)
    if context.alarm is not None:
        # An older copy of the place: what stands there may be what somebody else has purged already.
        raise context.alarm
    if order.dry_run:
        survey = Surveyor(order, context, place).look()
        return events.Done(exit_code=0, result=document(context, place, survey), warnings=context.warnings)
    return _Purge(order, context, place).run()


_DROPPED_TOGETHER = 32
"""So many old snapshots are dropped by one record: every run reads all of them."""


class _Purge:
    """Of snapshots, or of paths in them, at one place."""

    def __init__(self, order: PurgeOrder, context: JobContext, place: OpenPlace) -> None:
        self._order, self._context, self._place = order, context, place
        self._host_id = bytes.fromhex(context.host.host_id)
        self._report = Report()
        self._rewritten_bytes = 0
        self._stopped: BackupError | None = None
        self._is_changed = False
        """Whether anything was dropped or written anew."""

    def run(self) -> events.Done:
        """Do what the plan says."""
        context = self._context
        evidence = Evidence(self._order, context)
        with writing(context, self._place) as place:
            # Before the locks are ours: dead runs of this state, whose sets are free, hold nothing back.
            reserve.with_room(place.records.place, Sessions(context, place).end_own)
        survey = Surveyor(self._order, context, self._place).look()
        with ExitStack() as stack:
            for set_id in survey.sets:
                stack.enter_context(SetLock(context.directories.state, set_id)).acquire(context.clock)
            self._refuse_outdated(survey)
            place = stack.enter_context(writing(context, self._place))
            try:
                self._change(evidence.noting(place), survey)
            except BackupError as error:
                if not self._is_changed:
                    raise
                self._stopped = error
            self._told_of_runs(survey)
            waiting = [msgspec.structs.asdict(one) for one in self._report.waiting]
            file = evidence.write(survey, place.repository.text_id, place.address, waiting)
        return self._done(survey, waiting, file)

    def _refuse_outdated(self, survey: Survey) -> None:
        """The locks are held: a run of this host that ended while we looked has left its snapshot by now."""
        order, standing = self._order, self._place.records.snapshot_names()
        names = {name.name for name in standing if name.set_id in survey.sets}
        if survey.plan != order.plan or names != survey.names:
            raise PlanOutdatedError(
                f"plan {order.plan[:9]} is out of date: other things would be deleted now",
                hint="look at the new one: the same command with --dry-run",
                context={"plan": survey.plan},
            )

    def _change(self, place: OpenPlace, survey: Survey) -> None:
        store = place.records.place
        # Deleted first, so that something can be written where nothing else is left.
        reserve.give_up(store)
        try:
            self._rewrite(place, survey)
            self._drop(place, [wish.at.name for wish in survey.wishes if wish.action == "drop"], "drop")
            self._delete_void(place, survey)
            traces.forget_caches(self._context, place, survey.sets)
            self._free(place)
        finally:
            try:
                reserve.keep(store, place.cache, self._context.clock.now_ns())
            except (DestinationError, DamageError, StateError) as error:
                self._context.warn(f"the reserve of a megabyte could not be written again: {error.message}")

    def _rewrite(self, place: OpenPlace, survey: Survey) -> None:
        """Each snapshot by itself: the new one stands before the old one is dropped, some of them by one record."""
        context = self._context
        by_set: dict[bytes, list[Wish]] = {}
        for wish in survey.wishes:
            if wish.action == REWRITE:
                by_set.setdefault(wish.snapshot.set_id, []).append(wish)
        total, done = sum(map(len, by_set.values())), 0
        for set_id, wishes in by_set.items():
            text = naming.set_id_text(set_id)
            names = [name.name for name in place.records.snapshot_names() if name.set_id == text]
            read = [SnapshotAt(name, place.records.snapshot(name)) for name in names]
            standing = {at.snapshot.id: at for at in read}
            rewriter = Rewriter(context, place, set_id, self._order.paths)
            replaced: list[Replaced] = []
            try:
                for wish in wishes:
                    done += 1
                    context.step(f"write snapshot {done} of {total} anew")
                    replaced.append(rewriter.rewrite(wish, survey.notes.get(wish.snapshot.id, NOTHING), standing))
                    self._is_changed = True
                    if len(replaced) >= _DROPPED_TOGETHER:
                        self._drop_replaced(place, replaced, survey)
                        replaced = []
                self._drop_replaced(place, replaced, survey)
            finally:
                self._rewritten_bytes += rewriter.stored_bytes
                rewriter.close()

    def _drop_replaced(self, place: OpenPlace, replaced: list[Replaced], survey: Survey) -> None:
        """The old ones. Raises ConflictError where one stays, for what stands in for it was dropped meanwhile."""
        records, now_ns = place.records, self._context.clock.now_ns()
        if not replaced:
            return
        notes = read_notes(records)
        for at in (at for one in replaced for at in (one.old, one.new)):
            refuse_unknown_notes(at.snapshot, notes.get(at.snapshot.id, NOTHING))
        for one in replaced:
            was = survey.notes.get(one.old.snapshot.id, NOTHING) if one.is_fresh else NOTHING
            carry_notes(records, notes, one.old.snapshot, one.new.snapshot, was, (now_ns, self._host_id))
        found = look_again(records, replaced, paths_word(self._order.paths))
        self._drop(place, [one.old.name for one in found.both], REWRITE)
        if found.old_gone:
            drop_snapshots(records, [one.new.name for one in found.old_gone], now_ns, self._host_id, DROPPED_MEANWHILE)
        if any(is_written_anew(records, one.old.name) for one in found.old_gone):
            raise ConflictError(
                "a snapshot was written anew by somebody else meanwhile, and may hold the paths still",
                hint="run the same command again",
            )
        if found.new_gone:
            raise ConflictError(
                "what was written without the paths was dropped meanwhile, so the old snapshot stays",
                hint="look what is there now: the same command with --dry-run",
            )

    def _drop(self, place: OpenPlace, names: list[str], action: Action) -> None:
        if names:
            self._is_changed = True
            now_ns, reason = self._context.clock.now_ns(), reason_of(self._order, action)
            drop_snapshots(place.records, names, now_ns, self._host_id, reason)

    def _delete_void(self, place: OpenPlace, survey: Survey) -> None:
        """Objects of these sets that are void and stand there still, as of an earlier call that was broken off."""
        void = place.records.void_names()
        left = [name.name for name in place.records.listed_snapshot_names() if name.set_id in survey.sets]
        delete_void(place.records, [name for name in left if name in void])

    def _free(self, place: OpenPlace) -> None:
        context, report = self._context, self._report
        try:
            clear(context, place, report, Cleaner(context, place, report))
        except AnswerNeededError as error:
            reason = f"{error.message} Answer by: bkctl free {place.from_words}"
            report.waiting.append(Waiting("store", place.repository.text_id, reason))

    def _told_of_runs(self, survey: Survey) -> None:
        for session, host_id in survey.running:
            reason = (
                "a run of the set is under way at another host, and its snapshot may hold what was purged: "
                "purge again when it has ended"
            )
            self._report.waiting.append(Waiting("session", session, reason, host_id=host_id))

    def _done(self, survey: Survey, waiting: list[dict[str, Any]], file: dict[str, str] | None) -> events.Done:
        context, report = self._context, self._report
        planned = document(context, self._place, survey)
        result = planned | {
            "dry_run": False,
            # Results of jobs are kept: they are not to name what was deleted.
            "snapshots": [{**one, "paths": []} for one in planned["snapshots"]],
            "changed": self._is_changed or report.deleted_blocks > 0,
            "freed_bytes": report.freed_bytes - self._rewritten_bytes,
            "deleted": {"blocks": report.deleted_blocks, "bytes": report.deleted_bytes},
            "waiting": waiting,
            "evidence": file,
        }
        error = self._stopped
        if error is not None:
            # What it says was said of a freeing, or of one snapshot.
            error.hint = f"a part of what was meant is deleted already; the same command goes on. {error.hint}".strip()
        if error is None and report.waiting:
            error = PurgeWaitsError(
                f"what was purged can't be restored any more; a part of its space waits: {report.waiting[0].reason}",
                hint=f"later: bkctl free {self._place.from_words}",
            )
        return events.Done(
            exit_code=error.exit_code if error is not None else 0,
            result=result,
            warnings=context.warnings,
            error=error_fields(error) if error is not None else None,
        )
