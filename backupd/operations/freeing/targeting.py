"""`free --target`: which snapshots are dropped so that so much space is given back, and the drop of just these.

Snapshots are weighed by one walk, in the order in which they would go, the last one first: what a snapshot needs and
none of those before it in the walk is what is given back when it goes together with those that go before it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from backupd.errors import CancelledError, UsageError
from backupd.model.orders import FreeOrder
from backupd.model.retention import RetentionText
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Report, Waiting
from backupd.operations.freeing.walking import AreaCount, RootWalk
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import SnapshotAt, to_record
from backupd.repository import reserve
from backupd.repository.dropping import drop_snapshots
from backupd.repository.live_chunks import Marked
from backupd.repository.looking import Look, newest_of_sets, roots_in_order
from backupd.repository.notes import note_names, read_notes
from backupd.repository.retaining import dated_of, objects_by_id
from backupd.rules import moments, names, picking
from backupd.rules.space_target import (
    HOLDERS,
    KEEP_ALL,
    Holder,
    Named,
    Order,
    TargetPlan,
    Weighed,
    order_of,
    plan_by_id,
    plan_for,
)
from backupd.settings.lock import SetLock
from backupd.sizes import format_bytes
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.store_errors import PlanOutdatedError
from backupd.tree.sameness import content_name

_LEAST_ID = 9
"""Letters of a plan's id at least: its short form. A shorter one might name another plan by chance."""
_REASON = "free --target"
_SHORT_SHARE = 0.98
"""Of what can be given back at most: for the rest all blocks would be written anew."""


class HeldBy(msgspec.Struct):
    """Snapshots that stay for one reason."""

    snapshots: int = 0
    bytes: int = 0
    """What they need besides those of the reasons before."""


class Targeting:
    """Of one freeing."""

    def __init__(self, context: JobContext, place: OpenPlace, order: FreeOrder) -> None:
        """Raises UsageError where no set, or no whole plan, is named."""
        self._context, self._place, self._order = context, place, order
        if not order.set_names:
            raise UsageError(
                "which sets may lose snapshots is not said", hint="name them: bkctl free SET... --target SIZE"
            )
        if order.plan and (len(order.plan) < _LEAST_ID or not names.is_id(order.plan, "p")):
            raise UsageError(f"'{order.plan}' is no plan", hint="give the id that --dry-run showed, all of it")
        self.dead_bytes = 0
        """What nobody needs; the cleaner says it."""
        self.held: dict[Holder, HeldBy] = {}
        self._set_ids: list[str] = []
        self._by_id: dict[str, list[tuple[str, Snapshot]]] = {}
        """All objects of each snapshot of the sets, by their names; of one that was written anew those of both."""
        self._ids: dict[str, str] = {}
        """Under which id each of these objects is there, by its name."""
        self._sets: dict[str, str] = {}
        """Names of sets by id."""
        self._notes: list[str] = []
        self._ordered = Order([], {})
        self._shares: dict[str, int] = {}
        self._contents: dict[str, bytes] = {}

    def walk(self, look: Look, walk: RootWalk, areas: AreaCount) -> None:
        """Mark and count all snapshots of a look. Raises as `repository.retaining.decide`, SetNotFoundError."""
        self._choose(look)
        going = [one.id for one in reversed(self._ordered.droppable)]
        gone = set(going)
        staying = {name: one for name, one in look.snapshots.items() if self._ids.get(name, _id(one)) not in gone}
        ids = {id(one): self._ids[name] for name, one in look.snapshots.items() if name in self._ids}
        held: dict[Holder, HeldBy] = {holder: HeldBy() for holder in HOLDERS}
        self._contents = {}

        def mark(one: Snapshot) -> Marked:
            marked = walk.mark(one)
            areas.add(one, marked, None)
            known_as = ids.get(id(one))
            is_meant = one.is_complete and _id(one) == known_as
            if known_as is not None and (is_meant or known_as not in self._contents):
                self._contents[known_as] = content_name(one.root, one.sources, walk.load)
            return marked

        counted: set[str] = set()
        for holder, one in self._in_order(staying, look):
            known_as = ids.get(id(one), _id(one))
            held[holder].snapshots += known_as not in counted
            counted.add(known_as)
            held[holder].bytes += mark(one).stored_bytes
        self._shares = {id_: sum(mark(one).stored_bytes for _, one in self._by_id[id_]) for id_ in going}
        self.held = {holder: by for holder, by in held.items() if by.snapshots}

    def plan(self) -> TargetPlan:
        """What goes, as it was weighed. Raises PlanOutdatedError."""
        weighed = Weighed(
            repository=self._place.repository.text_id,
            order=self._ordered,
            shares=self._shares,
            contents=self._contents,
            dead_bytes=self.dead_bytes,
        )
        order = self._order
        wished = plan_for(weighed, order.target_bytes) if order.target_bytes is not None else None
        if not order.plan:
            if wished is None:
                raise UsageError("neither a size nor a plan is given", hint="bkctl free SET --target SIZE")
            return wished
        found = plan_by_id(weighed, order.plan) if wished is None else wished
        if found is None or not found.id.startswith(order.plan):
            context = {"plan": wished.id} if wished is not None else {}
            raise _outdated(f"plan {order.plan[:_LEAST_ID]} is out of date: what is stored has changed since", context)
        return found

    def wanted_bytes(self, plan: TargetPlan) -> int:
        """How much is to be given back, whatever has to be written anew for it."""
        target = self._order.target_bytes
        return target if target is not None and not plan.short_bytes else int(_SHORT_SHARE * plan.freed_bytes)

    def confirm(self, plan: TargetPlan) -> None:
        """Ask for what the policy would keep. Raises AnswerNeededError, CancelledError."""
        lost = plan.beyond_policy
        if not lost or (self._order.plan and self._order.assume_yes):
            return
        sets = [self._sets[set_id] for set_id in self._set_ids]
        expected = sets[0] if len(sets) == 1 else names.short(self._place.repository.text_id)
        count = f"{len(lost)} snapshot" + "s" * (len(lost) > 1)
        question = (
            f"Nobody can restore them then: drop {count} of {', '.join(sets)} at {self._place.whole.shown}, which the "
            f"policy would keep, to give {format_bytes(plan.freed_bytes)} back?"
        )
        if self._context.ask(question, "typed", expected, self.lines(plan)) != expected:
            raise CancelledError("not confirmed; nothing was changed")

    def drop(self, writable: OpenPlace, plan: TargetPlan) -> None:
        """Drop just what the plan says. Raises BusyError, PlanOutdatedError: then nothing is."""
        context, records = self._context, writable.records
        with ExitStack() as held:
            for set_id in self._set_ids:
                held.enter_context(SetLock(context.directories.state, set_id)).acquire(context.clock)
            dropped = self.names_of(plan)
            listed = {name.name for name in records.listed_snapshot_names() if name.set_id in self._set_ids}
            living = listed - records.void_names()
            known = {name for found in self._by_id.values() for name, _ in found}
            bases = {base for posted in records.posted() for base in posted.said.bases}
            if living != known or note_names(records) != self._notes or bases & set(dropped):
                raise _outdated("snapshots, pins or writers have changed since the plan was made", {})
            if dropped:
                context.step("drop the snapshots of the plan")
                now_ns, host_id = context.clock.now_ns(), bytes.fromhex(context.host.host_id)
                reserve.with_room(
                    records.place, lambda: drop_snapshots(records, dropped, now_ns, host_id, _REASON)
                )

    def _refuse_busy(self) -> None:
        """Before all snapshots are walked. Raises BusyError while a job of one of the sets is under way."""
        for set_id in self._set_ids:
            with SetLock(self._context.directories.state, set_id) as lock:
                lock.acquire(self._context.clock)

    def names_of(self, plan: TargetPlan) -> list[str]:
        """Of all objects of the snapshots that go, sorted."""
        return sorted(name for drop in plan.drops for name, _ in self._by_id[drop.snapshot.id])

    def note_left(self, writable: OpenPlace, plan: TargetPlan, report: Report) -> None:
        """After the freeing: tell of snapshots that were dropped and on which a run builds that began meanwhile."""
        left = {name.name for name in writable.records.listed_snapshot_names()} & set(self.names_of(plan))
        for id_ in sorted({id_ for id_, found in self._by_id.items() for name, _ in found if name in left}):
            reason = "a run that is under way builds on this snapshot; it was dropped, and goes when that has ended"
            report.waiting.append(Waiting("snapshot", id_, reason))

    def document(self, plan: TargetPlan, *, changed: bool) -> dict[str, Any]:
        """How the result tells it."""
        # As the user called them; a daemon gives ids.
        words = [self._sets.get(word, word) for word in self._order.set_names]
        size = [f"--target {self._order.target_bytes}"] if self._order.target_bytes is not None else []
        command = ["bkctl free", shlex.join(words), self._place.from_words, *size, f"--apply {plan.id} --yes"]
        total, drops = plan.dead_bytes, []
        for drop in plan.drops:
            total += drop.bytes
            drops.append(
                {
                    "id": drop.snapshot.id,
                    "short": names.short(drop.snapshot.id),
                    "set": self._sets[drop.snapshot.set_id],
                    "time": moments.rfc3339(drop.snapshot.time_ns, self._context.zone),
                    "kept_by_policy": not drop.snapshot.is_dropped_anyway,
                    "reasons": drop.snapshot.reasons if self._order.policy is not None else [],
                    "bytes": drop.bytes,
                    "sum_bytes": total,
                }
            )
        return {
            "target_bytes": self._order.target_bytes,
            "plan": plan.id,
            "changed": changed and bool(drops),
            "dead_bytes": plan.dead_bytes,
            "planned_bytes": plan.freed_bytes,
            "short_bytes": plan.short_bytes,
            "drops": drops,
            "held_by": [
                {"reason": holder, "snapshots": by.snapshots, "bytes": by.bytes} for holder, by in self.held.items()
            ],
            "apply_command": " ".join(command),
        }

    def lines(self, plan: TargetPlan) -> list[str]:
        """The snapshots that go, for who is asked."""
        return [
            f"{names.short(drop.snapshot.id)}  {self._sets[drop.snapshot.set_id]}  "
            f"{moments.show(drop.snapshot.time_ns, self._context.zone)}  {format_bytes(drop.bytes)}"
            for drop in plan.drops
        ]

    def _choose(self, look: Look) -> None:
        """Say for the snapshots of the sets that were named in which order they would go."""
        living = [SnapshotAt(name, one) for name, one in look.snapshots.items() if name not in look.void]
        records = [to_record(at) for at in living]
        own_host = self._context.host.name
        chosen = {picking.choose_set(records, name, own_host=own_host) for name in self._order.set_names}
        self._set_ids = sorted(chosen)
        self._sets = {record.set_id: record.set_name for record in records}
        of_sets = [at for at in living if naming.set_id_text(at.snapshot.set_id) in chosen]
        self._by_id = objects_by_id((at.name, at.snapshot) for at in of_sets)
        self._ids = {name: id_ for id_, found in self._by_id.items() for name, _ in found}
        if not self._order.dry_run:
            self._refuse_busy()
        self._notes = note_names(self._place.records)
        notes = read_notes(self._place.records)
        bases = {base for posted in look.sessions for base in posted.said.bases}
        named: dict[str, list[str]] = {set_id: [] for set_id in self._set_ids}
        for id_, found in self._by_id.items():
            named[naming.set_id_text(found[0][1].set_id)].append(id_)
        self._ordered = order_of(
            [
                Named(
                    set_id=set_id,
                    policy=self._policy_of(set_id),
                    snapshots=[dated_of(self._by_id[id_], notes) for id_ in ids],
                    built_on=[id_ for id_ in ids if any(name in bases for name, _ in self._by_id[id_])],
                )
                for set_id, ids in named.items()
            ],
            self._context.now,
            self._context.zone,
        )

    def _policy_of(self, set_id: str) -> RetentionText:
        order = self._order
        return order.policy if order.policy is not None and order.set_id == set_id else KEEP_ALL

    def _in_order(self, staying: Mapping[str, Snapshot], look: Look) -> Sequence[tuple[Holder, Snapshot]]:
        """Why each stays; the newest ones of all sets first, for these are the data areas."""
        living = {name: one for name, one in look.snapshots.items() if name not in look.void}
        newest = {id(one) for one in newest_of_sets(living).values()}
        void = {id(one) for name, one in staying.items() if name in look.void}
        ids = {id(one): self._ids.get(name, "") for name, one in staying.items()}

        def holder(one: Snapshot) -> Holder:
            if naming.set_id_text(one.set_id) not in self._set_ids:
                return "other_sets"
            return "writer" if id(one) in void else self._ordered.held.get(ids[id(one)], "unfinished")

        ordered = [(holder(one), one) for one in roots_in_order(staying)]
        return sorted(ordered, key=lambda at: (id(at[1]) not in newest, HOLDERS.index(at[0])))


def _id(snapshot: Snapshot) -> str:
    return naming.snapshot_id_text(snapshot.id)


def _outdated(message: str, context: dict[str, str]) -> PlanOutdatedError:
    hint = "look at the new one: bkctl free SET --target SIZE --dry-run"
    return PlanOutdatedError(message, hint=hint, context=context)
