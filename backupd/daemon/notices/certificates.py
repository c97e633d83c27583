"""Whether the certificates of contacts still hold: looked at once a day by a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from backupd.clock import to_datetime
from backupd.daemon.child import ChildJob
from backupd.daemon.definitions import Definitions
from backupd.errors import BackupError
from backupd.model.events import Item
from backupd.model.notice_orders import CertificateOrder
from backupd.model.notices import ContactText

_DAY_NS = 86400 * 10**9
_SOON_NS = 30 * _DAY_NS

_log = logging.getLogger("backupd.notices")


class Certificates:
    """All on the event loop."""

    def __init__(self, known: Definitions, environment: Mapping[str, str]) -> None:
        self._known, self._environment = known, environment
        self._found: dict[str, Mapping[str, Any]] = {}
        self._paths: list[str] = []
        self._looked_ns: int | None = None
        self._task: asyncio.Task[None] | None = None

    def look_soon(self, contacts: Sequence[ContactText], now_ns: int) -> None:
        """Have them looked at where that was not done today, or where there are others now."""
        paths = sorted({one.certificate for one in contacts if one.certificate is not None and one.encrypt})
        is_fresh = self._looked_ns is not None and 0 <= now_ns - self._looked_ns < _DAY_NS
        if (paths == self._paths and (is_fresh or not paths)) or (self._task is not None and not self._task.done()):
            return
        self._paths, self._looked_ns = paths, now_ns
        self._task = asyncio.create_task(self._look(paths))

    def warnings(self, now_ns: int) -> list[str]:
        """For `status`: certificates that hold no longer, or not much longer, or that nobody can use."""
        told: list[str] = []
        for one in self._known.contacts:
            found = self._found.get(one.text.certificate or "") if one.text.encrypt else None
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

    async def _look(self, paths: list[str]) -> None:
        found: dict[str, Mapping[str, Any]] = {}
        try:
            child = await ChildJob.start(CertificateOrder(place="", paths=paths), self._environment) if paths else None
            if child is not None:
                async for event in child.events():
                    if isinstance(event, Item):
                        found[str(event.item.get("path"))] = event.item
                await child.end()
        except BackupError as error:
            _log.warning("certificates of contacts can't be looked at: %s", error.message)
            return
        self._found = found
