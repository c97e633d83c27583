"""Pins and tags at one destination: read, and written; nothing that was noted is ever changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from backupd.errors import DamageError, KeyMissingError, NewerVersionError, ObjectMissingError
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.snapshot.notes import NOTHING, PIN, TAG, UNPIN, UNTAG, Noted, noted
from backupd.snapshot.records import Note, Snapshot


def read_notes(records: Records) -> dict[bytes, Noted]:
    """By snapshot id what is noted at the place.

    Raises DamageError, NewerVersionError, KeyMissingError where one can't be read: it may be a pin of any snapshot.
    """
    return noted(records.get(ObjectKind.NOTE, name, Note) for name in _names(records))


def readable_notes(records: Records) -> tuple[dict[bytes, Noted], list[str]]:
    """The same of those that can be read, to be shown; and the message of each that can't."""
    found: list[Note] = []
    unread: list[str] = []
    for name in _names(records):
        try:
            found.append(records.get(ObjectKind.NOTE, name, Note))
        except (DamageError, ObjectMissingError, NewerVersionError, KeyMissingError) as error:
            unread.append(error.message)
    return noted(found), unread


def write_note(records: Records, note: Note) -> None:
    """Add a note."""
    records.put(ObjectKind.NOTE, f"notes/{os.urandom(16).hex()}", note)


def carry_notes(
    records: Records, notes: Mapping[bytes, Noted], old: Snapshot, new: Snapshot, was: Noted, who: tuple[int, bytes]
) -> None:
    """What was noted of a snapshot since another one was made that stands in for it is noted of that one, too.

    notes: as they are now. was: what was noted of the old one before. who: (the time, the host's id). In doubt what
    keeps more counts; of two words on one tag that of the snapshot of which something was noted last.
    """
    now_ns, host_id = who
    of_old, of_new = notes.get(old.id, NOTHING), notes.get(new.id, NOTHING)
    lacking: list[tuple[str, str]] = []
    if of_old.is_pinned and not of_new.is_pinned:
        lacking.append((PIN, of_old.reason))
    elif was.is_pinned and not of_old.is_pinned and of_new.is_pinned and of_new.reason == was.reason:
        lacking.append((UNPIN, ""))
    had, has = of_old.tags_over(old.tags), of_new.tags_over(new.tags)
    for key in sorted(had.keys() | has.keys()):
        is_settled = key in of_new.tags and of_new.newest_ns >= of_old.newest_ns
        if had.get(key) == has.get(key) or is_settled:
            continue
        if key in had:
            lacking.append((TAG, f"{key}={had[key]}"))
        elif key in of_old.tags:
            lacking.append((UNTAG, key))
    for kind, text in lacking:
        write_note(records, Note(max(now_ns, of_new.newest_ns + 1), host_id, new.id, kind, text))


def note_names(records: Records) -> list[str]:
    """Names of all notes, sorted: others where something was noted meanwhile."""
    return sorted(_names(records))


def _names(records: Records) -> Iterator[str]:
    return (info.name for info in records.place.list("notes/"))
