"""`snapshot ls` and `snapshot cat`: entries and bytes as a snapshot holds them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any

from backupd.errors import DamageError, FormatError, UsageError
from backupd.model import events
from backupd.model.orders import SnapshotCatOrder, SnapshotLsOrder
from backupd.model.results import path_fields, shown
from backupd.operations import snapshot_tree
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.operations.snapshot_listing import pick_snapshot
from backupd.operations.snapshot_tree import Trees
from backupd.operations.snapshots import end, identify
from backupd.rules import moments, names
from backupd.snapshot.records import Snapshot
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import CHANGED, Device, Entry, Kind

_MAX_DATA_BYTES = 1 << 20


def run_ls(order: SnapshotLsOrder, context: JobContext) -> events.Done:
    """List what lies at paths, or at the common directory of the sources; a directory that is damaged ends in 20."""
    place = open_place(context)
    snapshot = pick_snapshot(context, place, order.selection)
    trees = snapshot_tree.open_trees(context, place)
    lister = _Lister(context, snapshot, trees)
    root = snapshot_tree.root_entry(snapshot)
    paths = order.selection.paths or [names.common_path(snapshot.sources or [b"/"])]
    for path, entry in [(path, snapshot_tree.require(root, path, trees)) for path in paths]:
        if entry.kind == Kind.DIRECTORY:
            trees.refuse_unreadable(entry, path)
            lister.list_directory(path, entry, order.recursive)
        else:
            lister.send(path, entry)
    result = {"snapshot": identify(snapshot, context.zone), "paths": [path_fields(p)["path"] for p in paths]}
    return end(context, {**result, "entry_count": lister.count}, lister.damaged, "directories")


def run_cat(order: SnapshotCatOrder, context: JobContext) -> events.Done:
    """Send one file's bytes, each chunk verified before; what is damaged ends it with 20 after what was sound."""
    place = open_place(context)
    snapshot = pick_snapshot(context, place, order.selection)
    trees = snapshot_tree.open_trees(context, place)
    path = order.selection.paths[0]
    entry = _require_file(snapshot_tree.require(snapshot_tree.root_entry(snapshot), path, trees), path)
    trees.refuse_unreadable(entry, path)
    sent = 0
    for piece in snapshot_tree.read_file(entry, trees.load):
        for at in range(0, len(piece), _MAX_DATA_BYTES):
            context.cancel.check()
            context.send(events.Data(data=piece[at : at + _MAX_DATA_BYTES]))
        sent += len(piece)
    if snapshot_tree.is_unfinished(entry):
        context.warn(f"{shown(path)}: only its first {sent} bytes are stored")
    if entry.extra is not None and entry.extra.state & CHANGED:
        context.warn(f"{shown(path)} changed while it was backed up: its bytes may mix two states")
    result = {"snapshot": identify(snapshot, context.zone), **path_fields(path), "bytes": sent}
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


class EntryView:
    """Shows entries of one snapshot as listings have them, owners by the names of that time."""

    def __init__(self, snapshot: Snapshot, zone: tzinfo) -> None:
        self._owners, self._groups, self._zone = dict(snapshot.owners), dict(snapshot.groups), zone

    def describe(self, path: bytes, entry: Entry) -> dict[str, Any]:
        """Fields fit for JSON."""
        fields: dict[str, Any] = {
            **path_fields(path),
            "kind": Kind(entry.kind).name.lower(),
            "mode": entry.mode,
            "uid": entry.uid,
            "gid": entry.gid,
            "owner": _text(self._owners.get(entry.uid)),
            "group": _text(self._groups.get(entry.gid)),
            "size": entry.size,
            "mtime": moment_of(entry.mtime_ns, self._zone),
            "mtime_ns": entry.mtime_ns,
        }
        if entry.kind == Kind.SYMLINK and isinstance(entry.content, bytes):
            fields |= {f"target{name[4:]}": value for name, value in path_fields(entry.content).items()}
        if isinstance(entry.content, Device):
            fields |= {"major": entry.content.major, "minor": entry.content.minor}
        if entry.extra is not None and entry.extra.hard_link:
            fields["hard_link"] = entry.extra.hard_link.hex()
        if snapshot_tree.is_unfinished(entry):
            fields["unfinished"] = True
        return fields


def moment_of(time_ns: int, zone: tzinfo) -> str | None:
    """A time stamp of a file; None for one beyond the calendar."""
    try:
        return moments.rfc3339(time_ns, zone)
    except (ValueError, OverflowError):
        return None


def note_damage(context: JobContext, damaged: dict[str, str], path: bytes, error: DamageError) -> None:
    """Say that a directory can't be read, and keep it for the end."""
    damaged[shown(path)] = error.message
    context.warn(f"{shown(path)}: {error.message}")


class _Lister:
    def __init__(self, context: JobContext, snapshot: Snapshot, trees: Trees) -> None:
        self._context, self._trees = context, trees
        self._view = EntryView(snapshot, context.zone)
        self.count = 0
        self.damaged: dict[str, str] = {}

    def send(self, path: bytes, entry: Entry) -> None:
        self.count += 1
        self._context.send(events.Item(item=self._view.describe(path, entry)))

    def list_directory(self, path: bytes, entry: Entry, is_recursive: bool) -> None:
        """Depth first, without recursion: trees may be deeper than Python's stack."""
        open_directories: list[tuple[bytes, Iterator[Entry]]] = [(path, self._trees.entries(entry))]
        while open_directories:
            self._context.cancel.check()
            path, entries = open_directories[-1]
            try:
                below = next(entries, None)
            except DamageError as error:
                note_damage(self._context, self.damaged, path, error)
                below = None
            if below is None:
                open_directories.pop()
                continue
            name = snapshot_tree.join(path, below.name)
            self.send(name, below)
            if is_recursive and below.kind == Kind.DIRECTORY and is_too_deep(name):
                note_damage(self._context, self.damaged, name, FormatError(TOO_DEEP))
            elif is_recursive and below.kind == Kind.DIRECTORY:
                open_directories.append((name, self._trees.entries(below)))


def _require_file(entry: Entry, path: bytes) -> Entry:
    if entry.kind == Kind.FILE:
        return entry
    kind = Kind(entry.kind).name.lower().replace("_", " ")
    if entry.kind == Kind.SYMLINK and isinstance(entry.content, bytes):
        raise UsageError(f"{shown(path)} is a symlink to {shown(entry.content)}", hint="name the file it points to")
    raise UsageError(f"{shown(path)} is a {kind}, no file", hint="`bkctl snapshot ls` lists directories")


def _text(name: bytes | None) -> str | None:
    return name.decode(errors="backslashreplace") if name else None
