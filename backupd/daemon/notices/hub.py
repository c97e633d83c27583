"""The daemon's notices as a whole: hears of jobs, looks at sets and the clock once a minute, has the outbox sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, tzinfo

from backupd.catalog import jobs as rows
from backupd.catalog import outbox
from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredNotice, StoredSet, new_id
from backupd.catalog.jobs import StoredJob
from backupd.clock import Clock
from backupd.daemon import account, quotas, status
from backupd.daemon.definitions import Definitions
from backupd.daemon.notices import content, nearing, noting
from backupd.daemon.notices.certificates import Certificates
from backupd.daemon.notices.definitions import NoticeDefinitions
from backupd.daemon.notices.sending import Sending
from backupd.errors import BackupError, UsageError
from backupd.model.notice_api import NoticeTest, TestedRecipient
from backupd.model.notices import MAIL, KeyUse, NoticeContent, events_of
from backupd.model.status import SetStatus, StatusReport, Underway
from backupd.rules.digest import minutes_of
from backupd.rules.notice_rules import recipients_of
from backupd.settings.daemon_settings import DaemonSettings
from backupd.settings.host import host_name
from backupd.settings.mail import USUAL_DIGEST
from backupd.settings.zone import find_zone
from backupd.sizes import parse_share

_TURN_SECONDS = 0.5
_LOOK_NS = 60 * 10**9
_HAND_OUT_SECONDS = 60.0
_HAND_OUT_TURN_SECONDS = 0.1
_USUAL_SHARE = 900

_log = logging.getLogger("backupd.notices")


class Notices:
    """All on the event loop; rows are written by the catalog's thread, everything is sent by other processes."""

    def __init__(
        self, database: Database, known: Definitions, clock: Clock, environment: Mapping[str, str]
    ) -> None:
        self._database, self._known, self._clock, self._environment = database, known, clock, environment
        self.definitions = NoticeDefinitions(database, known, clock)
        self._sending = Sending(database, known, self.definitions, clock, environment)
        self._certificates = Certificates(known, environment)
        self.coming: Callable[[StoredSet], status.Coming | None] = lambda _: None
        """When a set runs by itself."""
        self.underway: Callable[[], Mapping[str, Underway]] = dict
        """By set id, the jobs that wait or run."""
        self._zone: tzinfo = UTC
        self._digest_at = minutes_of(USUAL_DIGEST)
        self._quota_share = _USUAL_SHARE
        self._woken = asyncio.Event()
        self._begun: list[StoredJob] = []
        self._is_started = False
        self._is_noted = False
        """Something was noted beside the turns."""
        self._has_untold = True
        self._looked_ns: int | None = None

    @property
    def warnings(self) -> list[str]:
        """What is wrong with notices, for `status` and `doctor`."""
        told = [*self._certificates.warnings(self._clock.now_ns())]
        names = {one.text.name for one in self._known.sets}
        for notice in self._known.notices:
            gone = [name for name in notice.text.sets if name not in names]
            told += [f"the notice {notice.text.name} names {one}, which is no set" for one in gone]
        for one in self._sending.troubles:
            who = self._sending.name_of(one.recipient, one.notice_id)
            if one.waiting:
                told.append(f"notices to {who} that wait to be sent: {one.waiting}; {one.detail or 'no try yet'}")
            if one.lost:
                told.append(f"notices to {who} that are not sent any more: {one.lost}; {one.detail}")
        return told

    def adopt(self, settings: DaemonSettings) -> None:
        """New settings."""
        self._zone = find_zone(settings.time_zone, self._environment)
        self._digest_at = minutes_of(settings.digest_at)
        self._quota_share = parse_share(settings.quota_near)
        self._sending.mail = settings.smtp

    def hear_end(self, _: StoredJob | None = None) -> None:
        """A job has ended; the catalog knows which."""
        self._has_untold = True
        self._woken.set()

    def hear_begin(self, stored: StoredJob) -> None:
        """A job begins."""
        if any("start" in events_of(one.text) for one in self._known.notices):
            self._begun.append(stored)
            self._woken.set()

    async def hand_out(self, job_id: str) -> None:
        """Wait until what is told of the end of a job was tried to be sent, for a minute at most."""
        self.hear_end()
        try:
            async with asyncio.timeout(_HAND_OUT_SECONDS):
                while await asyncio.wrap_future(self._database.read(outbox.is_untried, job_id)):
                    await asyncio.sleep(_HAND_OUT_TURN_SECONDS)
        except TimeoutError:
            _log.warning("notices of job %s wait still; what comes after it does not wait for them", job_id)

    async def tell_key(self, use: KeyUse) -> None:
        """Somebody was shown a key, or changed what opens a repository; it is told from its note in the catalog on."""
        of = use.set_name or "a repository"
        _log.warning("key %s of %s by %s%s", use.verb, of, use.user, "" if use.is_whole else ", broken off")
        now_ns = self._clock.now_ns()
        identity = f"key-{new_id('n')[1:17]}"
        try:
            noted = self._database.write_always(noting.key, use, identity, self._told, now_ns)
            self._sending.tell_dropped(await asyncio.wrap_future(noted))
        except BackupError as error:
            # Whoever needs the key to save what is left gets it on a full disk, too.
            _log.error("that is told nobody: %s", error.message)
        self._is_noted = True
        self._woken.set()

    async def keep_up(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._turn()
            except BackupError as error:
                # A full disk, above all: what was not noted is so at the next turn.
                _log.warning("notices are not noted yet: %s", error.message)
                await asyncio.sleep(_TURN_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _TURN_SECONDS)
            self._woken.clear()

    async def stop(self) -> None:
        """The daemon ends."""
        await self._sending.stop()

    async def test(self, stored: StoredNotice) -> NoticeTest:
        """Send something now. Raises BackupError: nothing could be tried."""
        every = [one.email for one in self.definitions.in_force]
        wanted = recipients_of(stored.id, stored.text, every)
        if not wanted:
            raise UsageError("there is no contact to send to", hint="bkctl contact add NAME anna@example.org")
        identity = f"test-{new_id('n')[1:17]}"
        place = self._place
        told_of: NoticeContent = content.of_test(stored.text.name, identity, place, self._clock.now_ns())
        ids = [noting.message_id(identity, recipient, place.host) for recipient in wanted]
        items = await self._sending.try_out(stored, wanted, told_of, ids)
        return NoticeTest(
            recipients=[
                TestedRecipient(
                    recipient=recipient.removeprefix(MAIL) if recipient.startswith(MAIL) else None,
                    is_sent=item["verdict"] == "sent",
                    detail=str(item.get("detail") or ""),
                )
                for recipient, item in zip(wanted, items, strict=True)
            ]
        )

    @property
    def _place(self) -> content.Place:
        return content.Place(host=host_name(), zone=self._zone)

    @property
    def _told(self) -> noting.Told:
        return noting.Told(list(self._known.notices), self.definitions.in_force, self._place)

    async def _standing(self) -> StatusReport:
        """How all sets do."""
        known = self._known
        runs = await asyncio.wrap_future(self._database.read(rows.last_runs))
        facts = status.Facts(
            sets=list(known.sets),
            destinations=list(known.destinations),
            runs=runs,
            ended={},
            underway=self.underway(),
            keys={},
            coming={one.id: found for one in known.sets if (found := self.coming(one)) is not None},
            seedings=known.seedings,
            repositories=known.repositories,
            held=quotas.held_everywhere(runs, known.repositories, known.destinations),
            account=account.use(known.account_quota, known.sets, runs, known.destinations),
        )
        return status.report(facts, self._clock.now_ns())

    async def _turn(self) -> None:
        now_ns = self._clock.now_ns()
        is_minute = self._looked_ns is None or not 0 <= now_ns - self._looked_ns < _LOOK_NS
        if not self._is_started:
            await self._sending.start()
            self._is_started = True
        # A job that somebody else noted, a missed run, is heard of once a minute at the latest.
        self._has_untold = self._has_untold or is_minute
        is_new = self._has_untold or self._is_noted or bool(self._begun)
        self._is_noted = False
        await self._note_begun(now_ns)
        stands = await self._standing() if is_minute or (self._has_untold and self._known.notices) else None
        if self._has_untold:
            await self._note_ended(stands.sets if stands is not None else [], now_ns)
        if is_minute and stands is not None:
            self._looked_ns = now_ns
            await self._look(stands, now_ns)
        if is_new:
            await self._sending.look()
        await self._sending.turn()

    async def _note_begun(self, now_ns: int) -> None:
        while self._begun:
            begun = self._database.write(noting.begun, self._begun[0], self._told, now_ns)
            self._sending.tell_dropped(await asyncio.wrap_future(begun))
            self._begun.pop(0)

    async def _note_ended(self, sets: Sequence[SetStatus], now_ns: int) -> None:
        self._has_untold = False
        try:
            told = self._told._replace(stands={one.id: one for one in sets})
            left, dropped = await asyncio.wrap_future(self._database.write(noting.ended, told, now_ns))
        except BaseException:
            self._has_untold = True
            raise
        self._sending.tell_dropped(dropped)
        self._has_untold = self._has_untold or left > 0

    async def _look(self, stands: StatusReport, now_ns: int) -> None:
        """Once a minute: is a set overdue, a quota nearly used up, is it time for the digest, do certificates hold."""
        ids = {one.text.name: one.id for one in self._known.destinations}
        enabled = [one for one in stands.sets if one.is_enabled]
        late = self._database.write(noting.overdue, enabled, ids, self._told, now_ns)
        self._sending.tell_dropped(await asyncio.wrap_future(late))
        day = self._database.write(noting.digest, enabled, self._digest_at, self._told, now_ns)
        self._sending.tell_dropped(await asyncio.wrap_future(day))
        full = nearing.near_quotas(stands, ids, self._quota_share)
        used = self._database.write(nearing.tell_quotas, full, self._quota_share, self._told, now_ns)
        self._sending.tell_dropped(await asyncio.wrap_future(used))
        contacts, mail = self.definitions.in_force, self._sending.mail
        ends = self._certificates.near(contacts, mail, now_ns + nearing.SOON_NS)
        if ends is not None:
            ending = self._database.write(nearing.tell_ends, ends, self._told, now_ns)
            self._sending.tell_dropped(await asyncio.wrap_future(ending))
        self._certificates.look_soon(contacts, mail, now_ns)
