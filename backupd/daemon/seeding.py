"""Destinations whose first copy is on its way on a disk: noted in the catalog until it is adopted (FEATURES 4.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from backupd.catalog import definitions as rows
from backupd.catalog.database import Connection
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.catalog.facts import drop_fact, fact, put_fact
from backupd.catalog.jobs import StoredRun
from backupd.daemon.outcome import GOOD, Outcome
from backupd.model.api import SeedingView
from backupd.model.sets import DestinationText
from backupd.model.structs import Struct
from backupd.rules import moments
from backupd.settings import environment
from backupd.settings.zone import zone_or_own
from backupd.store_errors import DestinationSeedingError

_STORING = ("backup", "replicate")


class SeededSet(Struct, frozen=True, kw_only=True):
    """A set whose first copy is on the disk."""

    repository: str
    stored_set_id: str
    is_first: bool
    """The disk has the only keys and snapshots of the set: no other destination may begin a repository meanwhile."""


class Seeding(Struct, frozen=True, kw_only=True):
    """A destination that waits for a disk."""

    place: str
    """Directory on the disk, as it was when it was written."""
    since_ns: int
    sets: dict[str, SeededSet]
    """By the daemon's id of the set."""


Seedings = Mapping[str, Seeding]
"""By the destination's id."""


def load(connection: Connection, destinations: Sequence[StoredDestination]) -> dict[str, Seeding]:
    """All that is noted."""
    found: dict[str, Seeding] = {}
    for one in destinations:
        seeding = _stored(connection, one.id)
        if seeding is not None:
            found[one.id] = seeding
    return found


def begin(connection: Connection, destination_id: str, seeding: Seeding) -> None:
    """Note that sets are seeded from now on; those that were noted before stay."""
    earlier = _stored(connection, destination_id)
    if earlier is not None:
        seeding = msgspec.structs.replace(
            seeding, since_ns=earlier.since_ns, sets={**earlier.sets, **seeding.sets}
        )
    put_fact(connection, _key(destination_id), msgspec.json.encode(seeding).decode())


def adopt(connection: Connection, destination_id: str, set_id: str) -> None:
    """The set's copy has arrived: its repository is noted, and the last set ends the seeding."""
    seeding = _stored(connection, destination_id)
    seeded = seeding.sets.get(set_id) if seeding is not None else None
    if seeding is None or seeded is None:
        return
    found = StoredRepository(
        set_id=set_id,
        destination_id=destination_id,
        repository=seeded.repository,
        stored_set_id=seeded.stored_set_id,
    )
    known_sets = {one.id for one in rows.sets(connection)}
    if set_id in known_sets:
        rows.put_repository(connection, found)
    left = {id_: one for id_, one in seeding.sets.items() if id_ != set_id and id_ in known_sets}
    if left:
        text = msgspec.json.encode(msgspec.structs.replace(seeding, sets=left)).decode()
        put_fact(connection, _key(destination_id), text)
    else:
        end(connection, destination_id)


def end(connection: Connection, destination_id: str) -> None:
    """Nothing is awaited there any longer."""
    drop_fact(connection, _key(destination_id))


def passed_over(
    seedings: Seedings,
    repositories: Sequence[StoredRepository],
    stored: StoredSet,
    destinations: Sequence[StoredDestination],
) -> dict[str, Outcome]:
    """The destinations that a run of a set leaves alone, by id, and why."""
    places = [seeding.place for seeding in seedings.values() if _is_first(seeding, stored.id)]
    known = {one.destination_id for one in repositories if one.set_id == stored.id}
    found: dict[str, Outcome] = {}
    for one in destinations:
        seeding = seedings.get(one.id)
        if seeding is not None and stored.id in seeding.sets:
            error = DestinationSeedingError(
                f"{one.text.name} is seeding since {_since(seeding, stored)}: its first copy is on the way from "
                f"{seeding.place}",
                hint=f"when it is there: bkctl destination adopt {one.text.name}",
            )
            found[one.id] = Outcome.of(error)
        elif places and one.id not in known:
            error = DestinationSeedingError(
                f"{one.text.name} has nothing of {stored.text.name} yet, and its keys are on the way on the disk of "
                f"{places[0]}",
                hint="once that disk is adopted, the next run goes here, too",
            )
            found[one.id] = Outcome.of(error)
    return found


def source_of(
    stored: StoredSet,
    destination: StoredDestination,
    repositories: Sequence[StoredRepository],
    runs: Sequence[StoredRun],
) -> StoredRepository | None:
    """From where a set can be copied to a disk: another destination that was stored to with success."""
    good = {run.destination_id for run in runs if run.set_id == stored.id and _has_stored(run)}
    found = (one for one in repositories if one.set_id == stored.id and one.destination_id in good - {destination.id})
    return next(found, None)


def has_snapshot(stored: StoredSet, destination: StoredDestination, runs: Sequence[StoredRun]) -> bool:
    """Whether a run of the set ended well there, and nobody forgot it since."""
    return any(
        (run.set_id, run.destination_id) == (stored.id, destination.id) and _has_stored(run) for run in runs
    )


def disk_text(text: DestinationText, place: str) -> DestinationText:
    """A destination as it is while its first copy is written to a disk: a plain directory."""
    return DestinationText(name=place, place=place, quota=text.quota)


def view(seeding: Seeding, sets: Sequence[StoredSet]) -> SeedingView:
    """As the API shows it."""
    names = sorted(one.text.name for one in sets if one.id in seeding.sets)
    return SeedingView(place=seeding.place, since_ns=seeding.since_ns, sets=names)


def _since(seeding: Seeding, stored: StoredSet) -> str:
    return moments.rfc3339(seeding.since_ns, zone_or_own(stored.text.time_zone, environment.variables()))


def _has_stored(run: StoredRun) -> bool:
    return run.kind in _STORING and run.exit_code in GOOD


def _is_first(seeding: Seeding, set_id: str) -> bool:
    return set_id in seeding.sets and seeding.sets[set_id].is_first


def _stored(connection: Connection, destination_id: str) -> Seeding | None:
    """None, too, for what no version of ours wrote: then nothing is awaited, and runs go there as ever."""
    text = fact(connection, _key(destination_id))
    try:
        return msgspec.json.decode(text, type=Seeding) if text is not None else None
    except msgspec.MsgspecError:
        return None


def _key(destination_id: str) -> str:
    return f"seeding/{destination_id}"
