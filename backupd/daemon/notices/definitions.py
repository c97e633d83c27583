"""Notices and contacts: looked up, made, changed, removed; all on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from backupd.catalog import definitions as rows
from backupd.catalog import outbox
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredContact, StoredNotice
from backupd.clock import Clock
from backupd.daemon.definitions import Definitions, Write
from backupd.daemon.naming import new_id, pick, refuse_taken
from backupd.model.notices import ContactText, NoticeText
from backupd.notice_errors import ContactNotFoundError, NoticeNotFoundError
from backupd.rules.definition_rules import difference
from backupd.rules.notice_rules import all_recipients, check_contact, check_notice, notice_difference, unmasked

Noticed = TypeVar("Noticed", StoredNotice, StoredContact)


class NoticeDefinitions:
    """Beside the sets and destinations, and changed under the same lock."""

    def __init__(self, database: Database, known: Definitions, clock: Clock) -> None:
        self._database, self._known, self._clock = database, known, clock

    def notice(self, word: str) -> StoredNotice:
        """By name, id or the begin of one. Raises NoticeNotFoundError, AmbiguousNameError."""
        return pick(word, self._known.notices, "n", NoticeNotFoundError)

    def contact(self, word: str) -> StoredContact:
        """By name, id or the begin of one. Raises ContactNotFoundError, AmbiguousNameError."""
        return pick(word, self._known.contacts, "c", ContactNotFoundError)

    @property
    def in_force(self) -> list[ContactText]:
        """Contacts that get mail: all but those of a file that names them no longer."""
        return [one.text for one in self._known.contacts if one.id not in self._known.left]

    @property
    def recipients(self) -> set[str]:
        """To whom anything goes now."""
        return all_recipients([(one.id, one.text) for one in self._known.notices], self.in_force)

    async def add_notice(self, text: NoticeText, *, dry_run: bool) -> StoredNotice:
        """Make a notice. Raises NameTakenError, ConfigError, SetNotFoundError, StateFullError."""

        def make() -> StoredNotice:
            checked = check_notice(unmasked(text, None), self._sets)
            identity, now_ns = new_id("n", is_dry=dry_run), self._clock.now_ns()
            return StoredNotice(id=identity, text=checked, file=None, created_ns=now_ns)

        return await self._add(make, is_dry=dry_run)

    async def change_notice(
        self, stored: StoredNotice, text: NoticeText, *, dry_run: bool
    ) -> tuple[StoredNotice, dict[str, Any]]:
        """Give a notice a new text; it, and the difference. Raises as `add_notice`, KeptInFileError."""

        def make() -> StoredNotice:
            checked = check_notice(unmasked(text, stored.text), self._sets)
            return msgspec.structs.replace(stored, text=checked, file=None)

        return await self._change(stored, make, is_dry=dry_run)

    async def remove_notice(self, stored: StoredNotice) -> None:
        """Forget a notice and what waits to be sent for it. Raises KeptInFileError, StateFullError."""
        await self._remove(stored)

    async def add_contact(self, text: ContactText, *, dry_run: bool) -> StoredContact:
        """Make a contact. Raises NameTakenError, ConfigError, StateFullError."""

        def make() -> StoredContact:
            identity, now_ns = new_id("c", is_dry=dry_run), self._clock.now_ns()
            return StoredContact(id=identity, text=check_contact(text), file=None, created_ns=now_ns)

        return await self._add(make, is_dry=dry_run)

    async def change_contact(
        self, stored: StoredContact, text: ContactText, *, dry_run: bool
    ) -> tuple[StoredContact, dict[str, Any]]:
        """Give a contact a new text; it, and the difference. Raises as `add_contact`, KeptInFileError."""

        def make() -> StoredContact:
            return msgspec.structs.replace(stored, text=check_contact(text), file=None)

        return await self._change(stored, make, is_dry=dry_run)

    async def remove_contact(self, stored: StoredContact) -> None:
        """Forget a contact. Raises KeptInFileError, StateFullError."""
        await self._remove(stored)

    @property
    def _sets(self) -> list[str]:
        return [one.text.name for one in self._known.sets]

    def _like(self, one: StoredNotice | StoredContact) -> Sequence[StoredNotice | StoredContact]:
        """All of its kind as they are now: under the lock."""
        return self._known.notices if isinstance(one, StoredNotice) else self._known.contacts

    async def _add(self, make: Callable[[], Noticed], *, is_dry: bool) -> Noticed:
        def work() -> tuple[Noticed, Write | None]:
            made = make()
            refuse_taken(made.text.name, self._like(made))
            return made, None if is_dry else _write(made)

        return await self._known.change_noticed(work)

    async def _change(
        self, stored: Noticed, make: Callable[[], Noticed], *, is_dry: bool
    ) -> tuple[Noticed, dict[str, Any]]:
        def work() -> tuple[tuple[Noticed, dict[str, Any]], Write | None]:
            self._known.refuse_kept(stored)
            made = make()
            refuse_taken(made.text.name, [one for one in self._like(stored) if one.id != stored.id])
            old: Any = stored.text
            new: Any = made.text
            changes = notice_difference(old, new) if isinstance(new, NoticeText) else difference(old, new)
            return (made, changes), _write(made) if changes and not is_dry else None

        found = await self._known.change_noticed(work)
        if found[1] and not is_dry:
            await self._withdraw()
        return found

    async def _remove(self, stored: StoredNotice | StoredContact) -> None:
        def work() -> tuple[None, Write]:
            self._known.refuse_kept(stored)
            return None, lambda connection: rows.remove_noticed(connection, stored.id)

        await self._known.change_noticed(work)
        await self._withdraw()

    async def _withdraw(self) -> None:
        """What waits for whom no notice names any more; were it left, it would still be found when it is due."""
        await asyncio.wrap_future(self._database.write(outbox.withdraw_others, self.recipients, self._clock.now_ns()))


def _write(made: StoredNotice | StoredContact) -> Write:
    if isinstance(made, StoredNotice):
        return lambda connection: rows.put_notice(connection, made)
    return lambda connection: rows.put_contact(connection, made)
