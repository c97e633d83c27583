"""Pins and tags at one destination: read, and written; nothing that was noted is ever changed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from backupd.errors import DamageError, KeyMissingError, NewerVersionError, ObjectMissingError
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.snapshot.notes import Noted, noted
from backupd.snapshot.records import Note


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


def note_names(records: Records) -> list[str]:
    """Names of all notes, sorted: others where something was noted meanwhile."""
    return sorted(_names(records))


def _names(records: Records) -> Iterator[str]:
    return (info.name for info in records.place.list("notes/"))
