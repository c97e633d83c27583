"""Whether certificates of contacts, and those that vouch for servers, still hold: a process looks once a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from backupd.clock import to_datetime
from backupd.daemon.child import ChildJob
from backupd.daemon.definitions import Definitions
from backupd.errors import BackupError
from backupd.model.events import Done, Item
from backupd.model.notice_orders import CertificateOrder
from backupd.model.notices import ContactText, NearEnd
from backupd.settings.mail import MailSettings

_DAY_NS = 86400 * 10**9
_SOON_NS = 30 * _DAY_NS

_log = logging.getLogger("backupd.notices")


class Certificates:
    """All on the event loop."""

    def __init__(self, known: Definitions, environment: Mapping[str, str]) -> None:
        self._known, self._environment = known, environment
        self._found: dict[str, Mapping[str, Any]] | None = None
        """By path, as they were looked at last; None: not looked at since the start."""
        self._paths: tuple[list[str], list[str]] = ([], [])
        self._looked_ns: int | None = None
        self._task: asyncio.Task[None] | None = None

    def look_soon(self, contacts: Sequence[ContactText], mail: MailSettings, now_ns: int) -> None:
        """Have them looked at where that was not done today, or where there are others now."""
        paths = sorted(_by_certificate(contacts)), sorted(self._by_authority(mail))
        is_fresh = self._looked_ns is not None and 0 <= now_ns - self._looked_ns < _DAY_NS
        is_known = paths == self._paths and (is_fresh or not any(paths))
        if is_known or (self._task is not None and not self._task.done()):
            return
        self._paths, self._looked_ns = paths, now_ns
        self._task = asyncio.create_task(self._look(paths))

    def near(self, contacts: Sequence[ContactText], mail: MailSettings, until_ns: int) -> list[NearEnd] | None:
        """Those that end by then, or have ended; None: nobody has looked yet. contacts: those in force."""
        readers, servers = _by_certificate(contacts), self._by_authority(mail)
        if self._found is None and (readers or servers):
            return None
        looked, found = self._found or {}, list[NearEnd]()
        for path in sorted({*readers, *servers}):
            ends_ns = looked.get(path, {}).get("ends_ns")
            if isinstance(ends_ns, int) and ends_ns <= until_ns:
                whose, where = readers.get(path, []), servers.get(path, [])
                found.append(NearEnd(path=path, ends_ns=ends_ns, contacts=whose, servers=where))
        return found

    def _by_authority(self, mail: MailSettings) -> dict[str, list[str]]:
        """Names of what is reached, by the file of those that vouch for it."""
        found: dict[str, list[str]] = {}
        for one in self._known.destinations:
            if one.text.ca_file is not None:
                found.setdefault(one.text.ca_file, []).append(one.text.name)
        if mail.host and mail.security != "none" and mail.ca_file is not None:
            found.setdefault(mail.ca_file, []).append(f"the mail server {mail.host}")
        return found

    def warnings(self, now_ns: int) -> list[str]:
        """For `status`: certificates that hold no longer, or not much longer, or that nobody can use."""
        told: list[str] = []
        looked = self._found or {}
        for one in self._known.contacts:
            found = looked.get(one.text.certificate or "") if one.text.encrypt else None
            if found is None:
                continue
            ends_ns = found.get("ends_ns")
            if found.get("problem"):
                told.append(f"no mail can be encrypted for {one.text.name}, so none is sent: {found['problem']}")
            elif isinstance(ends_ns, int) and ends_ns < now_ns + _SOON_NS:
                verb = "ended" if ends_ns < now_ns else "ends"
                told.append(
                    f"the certificate of {one.text.name} {verb} on {to_datetime(ends_ns):%Y-%m-%d};"
                    " mail goes on being encrypted for it"
                )
        return told

    async def _look(self, paths: tuple[list[str], list[str]]) -> None:
        found: dict[str, Mapping[str, Any]] = {}
        try:
            if any(paths):
                order = CertificateOrder(place="", paths=paths[0], authorities=paths[1])
                is_done = False
                child = await ChildJob.start(order, self._environment)
                async for event in child.events():
                    if isinstance(event, Item):
                        found[str(event.item.get("path"))] = event.item
                    is_done = is_done or isinstance(event, Done)
                ending = await child.end()
                if not is_done:
                    raise ending.error()
        except BackupError as error:
            _log.warning("certificates can't be looked at: %s", error.message)
            return
        self._found = found


def _by_certificate(contacts: Sequence[ContactText]) -> dict[str, list[str]]:
    """Names of those for whom mail is encrypted, by the file of their certificate."""
    found: dict[str, list[str]] = {}
    for one in contacts:
        if one.certificate is not None and one.encrypt:
            found.setdefault(one.certificate, []).append(one.name)
    return found
