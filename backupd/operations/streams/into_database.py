"""`restore --into-database`: a stored dump goes into a database that is empty or new, by the database's own program."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import msgspec

from backupd.errors import PathNotFoundError, UsageError
from backupd.model import events
from backupd.model.orders import RestoreOrder
from backupd.model.results import shown
from backupd.model.streams import DATABASES, STREAMS_PATH, StreamOrder, StreamText
from backupd.operations import snapshot_tree
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.operations.snapshot_listing import list_for_caller, pick_from, warn_of_unread
from backupd.operations.snapshot_tree import Trees
from backupd.operations.streams.filling import Filling, filling_of
from backupd.rules import moments
from backupd.settings.directories import ensure
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry, Kind
from backupd.wire.malformed import MALFORMED


class Described(msgspec.Struct):
    """A stream as a snapshot's settings name it."""

    name: str
    kind: str = ""
    database: str = ""


class _Settings(msgspec.Struct):
    streams: list[Described] = []


def run(order: RestoreOrder, context: JobContext) -> events.Done:
    """Fill the database. Raises UsageError, PathNotFoundError, DatabaseInUseError, StreamError, DamageError."""
    name = order.into_database or ""
    context.step("open the repository")
    place = open_place(context)
    listing = list_for_caller(context, place)
    warn_of_unread(context, listing)
    snapshot = pick_from(context, listing, order.selection)
    stream = _stream(order, snapshot)
    trees = snapshot_tree.open_trees(context, place)
    path = STREAMS_PATH + b"/" + os.fsencode(stream.text.name)
    entry = snapshot_tree.require(snapshot_tree.root_entry(snapshot), path, trees)
    if entry.kind != Kind.FILE:
        raise PathNotFoundError(f"{shown(path)} is no stream in that snapshot", hint="bkctl snapshot ls shows what is")
    trees.refuse_unreadable(entry, path)
    context.step(f"look at the database {name}")
    with tempfile.TemporaryDirectory(prefix="fill-", dir=ensure(context.directories.temporary)) as folder:
        filling = filling_of(stream, name, context, folder, owner=order.owner)
        filling.refuse_full()
        if not order.dry_run:
            context.step(f"fill the database {name} from {stream.text.name}")
            filling.make()
            _fill(filling, entry, trees, context)
    return _done(order, context, snapshot, stream, entry)


def _fill(filling: Filling, entry: Entry, trees: Trees, context: JobContext) -> None:
    filling.fill(_told(snapshot_tree.read_file(entry, trees.load), entry.size, context))


def _told(pieces: Iterator[bytes], size: int, context: JobContext) -> Iterator[bytes]:
    """The pieces, with how far they have come told; they wait while the job is paused."""
    done = 0

    def progress(elapsed: float) -> events.Progress:
        return events.Progress(step="fill", bytes_done=done, bytes_total=size, elapsed_seconds=elapsed)

    for piece in pieces:
        context.cancel.check()
        context.wait_while_paused()
        done += len(piece)
        context.progress(progress)
        yield piece


def _stream(order: RestoreOrder, snapshot: Snapshot) -> StreamOrder:
    """Which stream is meant, by its path or because there is just one of a database; as the set knows it now."""
    stored = described(snapshot.settings)
    known = {one.name: one for one in stored}
    names = [_name(path) for path in order.selection.paths]
    if not names:
        names = [one.name for one in stored if one.kind in DATABASES]
    if len(names) != 1:
        raise UsageError(
            f"{snapshot.set_name} holds {len(names) or 'no'} databases" + ": a path says which is meant" * bool(names),
            hint=f"bkctl restore {snapshot.set_name} /.streams/{names[0]} --into-database DB"
            if names
            else f"bkctl snapshot ls {snapshot.set_name} shows what it holds",
            context={"candidates": sorted(names)},
        )
    found = known.get(names[0])
    if found is None:
        hint = "bkctl snapshot ls shows what it holds"
        raise PathNotFoundError(f"the snapshot holds no stream {names[0]}", hint=hint)
    if found.kind not in DATABASES:
        raise UsageError(
            f"{names[0]} is no dump of a database",
            hint=f"bkctl restore {snapshot.set_name} /.streams/{names[0]} --strip --to DIR gives it back as a file",
        )
    now = next((one for one in order.streams if one.text.name == names[0] and one.text.kind == found.kind), None)
    if now is not None:
        # What was dumped then may have been all of them, or one.
        text = msgspec.structs.replace(now.text, **{found.kind: found.database or getattr(now.text, found.kind)})
        return msgspec.structs.replace(now, text=text)
    return StreamOrder(text=msgspec.structs.replace(StreamText(name=names[0]), **{found.kind: found.database}))


def described(settings: str) -> list[Described]:
    """The streams that a snapshot's settings name; none where they say nothing that makes sense."""
    try:
        return msgspec.json.decode(settings or "{}", type=_Settings).streams
    except MALFORMED:
        return []


def _name(path: bytes) -> str:
    above, _, name = path.rpartition(b"/")
    if above != STREAMS_PATH or not name:
        hint = "they lie in /.streams: bkctl snapshot ls SET /.streams"
        raise UsageError(f"{shown(path)} is no stream", hint=hint)
    return os.fsdecode(name)


def _done(
    order: RestoreOrder, context: JobContext, snapshot: Snapshot, stream: StreamOrder, entry: Entry
) -> events.Done:
    is_done = not order.dry_run
    result: dict[str, Any] = {
        "set": snapshot.set_name,
        "host": snapshot.host_name,
        "snapshot": naming.snapshot_id_text(snapshot.id),
        "time": moments.rfc3339(snapshot.started_ns, context.zone),
        "target": order.into_database,
        "database": {"kind": stream.text.kind, "name": order.into_database, "stream": stream.text.name},
        "files": {"restored": int(is_done), "same": 0, "skipped": 0, "failed": 0, "deleted": 0},
        "bytes": {"restored": entry.size if is_done else 0, "fetched": entry.size if is_done else 0},
        "seconds": round(context.elapsed_seconds, 3),
        "problems": {"count": 0, "first": []},
        "dry_run": order.dry_run,
        "plan": [],
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)
