"""Snapshots at an open place: listed, for whoever asks and with those seen before, and picked."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import NamedTuple

from backupd.cache import seen_snapshots
from backupd.errors import (
    AccessError,
    BackupError,
    DamageError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
    SnapshotNotFoundError,
    StateError,
)
from backupd.model.orders import Selection
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, seen_snapshots_path
from backupd.rules import names, picking
from backupd.rules.picking import SnapshotRecord
from backupd.sizes import count, format_seconds
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot

AHEAD_NS = 300 * 1_000_000_000
"""A snapshot that is dated further after now is told: it hides later ones where a clock was set back."""


class SnapshotAt(NamedTuple):
    """A readable snapshot and its name at the place."""

    name: str
    snapshot: Snapshot


class Listing(NamedTuple):
    """Snapshots of a repository: those readable, and the message for each that is not."""

    found: list[SnapshotAt]
    damaged: dict[str, str]
    locked: dict[str, str] = {}
    """Those of an epoch that the key at hand does not open."""


def list_snapshots(place: OpenPlace) -> Listing:
    """All snapshots that are not void, oldest first within a set; one that can't be read keeps no other from being."""
    found: list[SnapshotAt] = []
    locked: dict[str, str] = {}
    void, damaged = place.records.readable_void_names()
    for name in place.records.listed_snapshot_names():
        if name.name in void:
            continue
        try:
            found.append(SnapshotAt(name.name, place.records.snapshot(name.name)))
        except KeyMissingError as error:
            locked[name.name] = error.message
        except (DamageError, ObjectMissingError, NewerVersionError) as error:
            damaged[name.name] = error.message
    return Listing(found, damaged, locked)


def list_for_caller(context: JobContext, place: OpenPlace) -> Listing:
    """The snapshots that the order's caller may look into: of this host, for elsewhere his number is someone else's."""
    listing = _with_seen(context, place, list_snapshots(place))
    if context.order.caller is None:
        return listing
    here = (context.host.name, context.host.host_id)
    found = (at for at in listing.found if at.snapshot.host_name == here[0] or at.snapshot.host_id.hex() == here[1])
    return listing._replace(found=[*found])


def _with_seen(context: JobContext, place: OpenPlace, listing: Listing) -> Listing:
    """With those that this host has seen there and a listing that lags, or lies, leaves out."""
    try:
        seen = seen_snapshots.load(seen_snapshots_path(context, place))
    except (AccessError, StateError):
        return listing
    unlisted = seen - {at.name for at in listing.found} - listing.damaged.keys() - listing.locked.keys()
    if not unlisted:
        return listing
    found = [*listing.found]
    for name in sorted(unlisted - place.records.readable_void_names()[0]):
        with suppress(BackupError):
            found.append(SnapshotAt(name, place.records.snapshot(name)))
    return listing._replace(found=sorted(found, key=lambda at: at.name))


def to_record(at: SnapshotAt) -> SnapshotRecord:
    """A snapshot as picking knows it."""
    snapshot = at.snapshot
    return SnapshotRecord(
        id=naming.snapshot_id_text(snapshot.id),
        set_id=naming.set_id_text(snapshot.set_id),
        set_name=snapshot.set_name,
        host=snapshot.host_name,
        time_ns=snapshot.started_ns,
        is_complete=snapshot.is_complete,
        sources=snapshot.sources,
    )


def pick_snapshot(context: JobContext, place: OpenPlace, selection: Selection) -> Snapshot:
    """The snapshot that a selection means; says which are damaged."""
    listing = list_for_caller(context, place)
    warn_of_unread(context, listing)
    return pick_from(context, listing, selection)


def warn_of_unread(context: JobContext, listing: Listing) -> None:
    """Say which snapshots are damaged, and how many the key at hand does not open."""
    for message in listing.damaged.values():
        context.warn(message)
    if listing.locked:
        context.warn(f"not seen: {count(len(listing.locked), 'newer snapshot')}: {next(iter(listing.locked.values()))}")


def pick_from(context: JobContext, listing: Listing, selection: Selection) -> Snapshot:
    """The snapshot of a listing that a selection means."""
    records = [to_record(at) for at in listing.found]
    now = context.now.astimezone(UTC)
    if not records and listing.damaged:
        raise DamageError(
            f"no snapshot here can be read: {next(iter(listing.damaged.values()))}",
            hint="copy it from another destination of this repository; bkctl check says what else is damaged",
        )
    try:
        picked = picking.pick(records, selection, now, context.zone, context.host.name)
    except SnapshotNotFoundError as error:
        new = _stand_in_of(listing, selection.as_of)
        if new is not None:
            raise SnapshotNotFoundError(
                f"{error.message}: it was written anew as {names.short(new)}", hint="ask for that one"
            ) from error
        for name, message in listing.damaged.items():
            session = name.rpartition("-")[2]
            if selection.as_of.startswith("s") and ("s" + session).startswith(selection.as_of):
                raise DamageError(
                    f"the snapshot {selection.as_of} can't be read: {message}",
                    hint="copy it from another destination of this repository, or choose another: bkctl snapshot list",
                ) from error
        raise
    ahead_ns = picked.time_ns - context.clock.now_ns()
    if selection.as_of == "latest" and ahead_ns > AHEAD_NS:
        context.warn(
            f"the newest snapshot, {names.short(picked.id)}, is dated {format_seconds(ahead_ns / 1e9)} after now;"
            " where a clock was set back meanwhile, a later one has an older date: bkctl snapshot list"
        )
    return next(
        at.snapshot
        for at in reversed(listing.found)
        if naming.snapshot_id_text(at.snapshot.id) == picked.id and at.snapshot.is_complete == picked.is_complete
    )


def _stand_in_of(listing: Listing, word: str) -> str | None:
    """The id of what was written anew in place of the snapshot that an id, or its beginning, meant."""
    for at in listing.found if names.is_id(word, "s") else []:
        rewriting = at.snapshot.rewriting
        if rewriting is not None and naming.snapshot_id_text(rewriting.snapshot_id).startswith(word):
            return naming.snapshot_id_text(at.snapshot.id)
    return None
