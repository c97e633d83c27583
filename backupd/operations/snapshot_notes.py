"""`snapshot pin`, `unpin` and `tag`: what is said of a snapshot after it was made, kept beside it at that place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backupd.errors import UsageError
from backupd.model import events
from backupd.model.orders import SnapshotNoteOrder
from backupd.operations.context import JobContext
from backupd.operations.places import open_place, writing
from backupd.operations.snapshot_listing import pick_snapshot
from backupd.operations.snapshots import identify
from backupd.repository import reserve
from backupd.repository.notes import read_notes, write_note
from backupd.snapshot.notes import NOTHING, PIN, TAG, UNPIN, UNTAG, Noted
from backupd.snapshot.records import Note, Snapshot

_MOST_CHARACTERS = 1000


def run(order: SnapshotNoteOrder, context: JobContext) -> events.Done:
    """Note it where it is not so already. Raises SnapshotNotFoundError, DamageError, DestinationError."""
    _refuse_nonsense(order)
    place = open_place(context)
    snapshot = pick_snapshot(context, place, order.selection)
    if order.verb == "pin" and not snapshot.is_complete:
        raise UsageError("an incomplete snapshot can't be pinned", hint="it goes when a run of the set is complete")
    with writing(context, place) as opened:
        before = read_notes(opened.records).get(snapshot.id, NOTHING)
        words = list(_words(order, before, snapshot))
        # After all that was noted before, whatever the clocks of those who noted it said.
        written_ns = max(context.clock.now_ns(), before.newest_ns + 1)
        for kind, text in words:
            note = Note(written_ns, bytes.fromhex(context.host.host_id), snapshot.id, kind, text)
            reserve.with_room(opened.records.place, lambda note=note: write_note(opened.records, note))  # type: ignore[misc]
        after = read_notes(opened.records).get(snapshot.id, NOTHING)
    result = {
        "changed": bool(words),
        "diff": _difference(_shown(before, snapshot), _shown(after, snapshot)),
        "dry_run": False,
        "snapshot": identify(snapshot, context.zone),
        "repository": place.repository.text_id,
        "place": place.address,
        "pinned": after.is_pinned,
        "reason": after.reason,
        "tags": after.tags_over(snapshot.tags),
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _refuse_nonsense(order: SnapshotNoteOrder) -> None:
    texts = [order.reason, *order.tags, *order.tags.values(), *order.untag]
    if any(len(text) > _MOST_CHARACTERS or not text.isprintable() for text in texts):
        raise UsageError("what is noted is a short line of text", hint=f"{_MOST_CHARACTERS} characters at most")
    if order.verb == "tag" and not order.tags and not order.untag:
        raise UsageError("which tag?", hint="bkctl snapshot tag ID KEY=VALUE, or --remove KEY")
    if any(not key or "=" in key for key in [*order.tags, *order.untag]):
        raise UsageError("a tag's key is a word without '='", hint="write KEY=VALUE")


def _words(order: SnapshotNoteOrder, before: Noted, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Kind and text of the notes that are lacking."""
    if order.verb == "pin" and not (before.is_pinned and order.reason in ("", before.reason)):
        yield PIN, order.reason
    if order.verb == "unpin" and before.is_pinned:
        yield UNPIN, ""
    if order.verb == "tag":
        tags = before.tags_over(snapshot.tags)
        yield from ((TAG, f"{key}={value}") for key, value in order.tags.items() if tags.get(key) != value)
        yield from ((UNTAG, key) for key in order.untag if key in tags and key not in order.tags)


def _shown(noted: Noted, snapshot: Snapshot) -> dict[str, Any]:
    return {"pinned": noted.is_pinned, "reason": noted.reason, "tags": noted.tags_over(snapshot.tags)}


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"from": before[name], "to": after[name]} for name in before if before[name] != after[name]
    }
