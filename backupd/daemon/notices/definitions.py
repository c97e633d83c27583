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
from backupd.daemon.definitions import Definitions
from backupd.errors import NameTakenError, NotFoundError
from backupd.model.notices import ContactText, NoticeText
from backupd.rules import names
from backupd.rules.definition_rules import difference
from backupd.rules.notice_rules import check_contact, check_notice, notice_difference, unmasked
from backupd.store_errors import ContactNotFoundError, NoticeNotFoundError

Noticed = TypeVar("Noticed", StoredNotice, StoredContact)
Write = Callable[[Connection], None]


class NoticeDefinitions:
    """Beside the sets and destinations, and changed under the same lock."""

    def __init__(self, known: Definitions, clock: Clock) -> None:
        self._known, self._clock = known, clock

    def notice(self, word: str) -> StoredNotice:
        """By name, id or the begin of one. Raises NoticeNotFoundError, AmbiguousNameError."""
        return _pick(word, self._known.notices, "n", NoticeNotFoundError)

    def contact(self, word: str) -> StoredContact:
        """By name, id or the begin of one. Raises ContactNotFoundError, AmbiguousNameError."""
        return _pick(word, self._known.contacts, "c", ContactNotFoundError)

    @property
    def in_force(self) -> list[ContactText]:
        """Contacts that get mail: all but those of a file that names them no longer."""
        return [one.text for one in self._known.contacts if one.id not in self._known.left]

    async def add_notice(self, text: NoticeText, *, dry_run: bool) -> StoredNotice:
        """Make a notice. Raises NameTakenError, ConfigError, SetNotFoundError, StateFullError."""
        made: list[StoredNotice] = []

        def work() -> Write | None:
            checked = check_notice(unmasked(text, None), self._sets)
            _refuse_taken(checked.name, self._known.notices)
            identity = "n" + "0" * 32 if dry_run else rows.new_id("n")
            stored = StoredNotice(id=identity, text=checked, file=None, created_ns=self._clock.now_ns())
            made.append(stored)
            return None if dry_run else lambda connection: rows.put_notice(connection, stored)

        await self._known.change_noticed(work)
        return made[0]

    async def change_notice(
        self, stored: StoredNotice, text: NoticeText, *, dry_run: bool
    ) -> tuple[StoredNotice, dict[str, Any]]:
        """Give a notice a new text; it, and the difference. Raises as `add_notice`, KeptInFileError."""
        made: list[tuple[StoredNotice, dict[str, Any]]] = []

        def work() -> Write | None:
            self._known.refuse_kept(stored)
            checked = check_notice(unmasked(text, stored.text), self._sets)
            _refuse_taken(checked.name, [one for one in self._known.notices if one.id != stored.id])
            new = msgspec.structs.replace(stored, text=checked, file=None)
            changes = notice_difference(stored.text, checked)
            made.append((new, changes))
            return (lambda connection: rows.put_notice(connection, new)) if changes and not dry_run else None

        await self._known.change_noticed(work)
        return made[0]

    async def remove_notice(self, stored: StoredNotice) -> None:
        """Forget a notice and what waits to be sent for it. Raises KeptInFileError, StateFullError."""

        def write(connection: Connection) -> None:
            rows.remove_noticed(connection, stored.id)
            outbox.drop_of_notice(connection, stored.id, self._clock.now_ns())

        def work() -> Write:
            self._known.refuse_kept(stored)
            return write

        await self._known.change_noticed(work)

    async def add_contact(self, text: ContactText, *, dry_run: bool) -> StoredContact:
        """Make a contact. Raises NameTakenError, ConfigError, StateFullError."""
        made: list[StoredContact] = []

        def work() -> Write | None:
            checked = check_contact(text)
            _refuse_taken(checked.name, self._known.contacts)
            identity = "c" + "0" * 32 if dry_run else rows.new_id("c")
            stored = StoredContact(id=identity, text=checked, file=None, created_ns=self._clock.now_ns())
            made.append(stored)
            return None if dry_run else lambda connection: rows.put_contact(connection, stored)

        await self._known.change_noticed(work)
        return made[0]

    async def change_contact(
        self, stored: StoredContact, text: ContactText, *, dry_run: bool
    ) -> tuple[StoredContact, dict[str, Any]]:
        """Give a contact a new text; it, and the difference. Raises as `add_contact`, KeptInFileError."""
        made: list[tuple[StoredContact, dict[str, Any]]] = []

        def work() -> Write | None:
            self._known.refuse_kept(stored)
            checked = check_contact(text)
            _refuse_taken(checked.name, [one for one in self._known.contacts if one.id != stored.id])
            new, changes = msgspec.structs.replace(stored, text=checked, file=None), difference(stored.text, checked)
            made.append((new, changes))
            return (lambda connection: rows.put_contact(connection, new)) if changes and not dry_run else None

        await self._known.change_noticed(work)
        return made[0]

    async def remove_contact(self, stored: StoredContact) -> None:
        """Forget a contact. Raises KeptInFileError, StateFullError."""

        def work() -> Write:
            self._known.refuse_kept(stored)
            return lambda connection: rows.remove_noticed(connection, stored.id)

        await self._known.change_noticed(work)

    @property
    def _sets(self) -> list[str]:
        return [one.text.name for one in self._known.sets]


def _pick(word: str, stored: Sequence[Noticed], letter: str, missing: type[NotFoundError]) -> Noticed:
    for one in stored:
        if one.text.name == word:
            return one
    if names.is_id(word, letter):
        identity = names.match_prefix(word, [one.id for one in stored], missing)
        return next(one for one in stored if one.id == identity)
    what = "notice" if letter == "n" else "contact"
    raise missing(
        f"no {what} is called '{word}'",
        hint=f"bkctl {what} list shows what there is",
        context={"candidates": [one.text.name for one in stored]},
    )


def _refuse_taken(name: str, others: Sequence[StoredNotice | StoredContact]) -> None:
    if any(one.text.name.casefold() == name.casefold() for one in others):
        raise NameTakenError(f"the name {name} is taken", hint="choose another one")
