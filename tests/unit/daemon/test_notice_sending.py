"""What waits to be sent while notices and contacts change: nobody gets what is not for him, or in the clear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC
from pathlib import Path

import pytest

from backupd.catalog import definitions as rows
from backupd.catalog import outbox
from backupd.catalog.database import Connection, Database
from backupd.clock import SystemClock
from backupd.daemon.definitions import Definitions
from backupd.daemon.notices import content, noting
from backupd.daemon.notices.definitions import NoticeDefinitions
from backupd.daemon.notices.sending import Sending
from backupd.model.notices import ContactText, NoticeText

PLACE = content.Place(host="host", zone=UTC)
ANNA = ContactText(name="anna", email="anna@example.org", certificate="/anna.pem")
NOW_NS = 10**18


class Office:
    """Notices and contacts of a catalog, and the outbox; no mail server is set."""

    def __init__(self, database: Database) -> None:
        self._database, clock = database, SystemClock()
        self.known = Definitions(database, clock)
        self.definitions = NoticeDefinitions(database, self.known, clock)
        self._sending = Sending(database, self.known, self.definitions, clock, {})

    async def add(self, *texts: NoticeText | ContactText) -> None:
        await self.known.reload()
        for text in texts:
            if isinstance(text, NoticeText):
                await self.definitions.add_notice(text, dry_run=False)
            else:
                await self.definitions.add_contact(text, dry_run=False)

    async def fail(self) -> None:
        """Something is noted for all."""
        told = noting.Told(self.known.notices, self.definitions.in_force, PLACE)
        noted = list(told.noted(content.of_test("x", "e", PLACE, NOW_NS), "failure", None))
        await asyncio.wrap_future(self._database.write(outbox.put, noted, NOW_NS))

    async def forget_by_file(self, identity: str) -> None:
        """As a reload of conf.d does, which writes no row of the outbox."""
        await asyncio.wrap_future(self._database.write(rows.remove_noticed, identity))
        await self.known.reload()

    async def send(self) -> list[tuple[str, str]]:
        """State and detail of each row, once what is due was tried."""
        await self._sending.look()
        await self._sending.turn()
        await self._sending.stop()

        def read(connection: Connection) -> list[tuple[str, str]]:
            return connection.execute("SELECT state, detail FROM outbox ORDER BY id").fetchall()

        return await asyncio.wrap_future(self._database.read(read))


def sent(tmp_path: Path, change: Callable[[Office], Awaitable[None]], *texts: NoticeText | ContactText) -> str:
    """What became of the one notice that waited while a change was made."""

    async def run() -> str:
        database = Database(str(tmp_path))
        try:
            office = Office(database)
            await office.add(*texts)
            await office.fail()
            await change(office)
            ((state, detail),) = await office.send()
        finally:
            database.close()
        return f"{state}: {detail}"

    return asyncio.run(run())


async def remove_contact(office: Office) -> None:
    await office.definitions.remove_contact(office.definitions.contact("anna"))


async def drop_contact(office: Office) -> None:
    await office.forget_by_file(office.definitions.contact("anna").id)


@pytest.mark.parametrize("change", [remove_contact, drop_contact])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mailto:", outbox.NOT_NAMED),
        ("mailto:anna@example.org", "it was to be encrypted for a contact that is gone"),
    ],
)
def test_mail_to_a_contact_that_is_gone_is_not_sent_in_the_clear(
    tmp_path: Path, change: Callable[[Office], Awaitable[None]], url: str, why: str
) -> None:
    """It was noted while there was a certificate; whoever reads that mailbox was to see nothing."""
    assert sent(tmp_path, change, ANNA, NoticeText(name="a", url=url)) == f"withdrawn: {why}"


def test_what_another_notice_names_too_is_still_sent(tmp_path: Path) -> None:
    """Both name anna, who is told once; the one that noted it is removed."""

    async def remove(office: Office) -> None:
        await office.definitions.remove_notice(office.definitions.notice("a"))

    both = [NoticeText(name=name, url="mailto:anna@example.org") for name in "ab"]
    assert sent(tmp_path, remove, *both) == "waiting: no mail server is set"


def test_what_was_for_an_address_that_is_changed_is_over(tmp_path: Path) -> None:
    """Else it fails for three days."""

    async def edit(office: Office) -> None:
        text = NoticeText(name="a", url="mailto:anna@example.org")
        await office.definitions.change_notice(office.definitions.notice("a"), text, dry_run=False)

    hook = NoticeText(name="a", url="https://example.org/in")
    assert sent(tmp_path, edit, hook) == f"withdrawn: {outbox.NOT_NAMED}"
