"""From the outbox to the processes that send, and what they say back into it.

A row is `sending` before its process begins, and `sent` as soon as that says so: killed between the two, the next
daemon sends it once more, a mail with the same Message-ID. Nothing else of the daemon waits for any of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from backupd.catalog import outbox
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredNotice
from backupd.catalog.outbox import OutboxRow
from backupd.clock import Clock
from backupd.daemon.child import ChildJob
from backupd.daemon.definitions import Definitions
from backupd.daemon.notices.definitions import NoticeDefinitions
from backupd.daemon.notices.orders import letter, letter_of, mail_order, order_to, silent_seconds
from backupd.errors import BackupError
from backupd.model.any_order import AnyOrder
from backupd.model.events import Failed, Item
from backupd.model.notice_orders import Letter
from backupd.model.notices import MAIL, ContactText, NoticeContent
from backupd.rules.notice_rules import contacts_at, keeps_order, pause_seconds, shown
from backupd.settings.mail import MailSettings
from backupd.sizes import count
from backupd.wire.malformed import MALFORMED

_MAIL = "mail"
_MOST_PROCESSES = 4
_LINE_PAUSE_SECONDS = 60.0
"""A server that is down is left alone so long, whatever else is due there."""
_SECOND_NS = 10**9
_FOREIGN_NS = 2 * 3600 * _SECOND_NS
"""No pause is so long: what is due later was noted by a clock that ran ahead."""
_GIVEN_UP_NS, _GIVEN_UP_ATTEMPTS = 3 * 86400 * _SECOND_NS, 12
_TROUBLE_NS = 7 * 86400 * _SECOND_NS
_MOST_DETAIL = 300
_FOREIGN = "another version of backupd wrote it"
_GRACE_SECONDS = 5.0

_log = logging.getLogger("backupd.notices")


class Sending:
    """All on the event loop."""

    def __init__(
        self,
        database: Database,
        known: Definitions,
        definitions: NoticeDefinitions,
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._database, self._known, self._definitions, self._clock = database, known, definitions, clock
        self._environment = environment
        self.mail = MailSettings()
        self.troubles: list[outbox.Trouble] = []
        self._lines: dict[str, asyncio.Task[None]] = {}
        """What is sent now: `mail`, or the id of a notice."""
        self._paused: dict[str, float] = {}
        """Lines whose server is down, and until when they rest, by the monotonic clock."""
        self._children: set[ChildJob] = set()
        self._next_ns: int | None = 0
        """When something is due; None: nothing waits."""

    async def start(self) -> None:
        """After a start: take over what the last daemon left. Raises BackupError."""
        doubtful = await asyncio.wrap_future(self._database.write_always(outbox.take_back, self._clock.now_ns()))
        for row in doubtful:
            _log.warning(
                "backupd ended while a notice to %s was under way: it is sent again and may come twice",
                self.name_of(row.recipient, row.notice_id),
            )
        await self.look()

    async def look(self) -> None:
        """See what is due, and what did not get through. Raises BackupError."""
        self._next_ns = await asyncio.wrap_future(self._database.read(outbox.next_due_ns, self._ordered))
        since_ns = self._clock.now_ns() - _TROUBLE_NS
        self.troubles = await asyncio.wrap_future(self._database.read(outbox.troubles, since_ns))

    async def turn(self) -> None:
        """Begin to send what is due. Raises BackupError."""
        now_ns = self._clock.now_ns()
        if self._next_ns is None or now_ns < self._next_ns <= now_ns + _FOREIGN_NS:
            return
        rows = await asyncio.wrap_future(self._database.read(outbox.due, now_ns, now_ns + _FOREIGN_NS, self._ordered))
        lines: dict[str, list[OutboxRow]] = {}
        for row in rows:
            lines.setdefault(_MAIL if row.recipient.startswith(MAIL) else row.notice_id, []).append(row)
        moment = self._clock.monotonic()
        self._paused = {name: until for name, until in self._paused.items() if until > moment}
        for name, line in lines.items():
            if name not in self._lines and name not in self._paused and len(self._lines) < _MOST_PROCESSES:
                task = asyncio.create_task(self._send_line(name, line))
                self._lines[name] = task
                task.add_done_callback(lambda _, name=name: self._lines.pop(name, None))  # type: ignore[misc]

    async def stop(self) -> None:
        """Let what is under way end; after some seconds it is sent again by the next daemon."""
        if self._lines:
            await asyncio.wait(list(self._lines.values()), timeout=_GRACE_SECONDS)
        for child in self._children:
            child.kill()
        for task in self._lines.values():
            task.cancel()

    def name_of(self, recipient: str, notice_id: str) -> str:
        """A recipient as people may read of it."""
        if recipient.startswith(MAIL):
            return recipient.removeprefix(MAIL)
        return next((f"the notice {one.text.name}" for one in self._known.notices if one.id == notice_id), "a notice")

    def tell_dropped(self, dropped: list[outbox.Dropped]) -> None:
        """Log what there was no room for, once that is in the catalog."""
        for one in dropped:
            self._log_dropped(one.event, one.recipient, one.notice_id, outbox.TOO_MANY)

    def _log_dropped(self, event: str, recipient: str, notice_id: str, why: str) -> None:
        _log.error("notice of %s to %s is dropped: %s", event, self.name_of(recipient, notice_id), why)

    @property
    def _ordered(self) -> list[str]:
        return [one.id for one in self._known.notices if keeps_order(one.text)]

    async def try_out(
        self, stored: StoredNotice, recipients: Sequence[str], content: NoticeContent, message_ids: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Send something to each recipient now, past the outbox; an item each. Raises BackupError."""
        contacts = self._definitions.in_force
        letters = [
            letter(number, one, message_ids[number], content, contacts) for number, one in enumerate(recipients)
        ]
        order = await self._order(letters, stored)
        found: dict[int, dict[str, Any]] = {}
        last = "the process that sends ended before it was done"
        async with aclosing(self._events(order)) as events:
            async for event in events:
                if isinstance(event, dict):
                    found[event["id"]] = event
                else:
                    last = event
        return [found.get(one.id) or {"id": one.id, "verdict": "later", "detail": last} for one in letters]

    async def _order(self, letters: list[Letter], stored: StoredNotice | None) -> AnyOrder:
        if stored is None or (letters and letters[0].recipient):
            return await mail_order(self.mail, letters, self._known.proxy)
        return await order_to(stored, letters, self._known.proxy)

    async def _send_line(self, name: str, rows: Sequence[OutboxRow]) -> None:
        try:
            if await self._send(rows):
                self._paused[name] = self._clock.monotonic() + _LINE_PAUSE_SECONDS
            await self.look()
        except BackupError as error:
            _log.error("notices wait: %s", error.message)

    async def _send(self, rows: Sequence[OutboxRow]) -> bool:
        """Whether nothing gets through there for now."""
        live: dict[int, OutboxRow] = {}
        letters: list[Letter] = []
        contacts = self._definitions.in_force
        recipients = self._definitions.recipients
        to = next((one for one in self._known.notices if one.id == rows[0].recipient), None)
        for row in rows:
            unwanted = _unwanted(row, recipients, contacts)
            if unwanted:
                await self._end(row, "withdrawn", unwanted)
                who = self.name_of(row.recipient, row.notice_id)
                _log.info("notice of %s to %s is not sent any more: %s", row.event, who, unwanted)
                continue
            try:
                letters.append(letter_of(row, contacts))
                live[row.id] = row
            except MALFORMED:
                await self._end(row, "dropped", _FOREIGN)
                self._log_dropped(row.event, row.recipient, row.notice_id, _FOREIGN)
        if not live:
            return False
        is_down = False
        now_ns = self._clock.now_ns()
        tries = [(row.id, now_ns + int(pause_seconds(row.attempts + 1) * _SECOND_NS)) for row in live.values()]
        await asyncio.wrap_future(self._database.write(outbox.begin, tries))
        last = "the process that sends ended before it was done"
        try:
            order = await self._order(letters, to)
            async with aclosing(self._events(order)) as events:
                async for event in events:
                    if isinstance(event, dict):
                        row_told = live.pop(event["id"], None)
                        if row_told is not None:
                            await self._settle(row_told, event)
                            is_down = is_down or event.get("is_down") is True
                    else:
                        last = event
        except BackupError as error:
            last = error.message
        for row in live.values():
            await self._settle(row, {"verdict": "later", "detail": last})
        return is_down or bool(live)

    async def _events(self, order: AnyOrder) -> AsyncGenerator[dict[str, Any] | str, None]:
        """What became of each letter; at last, as a text, why the process ended if it did so badly."""
        child = await ChildJob.start(order, self._environment)
        most_seconds = silent_seconds(order)
        self._children.add(child)
        try:
            stream = child.events()
            while True:
                try:
                    event = await asyncio.wait_for(anext(stream), most_seconds)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    child.kill()
                    yield f"nothing was heard of it for {count(int(most_seconds // 60), 'minute')}"
                    break
                if isinstance(event, Item) and isinstance(event.item.get("id"), int):
                    yield event.item
                elif isinstance(event, Failed):
                    yield str(event.error.get("message") or "it failed")
        finally:
            await child.end()
            self._children.discard(child)

    async def _settle(self, row: OutboxRow, told: Mapping[str, Any]) -> None:
        """What became of a row, in the catalog before the next one is heard of."""
        detail = shown(str(told.get("detail") or ""), _MOST_DETAIL)
        who, now_ns = self.name_of(row.recipient, row.notice_id), self._clock.now_ns()
        attempts = row.attempts + 1
        match told.get("verdict"):
            case "sent":
                await self._end(row, "sent", "")
                _log.info("notice of %s to %s is sent", row.event, who)
            case "refused":
                await self._end(row, "refused", detail)
                _log.warning("notice of %s to %s is refused for good: %s", row.event, who, detail)
            case _ if now_ns - row.created_ns > _GIVEN_UP_NS and attempts >= _GIVEN_UP_ATTEMPTS:
                await self._end(row, "given_up", detail)
                _log.error("notice of %s to %s is given up after %d tries: %s", row.event, who, attempts, detail)
            case _:
                asked = told.get("retry_after_seconds")
                pause = pause_seconds(attempts, asked if isinstance(asked, int | float) else None)
                due_ns = now_ns + int(pause * _SECOND_NS)
                await asyncio.wrap_future(self._database.write_always(outbox.put_off, row.id, detail, due_ns, now_ns))
                _log.warning("notice of %s to %s waits, next try in %d s: %s", row.event, who, pause, detail)

    async def _end(self, row: OutboxRow, state: outbox.OutboxState, detail: str) -> None:
        now_ns = self._clock.now_ns()
        await asyncio.wrap_future(self._database.write_always(outbox.end, row.id, state, detail, now_ns))


def _unwanted(row: OutboxRow, recipients: Collection[str], contacts: Sequence[ContactText]) -> str:
    """Why a row that waited is not to be sent any more; empty: it is."""
    if row.recipient not in recipients:
        return outbox.NOT_NAMED
    # What was to be encrypted is not sent in the clear because nobody knows the certificate any more.
    if row.is_sealed and not contacts_at(row.recipient, contacts):
        return "it was to be encrypted for a contact that is gone"
    return ""
