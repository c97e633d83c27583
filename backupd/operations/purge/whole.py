"""All of a repository at one place: nobody begins to write there any more, then its keys go, then all else.

From the moment that the marker `gc/purge-…` stands, each writer ends at its next announcement; who posted before is
waited for. Once the key slots are gone, nothing that is left there can be read by anybody, so what was broken off is
finished by the next call without a key (docs/protocol.md).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import msgspec

from backupd.destination.contract import Below, Destination, Store
from backupd.destination.stores import canonical
from backupd.errors import (
    BackupError,
    DamageError,
    FormatError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
    RepositoryNotFoundError,
    UsageError,
)
from backupd.model import events
from backupd.model.purge_orders import PurgeOrder
from backupd.operations.context import JobContext, error_fields
from backupd.operations.freeing.report import Waiting
from backupd.operations.freeing.settling import settling_until
from backupd.operations.places import OpenPlace, open_repository, remove_dead_temporaries, split_place, writing
from backupd.operations.purge import traces
from backupd.operations.purge.deleting import Deleting
from backupd.operations.purge.evidence import Evidence
from backupd.operations.snapshot_listing import list_snapshots, to_record
from backupd.repository import identity, purge_marker, reserve
from backupd.repository.purge_marker import Marker
from backupd.rules import moments, names
from backupd.rules.retention.plan_ids import plan_id
from backupd.settings.keys import KeyStore
from backupd.settings.lock import SetLock
from backupd.settings.writer_mark import WriterMark
from backupd.snapshot import naming
from backupd.snapshot.records import Session
from backupd.store_errors import PlanOutdatedError, PurgeWaitsError

PATIENCE_SECONDS = 60.0
"""So long writers are waited for that began at the same moment; they look twice a minute."""
_PAUSE_SECONDS = 1.0


class _Found(NamedTuple):
    """A repository at a place, as it was found."""

    address: str
    whole: Store
    repository: str
    markers: list[Marker]
    """Of a purge of all of it that was broken off there."""

    @property
    def is_begun(self) -> bool:
        """Whether nobody begins to write there any more."""
        return bool(self.markers)

    @property
    def is_deleting(self) -> bool:
        """Whether its keys may be gone."""
        return any(marker.is_deleting for marker in self.markers)

    @property
    def below(self) -> Destination:
        """Its own folder."""
        return Below(self.whole, self.repository)


def run(order: PurgeOrder, context: JobContext) -> events.Done:
    """Show what would go, or delete all of it.

    Raises RepositoryNotFoundError, KeyMissingError, PlanOutdatedError, BusyError: then nothing is deleted.
    """
    context.step("open the repository")
    found = _find(order, context)
    place: OpenPlace | None = None
    if not found.is_deleting:
        place = open_repository(context, found.whole, found.address, found.repository, order.access)
        if context.alarm is not None:
            raise context.alarm
    plan, result = _plan(context, found, place)
    if order.dry_run:
        return events.Done(exit_code=0, result=result, warnings=context.warnings)
    if plan != order.plan:
        raise PlanOutdatedError(
            f"plan {order.plan[:9]} is out of date: other things would be deleted now",
            hint="look at the new one: the same command with --dry-run",
            context={"plan": plan},
        )
    return _Deletion(order, context, found, result).run(place)


def _find(order: PurgeOrder, context: JobContext) -> _Found:
    """The repository that is meant, one among them of which a purge was broken off."""
    address, named = split_place(order.place)
    whole = context.open_store(address, "reader", order.access)
    tops = whole.top_names()
    begun = [name for name in tops if identity.is_id_text(name) and purge_marker.names(Below(whole, name))]
    standing = identity.list_repositories(whole, tops)
    every = sorted({*begun, *standing})
    if named is None and len(begun or every) == 1:
        # What was begun is ended before anything else.
        named = (begun or every)[0]
    if named is None and len(every) > 1:
        with suppress(FormatError):
            named = identity.read_once(whole)
    if named is None and len(every) > 1:
        raise UsageError(
            f"{len(every)} repositories in {whole.shown}",
            hint="name one of them as PLACE/ID",
            context={"candidates": every},
        )
    if named not in every:
        raise RepositoryNotFoundError(f"no repository in {whole.shown}", hint="nothing is to be deleted there")
    below = Below(whole, named)
    return _Found(address, whole, named, [purge_marker.read(below, name) for name in purge_marker.names(below)])


def _begun_plan(found: _Found) -> str:
    """Id of the plan that was begun; empty where there is none."""
    if not found.is_begun:
        return ""
    return next((one.plan for one in found.markers if one.plan), plan_id("purge all", found.repository))


def _plan(context: JobContext, found: _Found, place: OpenPlace | None) -> tuple[str, dict[str, Any]]:
    """(id of the plan, the plan as a result)."""
    objects = {info.name: info.size_bytes for info in found.below.list("")}
    listing = list_snapshots(place) if place is not None else None
    if listing is not None:
        for message in (*listing.damaged.values(), *listing.locked.values()):
            context.warn(f"{message}; it goes with all else")
    records = [to_record(at) for at in listing.found] if listing is not None else []
    snapshots = [at.snapshot for at in listing.found] if listing is not None else []
    standing = [] if found.is_begun else sorted(name for name in objects if name.startswith("snapshots/"))
    plan = _begun_plan(found) or plan_id("purge all", found.repository, *standing)
    kept = KeyStore(context.directories.data).path_of(found.repository)
    with context.rights.raised():
        has_key = os.path.exists(kept)
    result = {
        "changed": False,
        "dry_run": True,
        "plan": plan,
        "place": found.address,
        "repository": found.repository,
        "is_whole": True,
        "is_begun": found.is_begun,
        "sets": [{"id": one, "name": name} for one, name in sorted({(r.set_id, r.set_name) for r in records})],
        "counts": {
            "dropped": len(standing),
            "rewritten": 0,
            "kept": 0,
            "files": sum(one.file_count for one in snapshots),
            "objects": len(objects),
        },
        "bytes": {"source": sum(one.byte_count for one in snapshots), "stored": sum(objects.values()), "shared": 0},
        "snapshots": [],
        "freed_bytes": 0,
        "deleted": {"blocks": 0, "bytes": 0},
        "waiting": [],
        "evidence": None,
        "kept_key": kept if has_key else None,
    }
    return plan, result


class _Deletion:
    """Of one repository."""

    def __init__(self, order: PurgeOrder, context: JobContext, found: _Found, result: dict[str, Any]) -> None:
        self._order, self._context, self._found, self._result = order, context, found, result
        self._deleting = Deleting(context, found.whole, found.repository, result["bytes"]["stored"])
        self._waiting: list[Waiting] = []

    def run(self, place: OpenPlace | None) -> events.Done:
        """place: None where a purge goes on of which the keys may be gone."""
        context, found = self._context, self._found
        evidence = Evidence(self._order, context)
        stopped: BackupError | None = None
        with ExitStack() as stack:
            for set_id in sorted(self._sets(place)):
                stack.enter_context(SetLock(context.directories.state, set_id)).acquire(context.clock)
            if place is not None:
                with writing(context, place) as opened:
                    is_ours = self._announced(opened)
                if not is_ours:
                    return self._end(None, None)
            whole = evidence.noting_store(found.whole)
            tag = identity.place_tag(canonical(found.address))
            with WriterMark(context.directories.state, tag, os.urandom(16).hex()) as mark:
                remove_dead_temporaries(mark, found.whole, found.repository)
            try:
                self._deleting.run(whole)
            except BackupError as error:
                # The marker stands, and keys may be gone.
                stopped = error
                stopped.hint = f"the same command goes on with it. {error.hint}".strip()
            self._tell_of_locks()
            waiting = [msgspec.structs.asdict(one) for one in self._waiting]
            file = evidence.write(None, found.repository, found.address, waiting)
        if stopped is None and not self._waiting:
            traces.forget_place(context, found.repository, tag)
        return self._end(stopped, file)

    def _sets(self, place: OpenPlace | None) -> set[str]:
        """Of the snapshots, and of runs of this state: one of them may be the first of its set."""
        listed = (naming.parse_snapshot_name(info.name) for info in self._found.below.list("snapshots/"))
        own = [said for said in self._said(place) if said.state_id.hex() == self._context.host.state_id]
        return {name.set_id for name in listed if name is not None} | {naming.set_id_text(one.set_id) for one in own}

    def _said(self, place: OpenPlace | None) -> Iterator[Session]:
        """The newest announcement of each session; one that can't be read counts for nothing: it ends as all do."""
        if place is None:
            return
        for session, numbers in place.records.sessions().items():
            with suppress(DamageError, ObjectMissingError, NewerVersionError, KeyMissingError):
                yield place.records.session(session, numbers[-1])

    # Nobody begins to write there any more

    def _announced(self, place: OpenPlace) -> bool:
        """Create the markers, where nobody else is at work there; False where somebody is, or may be."""
        context, store, plan = self._context, place.records.place, self._order.plan
        if not self._found.is_begun:
            if self._refuse_writers(place, "a backup is under way there, and nothing was deleted: purge again later"):
                return False
            reserve.give_up(store)
            purge_marker.put(store, plan, is_deleting=False)
        end, pause = context.clock.monotonic() + PATIENCE_SECONDS, threading.Event()
        while self._writers(place):
            reason = "a backup began at the same moment and ends at its next look: purge again in a minute"
            if context.clock.monotonic() >= end and self._refuse_writers(place, reason):
                return False
            context.cancel.check()
            pause.wait(_PAUSE_SECONDS)
        if not self._is_settled(place):
            return False
        purge_marker.put(store, plan, is_deleting=True)
        return True

    def _is_settled(self, place: OpenPlace) -> bool:
        """Where a listing may lag, who writes there may not have seen the marker: two days, as for a freeing."""
        if place.records.is_exact or not self._has_other_hosts(place):
            return True
        until = settling_until(self._context, os.path.join(place.cache, "purge.seen"), self._order.plan)
        if until is None:
            return True
        reason = "this store may show late what other hosts do there, and is given two days to settle: purge again then"
        self._waiting.append(Waiting("store", place.repository.text_id, reason, until))
        return False

    def _has_other_hosts(self, place: OpenPlace) -> bool:
        listing = list_snapshots(place)
        hosts = {at.snapshot.host_id for at in listing.found} | {one.host_id for one in self._said(place)}
        is_known = not listing.damaged and not listing.locked
        return not is_known or bool(hosts - {bytes.fromhex(self._context.host.host_id)})

    def _refuse_writers(self, place: OpenPlace, reason: str) -> bool:
        self._waiting += [
            Waiting("session", naming.snapshot_id_text(one.id), reason, None, naming.set_id_text(one.set_id), host)
            for one, host in self._writers(place)
        ]
        return bool(self._waiting)

    def _writers(self, place: OpenPlace) -> list[tuple[Session, str]]:
        """Sessions of other states that have not ended. Of this one nobody is at work: we hold the sets' locks."""
        records, state_id = place.records, self._context.host.state_id
        ended = {name.name for name in records.listed_snapshot_names()} | records.readable_void_names()[0]
        others = (one for one in self._said(place) if one.state_id.hex() != state_id)
        return [(one, one.host_id.hex()) for one in others if one.snapshot_name not in ended]

    def _tell_of_locks(self) -> None:
        """What the store retains stays, with what says that it is a repository and the marker of this purge."""
        locked = self._deleting.locked
        if locked:
            until = moments.rfc3339(max(locked.values()), self._context.zone)
            objects = "1 object is" if len(locked) == 1 else f"{len(locked):,} objects are"
            reason = f"{objects} locked at the store and retained until {until}: purge again then"
            self._waiting.append(Waiting("lock", self._found.repository, reason, until))

    def _end(self, stopped: BackupError | None, file: dict[str, str] | None) -> events.Done:
        error, done = stopped, self._deleting
        if error is None and self._waiting:
            first = self._waiting[0]
            error = PurgeWaitsError(first.reason, hint=_hint(first.id) if first.what == "session" else "")
        result = self._result | {
            "dry_run": False,
            "changed": done.objects > 0,
            "freed_bytes": done.bytes,
            "deleted": {"blocks": done.blocks, "bytes": done.bytes},
            "waiting": [msgspec.structs.asdict(one) for one in self._waiting],
            "evidence": file,
            "ended": moments.rfc3339(self._context.clock.now_ns(), self._context.zone),
        }
        return events.Done(
            exit_code=error.exit_code if error is not None else 0,
            result=result,
            warnings=self._context.warnings,
            error=error_fields(error) if error is not None else None,
        )


def _hint(session: str) -> str:
    return f"if that writer is dead: bkctl destination sessions --revoke {names.short(session)}"

