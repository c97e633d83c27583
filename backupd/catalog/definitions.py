"""Sets, destinations, and which repository of a destination is a set's; as functions of a connection."""

from __future__ import annotations

import os

import msgspec

from backupd.catalog.database import Connection
from backupd.model.notices import ContactText, NoticeText
from backupd.model.sets import DestinationText, SetText


class StoredDestination(msgspec.Struct, frozen=True, kw_only=True):
    """A destination as the catalog holds it."""

    id: str
    """`d` and 32 hex digits."""
    text: DestinationText
    file: str | None
    """The file of conf.d that it comes from; None: made by command."""
    created_ns: int


class StoredSet(msgspec.Struct, frozen=True, kw_only=True):
    """A backup set as the catalog holds it."""

    id: str
    """`b` and 32 hex digits; never changes, whatever the set is called."""
    text: SetText
    file: str | None
    created_ns: int


class StoredNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as the catalog holds it."""

    id: str
    """`n` and 32 hex digits."""
    text: NoticeText
    file: str | None
    created_ns: int


class StoredContact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as the catalog holds it."""

    id: str
    """`c` and 32 hex digits."""
    text: ContactText
    file: str | None
    created_ns: int


StoredDefinition = StoredDestination | StoredSet | StoredNotice | StoredContact


class StoredRepository(msgspec.Struct, frozen=True, kw_only=True):
    """Where a set is stored at one destination."""

    set_id: str
    destination_id: str
    repository: str
    stored_set_id: str
    """The set's id in its snapshots; another one where it was adopted."""


def new_id(letter: str) -> str:
    """A new id of that kind."""
    return letter + os.urandom(16).hex()


def destinations(connection: Connection) -> list[StoredDestination]:
    """All, by name."""
    rows = connection.execute("SELECT id, text, file, created_ns FROM destinations ORDER BY name")
    return [
        StoredDestination(id=i, text=msgspec.json.decode(t, type=DestinationText), file=f, created_ns=c)
        for i, t, f, c in rows
    ]


def sets(connection: Connection) -> list[StoredSet]:
    """All, by name."""
    rows = connection.execute("SELECT id, text, file, created_ns FROM sets ORDER BY name")
    return [
        StoredSet(id=i, text=msgspec.json.decode(t, type=SetText), file=f, created_ns=c) for i, t, f, c in rows
    ]


def notices(connection: Connection) -> list[StoredNotice]:
    """All, by name."""
    rows = connection.execute("SELECT id, text, file, created_ns FROM notices ORDER BY name")
    return [
        StoredNotice(id=i, text=msgspec.json.decode(t, type=NoticeText), file=f, created_ns=c) for i, t, f, c in rows
    ]


def contacts(connection: Connection) -> list[StoredContact]:
    """All, by name."""
    rows = connection.execute("SELECT id, text, file, created_ns FROM contacts ORDER BY name")
    return [
        StoredContact(id=i, text=msgspec.json.decode(t, type=ContactText), file=f, created_ns=c) for i, t, f, c in rows
    ]


def repositories(connection: Connection) -> list[StoredRepository]:
    """All pairs of set and destination that were ever written."""
    rows = connection.execute("SELECT set_id, destination_id, repository, stored_set_id FROM repositories")
    return [StoredRepository(set_id=s, destination_id=d, repository=r, stored_set_id=o) for s, d, r, o in rows]


def put_destination(connection: Connection, stored: StoredDestination) -> None:
    """Make or replace a destination, by id."""
    _put(connection, "destinations", stored.id, stored.text.name, stored)


def put_set(connection: Connection, stored: StoredSet) -> None:
    """Make or replace a set, by id."""
    _put(connection, "sets", stored.id, stored.text.name, stored)


def put_notice(connection: Connection, stored: StoredNotice) -> None:
    """Make or replace a notice, by id."""
    _put(connection, "notices", stored.id, stored.text.name, stored)


def put_contact(connection: Connection, stored: StoredContact) -> None:
    """Make or replace a contact, by id."""
    _put(connection, "contacts", stored.id, stored.text.name, stored)


def remove_noticed(connection: Connection, identity: str) -> None:
    """Forget a notice or a contact."""
    connection.execute("DELETE FROM notices WHERE id = ?", (identity,))
    connection.execute("DELETE FROM contacts WHERE id = ?", (identity,))


def put_repository(connection: Connection, stored: StoredRepository) -> None:
    """Remember where a set is stored."""
    connection.execute(
        "INSERT OR REPLACE INTO repositories (set_id, destination_id, repository, stored_set_id) VALUES (?, ?, ?, ?)",
        (stored.set_id, stored.destination_id, stored.repository, stored.stored_set_id),
    )


def remove_repository(connection: Connection, destination_id: str, repository: str) -> None:
    """Forget that sets are stored there: it was deleted."""
    connection.execute(
        "DELETE FROM repositories WHERE destination_id = ? AND repository = ?", (destination_id, repository)
    )


def remove_destination(connection: Connection, destination_id: str) -> None:
    """Forget a destination; what is stored there stays."""
    connection.execute("DELETE FROM destinations WHERE id = ?", (destination_id,))
    connection.execute("DELETE FROM repositories WHERE destination_id = ?", (destination_id,))


def remove_set(connection: Connection, set_id: str) -> None:
    """Forget a set; what it stored stays, and so do the jobs that it had."""
    connection.execute("DELETE FROM sets WHERE id = ?", (set_id,))
    connection.execute("DELETE FROM repositories WHERE set_id = ?", (set_id,))


def _put(connection: Connection, table: str, identity: str, name: str, stored: StoredDefinition) -> None:
    connection.execute(
        f"INSERT INTO {table} (id, name, text, file, created_ns) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, text = excluded.text, file = excluded.file",
        (identity, name, msgspec.json.encode(stored.text).decode(), stored.file, stored.created_ns),
    )
