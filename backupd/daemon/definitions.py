"""The sets and destinations that the daemon knows: looked up by name or id, changed one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from backupd.catalog import definitions as rows
from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.clock import Clock
from backupd.daemon.definition_rules import check_destination, check_set
from backupd.errors import (
    ConflictError,
    DestinationNotFoundError,
    KeptInFileError,
    NameTakenError,
    NotFoundError,
    SetNotFoundError,
)
from backupd.model.sets import DestinationText, SetText
from backupd.rules import names

Stored = TypeVar("Stored", StoredSet, StoredDestination)


class Definitions:
    """What the catalog says of sets and destinations, in memory. All on the event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._changing = asyncio.Lock()
        self.sets: list[StoredSet] = []
        self.destinations: list[StoredDestination] = []
        self.repositories: list[StoredRepository] = []

    async def reload(self) -> None:
        """Read all from the catalog."""

        def read(
            connection: Connection,
        ) -> tuple[list[StoredSet], list[StoredDestination], list[StoredRepository]]:
            return rows.sets(connection), rows.destinations(connection), rows.repositories(connection)

        self.sets, self.destinations, self.repositories = await asyncio.wrap_future(self._database.read(read))

    # Looking up

    def set(self, word: str) -> StoredSet:
        """A set by name, id or the begin of an id. Raises SetNotFoundError, AmbiguousNameError."""
        return _pick(word, self.sets, "b", SetNotFoundError, "bkctl set list shows what there is")

    def destination(self, word: str) -> StoredDestination:
        """A destination by name, id or place. Raises DestinationNotFoundError, AmbiguousNameError."""
        by_place = [one for one in self.destinations if "/" in word and one.text.place == word.rstrip("/")]
        if by_place:
            return by_place[0]
        hint = "bkctl destination list shows what there is"
        return _pick(word, self.destinations, "d", DestinationNotFoundError, hint)

    def set_by_id(self, set_id: str) -> StoredSet:
        """A set by its whole id. Raises SetNotFoundError: it was removed meanwhile."""
        for stored in self.sets:
            if stored.id == set_id:
                return stored
        raise SetNotFoundError("the set was removed meanwhile")

    def repository(self, set_id: str, destination_id: str) -> StoredRepository | None:
        """Where a set is stored at a destination, None before its first run there."""
        found = (r for r in self.repositories if (r.set_id, r.destination_id) == (set_id, destination_id))
        return next(found, None)

    def users_of(self, destination: StoredDestination) -> list[StoredSet]:
        """The sets that are stored there."""
        return [stored for stored in self.sets if destination.text.name in stored.text.to]

    # Changing

    async def add_destination(self, text: DestinationText, file: str | None = None) -> StoredDestination:
        """Make a destination. Raises NameTakenError, ConfigError, StateFullError."""
        async with self._changing:
            text = check_destination(text)
            _refuse_taken(text.name, self.destinations)
            twin = next((d for d in self.destinations if d.text.place == text.place), None)
            if twin is not None:
                raise ConflictError(f"{text.place} is destination {twin.text.name} already", hint="use that one")
            made = StoredDestination(id=rows.new_id("d"), text=text, file=file, created_ns=self._clock.now_ns())
            await self._write(rows.put_destination, made)
            return made

    async def add_set(self, text: SetText, file: str | None = None) -> StoredSet:
        """Make a set. Raises NameTakenError, DestinationNotFoundError, ConfigError, StateFullError."""
        async with self._changing:
            text = check_set(text, {d.text.name: d.text for d in self.destinations})
            _refuse_taken(text.name, self.sets)
            made = StoredSet(id=rows.new_id("b"), text=text, file=file, created_ns=self._clock.now_ns())
            await self._write(rows.put_set, made)
            return made

    async def change_set(self, stored: StoredSet, text: SetText, file: str | None = None) -> dict[str, Any]:
        """Give a set a new text; the difference, empty when nothing changes. Raises as `add_set`, KeptInFileError.

        file: of conf.d, where the text comes from it.
        """
        async with self._changing:
            _refuse_kept(stored, file)
            text = check_set(text, {d.text.name: d.text for d in self.destinations})
            _refuse_taken(text.name, [one for one in self.sets if one.id != stored.id])
            difference = diff(stored.text, text)
            if difference or file != stored.file:
                await self._write(rows.put_set, msgspec.structs.replace(stored, text=text, file=file))
            return difference

    async def change_destination(
        self, stored: StoredDestination, text: DestinationText, file: str | None = None
    ) -> dict[str, Any]:
        """Give a destination a new text; the sets that use it follow a new name. As `change_set`."""
        async with self._changing:
            _refuse_kept(stored, file)
            text = check_destination(text)
            _refuse_taken(text.name, [one for one in self.destinations if one.id != stored.id])
            difference = diff(stored.text, text)
            old = stored.text.name

            def write(connection: Connection) -> None:
                rows.put_destination(connection, msgspec.structs.replace(stored, text=text, file=file))
                for user in self.users_of(stored) if old != text.name else []:
                    to = [text.name if name == old else name for name in user.text.to]
                    rows.put_set(
                        connection, msgspec.structs.replace(user, text=msgspec.structs.replace(user.text, to=to))
                    )

            if difference or file != stored.file:
                await self._write(write)
            return difference

    async def remove_set(self, stored: StoredSet) -> None:
        """Forget a set; what it stored stays. Raises KeptInFileError."""
        async with self._changing:
            _refuse_kept(stored, None)
            await self._write(rows.remove_set, stored.id)

    async def remove_destination(self, stored: StoredDestination) -> None:
        """Forget a destination; what is stored there stays. Raises KeptInFileError, ConflictError: it is in use."""
        async with self._changing:
            _refuse_kept(stored, None)
            users = self.users_of(stored)
            if users:
                raise ConflictError(
                    f"{stored.text.name} is used by {', '.join(one.text.name for one in users)}",
                    hint=f"take it from them first: bkctl set edit {users[0].text.name} --remove-to {stored.text.name}",
                )
            await self._write(rows.remove_destination, stored.id)

    async def _write(self, work: Callable[..., None], *args: object) -> None:
        await asyncio.wrap_future(self._database.write(work, *args))
        await self.reload()


def diff(old: msgspec.Struct, new: msgspec.Struct) -> dict[str, Any]:
    """The fields that differ: name -> {from, to}."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in new.__struct_fields__
        if before.get(name) != after.get(name)
    }


def _pick(word: str, stored: Sequence[Stored], letter: str, missing: type[NotFoundError], hint: str) -> Stored:
    for one in stored:
        if one.text.name == word:
            return one
    if names.is_id(word, letter):
        identity = names.match_prefix(word, [one.id for one in stored], missing)
        return next(one for one in stored if one.id == identity)
    what = "set" if letter == "b" else "destination"
    raise missing(f"no {what} is called '{word}'", hint=hint, context={"candidates": [s.text.name for s in stored]})


def _refuse_taken(name: str, others: Sequence[StoredSet | StoredDestination]) -> None:
    if any(one.text.name.casefold() == name.casefold() for one in others):
        raise NameTakenError(f"the name {name} is taken", hint="choose another one")


def _refuse_kept(stored: StoredSet | StoredDestination, file: str | None) -> None:
    if stored.file is not None and file is None:
        raise KeptInFileError(
            f"{stored.text.name} stands in {stored.file}",
            hint="change it there, then: bkctl config reload",
            context={"file": stored.file},
        )
