"""`snapshot list` and `snapshot show`: what snapshots say of themselves; no index and no block is read."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from backupd.errors import DamageError
from backupd.model import events
from backupd.model.orders import SnapshotListOrder, SnapshotShowOrder
from backupd.model.results import path_fields
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace, open_place
from backupd.operations.snapshot_listing import SnapshotAt, list_for_caller, pick_snapshot, to_record, warn_of_unread
from backupd.repository.notes import readable_notes
from backupd.rules import moments, names, picking
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING, Noted
from backupd.snapshot.records import Snapshot

_MOST_NAMED = 100


def run_list(order: SnapshotListOrder, context: JobContext) -> events.Done:
    """List snapshots, oldest first; a damaged one is a warning, and the exit code then 20."""
    place = open_place(context)
    listing = list_for_caller(context, place)
    notes = _notes(context, place)
    chosen = _of_set(context, order, _distinct(listing.found))
    chosen = [snapshot for snapshot in chosen if snapshot.is_complete or order.incomplete]
    chosen.sort(key=lambda snapshot: (snapshot.started_ns, snapshot.id))
    shown = [_summary(snapshot, notes.get(snapshot.id, NOTHING), context.zone) for snapshot in chosen]
    result = {"snapshots": shown, "next": None}
    warn_of_unread(context, listing)
    return end(context, result, listing.damaged, "snapshots")


def run_show(order: SnapshotShowOrder, context: JobContext) -> events.Done:
    """All facts of one snapshot, the settings it was made with among them."""
    place = open_place(context)
    snapshot = pick_snapshot(context, place, order.selection)
    noted = _notes(context, place).get(snapshot.id, NOTHING)
    return events.Done(exit_code=0, result=_facts(snapshot, noted, context.zone), warnings=context.warnings)


def identify(snapshot: Snapshot, zone: tzinfo) -> dict[str, Any]:
    """How a snapshot is named in results."""
    snapshot_id = naming.snapshot_id_text(snapshot.id)
    return {
        "id": snapshot_id,
        "short": names.short(snapshot_id),
        "set": snapshot.set_name,
        "host": snapshot.host_name,
        "time": moments.rfc3339(snapshot.started_ns, zone),
    }


def end(context: JobContext, result: dict[str, Any], damaged: Mapping[str, str], what: str) -> events.Done:
    """End a listing: with 20 where damage kept something out of it.

    damaged: reason by place. what: the nature of those places, in the plural.
    """
    if not damaged:
        return events.Done(exit_code=0, result=result, warnings=context.warnings)
    error = DamageError(
        f"{len(damaged)} {what} are damaged and not shown whole",
        hint="`bkctl check` says what is hit; all else can be restored",
        context={"damaged": sorted(damaged)[:_MOST_NAMED]},
    )
    return events.Done(
        exit_code=error.exit_code, result=result, warnings=context.warnings, error=error_fields(error)
    )


def _distinct(found: Iterable[SnapshotAt]) -> list[SnapshotAt]:
    """Each id once, the complete one of two."""
    kept: dict[bytes, SnapshotAt] = {}
    for at in found:
        standing = kept.get(at.snapshot.id)
        if standing is None or at.snapshot.is_complete > standing.snapshot.is_complete:
            kept[at.snapshot.id] = at
    return list(kept.values())


def _of_set(context: JobContext, order: SnapshotListOrder, found: Sequence[SnapshotAt]) -> list[Snapshot]:
    if order.set_name is None:
        return [at.snapshot for at in found if order.host_name in (None, at.snapshot.host_name)]
    records = [to_record(at) for at in found]
    chosen = picking.choose_set(records, order.set_name, order.host_name, own_host=context.host.name)
    host = picking.host_of(order.set_name, order.host_name)
    of_set = [at.snapshot for at in found if naming.set_id_text(at.snapshot.set_id) == chosen]
    return [one for one in of_set if picking.is_of_host(one.host_name, host)]


def _notes(context: JobContext, place: OpenPlace) -> dict[bytes, Noted]:
    """What is noted at the place; what can't be read of it is told."""
    found, unread = readable_notes(place.records)
    for message in unread:
        context.warn(f"{message}; pins and tags may be missing here")
    return found


def _summary(snapshot: Snapshot, noted: Noted, zone: tzinfo) -> dict[str, Any]:
    return {
        **identify(snapshot, zone),
        "set_id": naming.set_id_text(snapshot.set_id),
        "finished_at": moments.rfc3339(snapshot.finished_ns, zone),
        "files": snapshot.file_count,
        "bytes": snapshot.byte_count,
        "stored_bytes": snapshot.statistics.get("stored_bytes", 0),
        "tags": noted.tags_over(snapshot.tags),
        "pinned": noted.is_pinned,
        "lost": {"files": noted.loss.files, "bytes": noted.loss.bytes} if noted.loss is not None else None,
        "incomplete": not snapshot.is_complete,
        "purged_paths": snapshot.rewriting.path_count if snapshot.rewriting is not None else 0,
        **_sources(snapshot),
    }


def _facts(snapshot: Snapshot, noted: Noted, zone: tzinfo) -> dict[str, Any]:
    return {
        **_summary(snapshot, noted, zone),
        "pin_reason": noted.reason or None,
        "seconds": round((snapshot.finished_ns - snapshot.started_ns) / 1e9, 3),
        "host_id": snapshot.host_id.hex(),
        "epoch": snapshot.epoch,
        "base": snapshot.base or None,
        "program": snapshot.program,
        "statistics": snapshot.statistics,
        "settings": _settings(snapshot.settings),
        "rewritten": _rewriting(snapshot, zone),
    }


def _rewriting(snapshot: Snapshot, zone: tzinfo) -> dict[str, Any] | None:
    """That it stands in for another snapshot, from which paths were purged or whose files were cut anew."""
    found = snapshot.rewriting
    if found is None:
        return None
    return {
        "from": naming.snapshot_id_text(found.snapshot_id),
        "time": moments.rfc3339(found.rewritten_ns, zone),
        "host_id": found.host_id.hex(),
        "paths": found.path_count,
    }


def _settings(text: str) -> object:
    """Settings as the object that they are the text of, or as they stand."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _sources(snapshot: Snapshot) -> dict[str, Any]:
    fields: dict[str, Any] = {"sources": [path_fields(path)["path"] for path in snapshot.sources]}
    if any("path_b64" in path_fields(path) for path in snapshot.sources):
        fields["sources_b64"] = [base64.b64encode(path).decode() for path in snapshot.sources]
    return fields
