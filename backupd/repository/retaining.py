"""Retention of one set at one destination: what is there, what the policy makes of it, and the drop of the rest.

What can't be read or is not known ends it before anything is dropped: an unreadable snapshot may be the newest complete
one, an unreadable note a pin, an unreadable drop record may say that a snapshot which looks well is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo

import msgspec

from backupd.clock import to_datetime
from backupd.errors import (
    BackupError,
    DamageError,
    DestinationRefusedError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
)
from backupd.model.retention import RetentionText
from backupd.repository import reserve
from backupd.repository.dropping import delete_void, drop_snapshots
from backupd.repository.notes import read_notes
from backupd.repository.records import Records
from backupd.rules.retention.plan_ids import plan_id
from backupd.rules.retention.planning import DatedSnapshot, RetentionPlan, plan
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING, Noted
from backupd.snapshot.records import FEWER, Snapshot

_REASON = "retention"
_MOST_NAMED = 5


class Decision(msgspec.Struct, frozen=True):
    """What the policy makes of a set's snapshots at a place."""

    set_id: bytes
    plan: RetentionPlan
    names: list[str]
    """Of all objects of the snapshots that go, sorted."""
    id: str
    """`p` and hex: the same as long as the same would go."""


class Retained(msgspec.Struct, frozen=True):
    """What was decided and done."""

    decision: Decision
    deleted_count: int
    """Objects of dropped snapshots that are gone; what is locked, or a running backup builds on, goes later."""
    is_left: bool = False
    """The login may only add there: what is to go is left to a host whose login may drop it (DESIGN 8.6)."""

    @property
    def kept(self) -> list[DatedSnapshot]:
        """Oldest first."""
        return self.decision.plan.kept

    @property
    def dropped(self) -> list[DatedSnapshot]:
        """Oldest first."""
        return self.decision.plan.dropped if not self.is_left else []

    @property
    def left(self) -> list[DatedSnapshot]:
        """What stays although it was to go."""
        return self.decision.plan.dropped if self.is_left else []


def retain(
    records: Records, set_id: bytes, policy: RetentionText, *, now_ns: int, zone: tzinfo, host_id: bytes
) -> Retained:
    """Drop what the policy does not keep; other sets of the repository are not touched, and no block is deleted.

    records: of a place opened for writing. zone: the set's. Idempotent: again at the same time, it drops nothing more.
    Raises as `decide`, DestinationError.
    """
    return carry_out(records, decide(records, set_id, policy, now_ns=now_ns, zone=zone), now_ns, host_id)


def decide(records: Records, set_id: bytes, policy: RetentionText, *, now_ns: int, zone: tzinfo) -> Decision:
    """What would be dropped now, and why the rest stays; changes nothing.

    Raises DamageError, NewerVersionError or KeyMissingError with the names of what can't be read, DestinationError.
    """
    by_id = objects_by_id(_snapshots(records, set_id))
    notes = read_notes(records)
    dated = [dated_of(found, notes) for found in by_id.values()]
    made = plan(policy, dated, to_datetime(now_ns), zone)
    names = sorted(name for one in made.dropped for name, _ in by_id[one.id])
    return Decision(set_id, made, names, plan_id(records.repository.text_id, naming.set_id_text(set_id), *names))


def carry_out(records: Records, decision: Decision, now_ns: int, host_id: bytes) -> Retained:
    """Write one drop record, then delete the objects that nobody builds on; also those left by earlier calls."""
    place, names = records.place, decision.names
    deleted = 0
    if names:
        try:
            deleted = reserve.with_room(place, lambda: drop_snapshots(records, names, now_ns, host_id, _REASON))
        except DestinationRefusedError:
            return Retained(decision, 0, is_left=True)
    left = _void_names(records, decision.set_id)
    return Retained(decision, deleted + (delete_void(records, left) if left else 0))


def _void_names(records: Records, set_id: bytes) -> list[str]:
    """Void names of a set whose objects still stand there."""
    void = records.void_names()
    return [name for name in _listed(records, set_id) if name in void]


def _listed(records: Records, set_id: bytes) -> list[str]:
    text = naming.set_id_text(set_id)
    return [name.name for name in records.listed_snapshot_names() if name.set_id == text]


def _snapshots(records: Records, set_id: bytes) -> list[tuple[str, Snapshot]]:
    """All of a set that are not void, complete or not. Raises where one can't be read."""
    listed = _listed(records, set_id)
    # After the listing: what was dropped meanwhile is known to be void.
    void = records.void_names()
    found: list[tuple[str, Snapshot]] = []
    unread: dict[str, BackupError] = {}
    for name in listed:
        if name in void:
            continue
        try:
            found.append((name, records.snapshot(name)))
        except (DamageError, ObjectMissingError, NewerVersionError, KeyMissingError) as error:
            unread[name] = error
    if unread:
        void = records.void_names()
        unread = {name: error for name, error in unread.items() if name not in void}
    if unread:
        raise _unreadable(unread)
    return found


def objects_by_id(found: Iterable[tuple[str, Snapshot]]) -> dict[str, list[tuple[str, Snapshot]]]:
    """Objects of each snapshot. One that was written anew, and is about to be dropped, is what stands in for it.

    Else a policy might choose to keep it alone, while who wrote it anew drops it.
    """
    found = list(found)
    stand_ins = {
        one.rewriting.snapshot_id: one.id for _, one in found if one.rewriting is not None and one.is_complete
    }
    by_id: dict[str, list[tuple[str, Snapshot]]] = {}
    for name, snapshot in sorted(found, key=lambda pair: pair[1].id in stand_ins):
        meant = snapshot.id
        for _ in stand_ins:
            if meant not in stand_ins:
                break
            meant = stand_ins[meant]
        by_id.setdefault(naming.snapshot_id_text(meant), []).append((name, snapshot))
    return by_id


def _unreadable(unread: dict[str, BackupError]) -> BackupError:
    """Damage before a newer version before a key that is not at hand."""
    kinds = (DamageError, ObjectMissingError, NewerVersionError, KeyMissingError)
    worst = min(unread.values(), key=lambda error: next(n for n, kind in enumerate(kinds) if isinstance(error, kind)))
    kind = DamageError if isinstance(worst, ObjectMissingError) else type(worst)
    named = ", ".join(sorted(unread)[:_MOST_NAMED])
    more = f" and {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
    return kind(
        f"no snapshot of the set is dropped, for {named}{more} can't be read: {worst.message}",
        hint=worst.hint or "bkctl check says what is damaged; copy it from another destination of this repository",
        context={"unreadable": sorted(unread)},
    )


def dated_of(found: Sequence[tuple[str, Snapshot]], notes: Mapping[bytes, Noted]) -> DatedSnapshot:
    """A snapshot as the decision knows it. found: all its objects; the first complete one counts.

    What is noted of one that is about to be dropped for it counts, too, where that keeps it. Raises NewerVersionError
    for a note that is not known here.
    """
    by_id = {one.id: notes.get(one.id, NOTHING) for _, one in found}
    for snapshot_id, noted in by_id.items():
        if noted.unknown:
            shown = naming.snapshot_id_text(snapshot_id)[:9]
            raise NewerVersionError(
                f"a note of kind '{min(noted.unknown)}' on {shown} is not known here",
                hint="install the newer backupd that wrote it; until then nothing of the set is dropped",
            )
    tags: dict[str, str] = {}
    for _, one in reversed(found):
        tags |= by_id[one.id].tags_over(one.tags)
    snapshot = max((one for _, one in found), key=lambda one: one.is_complete)
    return DatedSnapshot(
        id=naming.snapshot_id_text(snapshot.id),
        time_ns=snapshot.started_ns,
        made_ns=snapshot.finished_ns,
        is_complete=snapshot.is_complete,
        is_pinned=any(noted.is_pinned for noted in by_id.values()),
        tags=tags,
        is_far_fewer=bool(snapshot.statistics.get(FEWER)),
        host_id=snapshot.host_id.hex(),
        host=snapshot.host_name,
    )
