"""Jobs, their logs and the files that belong to them go when they are old, or too many (settings `logs`)."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress

from backupd.catalog import rotation
from backupd.catalog.database import Database
from backupd.catalog.rotation import Place
from backupd.clock import Clock
from backupd.daemon.job_files import JobFiles
from backupd.errors import BackupError
from backupd.rules import check_logs
from backupd.settings.daemon_settings import LogSettings
from backupd.sizes import parse_duration, parse_size

_FIRST_SECONDS = 60.0
"""After a start there is more urgent work."""
_EVERY_SECONDS = 3600.0
_NS = 1_000_000_000
_AT_ONCE = 500
_ALL = 1 << 62

_log = logging.getLogger("backupd.jobs")


class LogRotation:
    """Of one daemon. The catalog's threads do the work, a small step at a time: others' writes come in between."""

    def __init__(self, database: Database, files: JobFiles, state: str, clock: Clock, settings: LogSettings) -> None:
        self._database, self._files, self._clock = database, files, clock
        self._checks = os.path.join(state, check_logs.FOLDER)
        self._settings = settings
        self._changed = asyncio.Event()

    def adopt(self, settings: LogSettings) -> None:
        """Go by other settings, at once."""
        if settings != self._settings:
            self._settings = settings
            self._changed.set()

    async def keep_up(self) -> None:
        """For ever: each hour, and when settings change. What goes wrong, as on a full disk, is tried again then."""
        seconds = _FIRST_SECONDS
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
            self._changed.clear()
            seconds = _EVERY_SECONDS
            try:
                await self.rotate()
            except (BackupError, OSError) as error:
                _log.warning("old jobs stay for now: %s", error)

    async def rotate(self) -> int:
        """Remove what is too old, then the oldest of what is too much; how many jobs that were."""
        now_ns = self._clock.now_ns()
        # Counted from the newest job: a clock that leaps ahead, or a year in a drawer, makes nothing old by itself.
        newest_ns = await asyncio.wrap_future(self._database.read(rotation.newest_ns))
        old_ns = min(now_ns, newest_ns or now_ns) - parse_duration(self._settings.keep) * _NS
        most = parse_size(self._settings.most)
        count = await self._remove(old_ns, _ALL)
        used = await self._used()
        while used > most:
            # Some of the oldest; then it is looked how much that gave.
            removed = await self._remove(now_ns, _AT_ONCE)
            count += removed
            used = await self._used()
            if not removed:
                _log.warning("the catalog holds %d bytes, but all jobs in it are needed", used)
                break
        await asyncio.to_thread(forget_check_logs, self._checks, old_ns)
        if count:
            _log.info("%d old jobs were removed with their logs", count)
        return count

    async def _used(self) -> int:
        return await asyncio.wrap_future(self._database.read(rotation.used_bytes))

    async def _remove(self, before_ns: int, enough: int) -> int:
        """Remove jobs from before a time, the oldest first, until that is enough; how many that were."""
        kept = await asyncio.wrap_future(self._database.read(rotation.spared))
        place: Place | None = Place()
        count = 0
        while place is not None and count < enough:
            found = await asyncio.wrap_future(self._database.read(rotation.look, before_ns, place, kept))
            left = found.jobs
            while left:
                gone = await asyncio.wrap_future(self._database.write(rotation.remove, left))
                await asyncio.to_thread(self._files.forget, gone)
                left = left[len(gone) :]
                count += len(gone)
            place = found.looked_up_to
        return count


def forget_check_logs(folder: str, before_ns: int) -> None:
    """Remove logs of checks from before a time. Raises OSError."""
    oldest = check_logs.beginning(max(0, before_ns))
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(check_logs.SUFFIX) and name < oldest:
            # A check may remove it, too.
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


