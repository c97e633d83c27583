"""Notices and contacts: looked up, made, changed, removed; all on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from backupd.catalog import definitions as rows
from backupd.catalog import outbox
from backupd.catalog.database import Connection
from backupd.catalog.definitions import StoredContact, StoredNotice
from backupd.clock import Clock
from backupd.daemon.definitions import Definitions, Write, new_id, pick, refuse_taken
from backupd.model.notices import ContactText, NoticeText
from backupd.rules.definition_rules import difference
from backupd.rules.notice_rules import check_contact, check_notice, notice_difference, unmasked
from backupd.store_errors import ContactNotFoundError, NoticeNotFoundError

Noticed = TypeVar("Noticed", StoredNotice, StoredContact)


class NoticeDefinitions:
    """Beside the sets and destinations, and changed under the same lock."""

    def __init__(self, known: Definitions, clock: Clock) -> None:
        self._known, self._clock = known, clock

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
            return made, None if is_dry else self._writing(made)

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
            return (made, changes), self._writing(made) if changes and not is_dry else None

        return await self._known.change_noticed(work)

    async def _remove(self, stored: StoredNotice | StoredContact) -> None:
        def write(connection: Connection) -> None:
            rows.remove_noticed(connection, stored.id)
            outbox.drop_of_notice(connection, stored.id, self._clock.now_ns())

        def work() -> tuple[None, Write]:
            self._known.refuse_kept(stored)
            return None, write

        await self._known.change_noticed(work)

    def _writing(self, made: StoredNotice | StoredContact) -> Write:
        def write(connection: Connection) -> None:
            if isinstance(made, StoredNotice):
                rows.put_notice(connection, made)
            else:
                rows.put_contact(connection, made)

        return write
