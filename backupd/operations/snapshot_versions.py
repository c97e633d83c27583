"""`snapshot versions`: all versions of paths in a set."""

from __future__ import annotations

from datetime import tzinfo
from functools import partial
from typing import Any

from backupd.model import events
from backupd.model.orders import SnapshotVersionsOrder
from backupd.model.results import path_fields
from backupd.operations import snapshot_tree
from backupd.operations.context import JobContext
from backupd.operations.file_versions import Version, versions_of
from backupd.operations.places import open_place
from backupd.operations.snapshot_browsing import moment_of, note_damage
from backupd.operations.snapshot_listing import list_for_caller, to_record, warn_of_unread
from backupd.operations.snapshots import end, identify
from backupd.rules import picking
from backupd.snapshot import naming
from backupd.tree.entry import Kind


def run(order: SnapshotVersionsOrder, context: JobContext) -> events.Done:
    """List the versions of the order's paths, numbered as `restore --pick` takes them."""
    place = open_place(context)
    listing = list_for_caller(context, place)
    warn_of_unread(context, listing)
    choice = order.selection
    records = [to_record(at) for at in listing.found]
    set_id = picking.choose_set(records, choice.set_name, choice.host_name, choice.paths, context.host.name)
    host = picking.host_of(choice.set_name, choice.host_name)
    of_set = [at.snapshot for at in listing.found if naming.set_id_text(at.snapshot.set_id) == set_id]
    last = max((one for one in of_set if picking.is_of_host(one.host_name, host)), key=lambda one: one.started_ns)
    # Of another machine the same path is another file.
    snapshots = [one for one in of_set if one.is_of_machine(last) and (one.is_complete or choice.incomplete)]
    trees = snapshot_tree.open_trees(context, place)
    damaged: dict[str, str] = {}
    found = versions_of(choice.paths, snapshots, trees, partial(note_damage, context, damaged))
    result = {"versions": [_item(version, context.zone) for version in found], "next": None}
    return end(context, result, damaged, "directories")


def _item(version: Version, zone: tzinfo) -> dict[str, Any]:
    named = identify(version.snapshot, zone)
    return {
        "number": version.number,
        **path_fields(version.path),
        "snapshot": named["id"],
        "short": named["short"],
        "time": named["time"],
        "kind": Kind(version.entry.kind).name.lower(),
        "size": version.entry.size,
        "mtime": moment_of(version.entry.mtime_ns, zone),
        "mtime_ns": version.entry.mtime_ns,
    }
