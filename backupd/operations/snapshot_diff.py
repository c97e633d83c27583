"""`snapshot diff`: what changed from one snapshot to another."""

from __future__ import annotations

from collections import Counter
from datetime import tzinfo
from functools import partial
from typing import Any

import msgspec

from backupd.errors import PathNotFoundError
from backupd.model import events
from backupd.model.orders import SnapshotDiffOrder
from backupd.model.results import path_fields, shown
from backupd.operations import snapshot_tree
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.operations.snapshot_browsing import moment_of, note_damage
from backupd.operations.snapshot_changes import Change, walk_changes
from backupd.operations.snapshot_listing import Listing, list_for_caller, pick_from, warn_of_unread
from backupd.operations.snapshots import end, identify
from backupd.rules import names
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry, Kind


def run(order: SnapshotDiffOrder, context: JobContext) -> events.Done:
    """Send an item for each path that was added, removed, changed in content, or in metadata alone."""
    place = open_place(context)
    listing = list_for_caller(context, place)
    warn_of_unread(context, listing)
    older, newer = _pick_both(order, context, listing)
    trees = snapshot_tree.open_trees(context, place)
    old_root, new_root = snapshot_tree.root_entry(older), snapshot_tree.root_entry(newer)
    counts: Counter[str] = Counter(added=0, removed=0, changed=0, metadata=0)
    damaged: dict[str, str] = {}
    note = partial(note_damage, context, damaged)
    for path in order.selection.paths or [b"/"]:
        before, after = snapshot_tree.find(old_root, path, trees), snapshot_tree.find(new_root, path, trees)
        if before is after is None:
            raise PathNotFoundError(f"neither of the two snapshots holds {shown(path)}")
        for change in walk_changes(path, before, after, trees, note):
            context.cancel.check()
            counts[change.kind] += 1
            context.send(events.Item(item=_item(change, context.zone)))
    result = {
        "older": identify(older, context.zone),
        "newer": identify(newer, context.zone),
        "counts": dict(counts),
    }
    return end(context, result, damaged, "directories")


def _pick_both(order: SnapshotDiffOrder, context: JobContext, listing: Listing) -> tuple[Snapshot, Snapshot]:
    older = pick_from(context, listing, order.selection)
    wanted = msgspec.structs.replace(order.selection, as_of=order.newer)
    if not names.is_id(order.newer, "s"):
        # `latest` and times are of the older one's set; an id may be any.
        set_name = naming.set_id_text(older.set_id)
        wanted = msgspec.structs.replace(wanted, set_name=set_name, host_name=None)
    return older, pick_from(context, listing, wanted)


def _item(change: Change, zone: tzinfo) -> dict[str, Any]:
    entry = change.after or change.before
    fields: dict[str, Any] = {"change": change.kind, **path_fields(change.path)}
    if entry is not None:
        fields["kind"] = Kind(entry.kind).name.lower()
    return {
        **fields,
        **_side("before", change.before, zone),
        **_side("after", change.after, zone),
    }


def _side(name: str, entry: Entry | None, zone: tzinfo) -> dict[str, Any]:
    if entry is None:
        return {}
    return {
        f"kind_{name}": Kind(entry.kind).name.lower(),
        f"size_{name}": entry.size,
        f"mtime_{name}": moment_of(entry.mtime_ns, zone),
    }
