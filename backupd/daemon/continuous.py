"""Sets that run when something changed: a process watches the sources of each, and a run follows after a quiet time.

What may have been missed is made up for by a run that looks at everything: at the start, when more changed than can be
told, when the watching process died, and after a run that went wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import zip_longest

import msgspec

from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredJob
from backupd.clock import Clock
from backupd.daemon.child import ChildJob
from backupd.daemon.conditions import Conditions
from backupd.daemon.definitions import Definitions
from backupd.daemon.jobs import Jobs
from backupd.daemon.outcome import GOOD
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.daemon.source_fields import watched_fields
from backupd.errors import BackupError
from backupd.model.events import Changed, Failed
from backupd.model.sets import ContinuousText
from backupd.model.store_access import StoreAccess
from backupd.model.watch_orders import Apart, WatchOrder
from backupd.model.watching import WatchedSince
from backupd.rules.continuous import Pace, pace_of, text_of
from backupd.source.true_paths import path_of

_TICK_SECONDS = 0.5
_AGAIN_SECONDS = (5.0, 60.0, 600.0, 3600.0)
"""After a watching process that died, or a run that went wrong: the first time, the second …"""
_CONDITION_SECONDS = (2.0, 5.0, 30.0)
"""Between two looks at conditions that keep a run from being begun: the first time, the second …"""
_MOST_BYTES = 256 << 10
"""Of the paths that a run is told of: they stand in its order, and in the catalog."""
_WHOLE_SECONDS = 86_400.0
"""Between two runs that look at everything, whatever was told."""
_RETENTION_SECONDS = 3600.0
"""Between two runs after which the policy is applied."""

_WATCHING = ("linux", "darwin")
"""Systems of which backupd.source.watchers has a way."""
_log = logging.getLogger("backupd.continuous")


class _Watched:
    """A set whose sources are watched. Times are of the event loop's clock."""

    def __init__(self, stored: StoredSet, key: bytes, pace: Pace) -> None:
        self.stored, self.key, self.pace = stored, key, pace
        self.task: asyncio.Task[None] | None = None
        self.first: float | None = None
        """When the first change came that no run has seen; None: there is none."""
        self.last = 0.0
        self.directories: set[bytes] = set()
        self.trees: set[bytes] = set()
        self.is_lost = True
        """Anything may have changed since the last run."""
        self.token = b""
        """Of the last run."""
        self.looked = float("-inf")
        """When a run last looked at everything."""
        self.began = self.not_before = self.applied = float("-inf")
        self.failures = 0
        self.is_partly_watched = False
        """Whether runs take in more than is watched."""
        self.job = ""
        self.trouble = ""
        """Why not all is watched."""
        self.unmet = ""
        """Why its run is not begun, which is due."""
        self.unmet_count = 0
        """How often that was seen since it was due."""

    def note(self, now: float, changed: Changed) -> None:
        """Something changed."""
        self.first = now if self.first is None else self.first
        self.last = now
        self.is_lost |= changed.is_lost
        self.directories.update(changed.directories)
        self.trees.update(changed.trees)
        if sum(map(len, self.directories)) + sum(map(len, self.trees)) > _MOST_BYTES:
            self.is_lost = True
            self.directories, self.trees = set(), set()

    def take(self, now: float) -> WatchedSince:
        """For a run that begins: what it need not look at. From here on changes are the next one's."""
        if now - self.looked >= _WHOLE_SECONDS:
            self.is_lost = True
        # Of what lies beside the paths nothing is told.
        since = b"" if self.is_lost or self.is_partly_watched else self.token
        self.looked = self.looked if since else now
        self.token = os.urandom(16)
        taken = WatchedSince(
            token=self.token, since=since, directories=sorted(self.directories), trees=sorted(self.trees)
        )
        self.first, self.began, self.is_lost, self.directories, self.trees = None, now, False, set(), set()
        return taken

    @property
    def due(self) -> float | None:
        """When its next run is due; None: it was not watched yet."""
        if self.first is None:
            # Of what nobody tells is found by a look at everything.
            return max(self.looked + _WHOLE_SECONDS, self.not_before) if self.token else None
        return max(self.pace.due(self.first, self.last, self.began), self.not_before)


class Continuous:
    """All sets that are watched. On the event loop."""

    def __init__(self, known: Definitions, jobs: Jobs, clock: Clock, environment: Mapping[str, str]) -> None:
        self._known, self._jobs, self._clock, self._environment = known, jobs, clock, environment
        self._conditions = Conditions(environment)
        self._watched: dict[str, _Watched] = {}
        self._logs = _own_logs()
        self._seen: tuple[object, ...] = ()
        jobs.follow_ends(self._hear_end)

    @property
    def warnings(self) -> list[str]:
        """A sentence for each set of which not all is watched, or whose run waits for a condition."""
        known = self._watched.values()
        waiting = [f"{one.stored.text.name}: what changed is not stored yet: {one.unmet}" for one in known if one.unmet]
        return [*(f"{one.stored.text.name}: {one.trouble}" for one in known if one.trouble), *waiting]

    async def keep_up(self) -> None:
        """For ever: watch what is to be watched, and begin what is due."""
        try:
            while True:
                try:
                    await self._look()
                except BackupError as error:
                    # Looked at again at once: nothing was taken for seen.
                    _log.error("what is to be watched can't be told: %s", error.message)
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            for one in self._watched.values():
                if one.task is not None:
                    one.task.cancel()

    async def _look(self) -> None:
        # Each change of a definition makes new lists of all.
        known = (self._known.sets, self._known.destinations, self._known.temp)
        if any(one is not former for one, former in zip_longest(known, self._seen)):
            await self._adopt()
            self._seen = known
        now = asyncio.get_running_loop().time()
        for one in self._watched.values():
            if one.due is not None and one.due <= now and self._jobs.is_busy(one.stored.id) is None:
                if await self._waits(one, now):
                    continue
                await self._begin(one, now)

    async def _waits(self, one: _Watched, now: float) -> bool:
        """Whether a condition of the set keeps its run from being begun: a job every minute would only say so."""
        text = one.stored.text.conditions
        unmet = "; ".join((await self._conditions.look(text)).unmet) if text is not None else ""
        if unmet != one.unmet:
            one.unmet = unmet
            _log.info("%s: %s", one.stored.text.name, f"its run waits: {unmet}" if unmet else "its run waits no longer")
        if unmet:
            one.not_before = now + _CONDITION_SECONDS[min(one.unmet_count, len(_CONDITION_SECONDS) - 1)]
        one.unmet_count = one.unmet_count + 1 if unmet else 0
        return bool(unmet)

    async def _adopt(self) -> None:
        """Watch what sets say now, and nothing else."""
        wanted: dict[str, tuple[StoredSet, ContinuousText]] = {}
        for stored in self._known.sets:
            text = text_of(stored.text.continuous)
            if text is not None and self._known.owners.runs(stored):
                wanted[stored.id] = (stored, text)
        for set_id in [one for one in self._watched if one not in wanted]:
            await self._end(self._watched.pop(set_id))
        for set_id, (stored, text) in wanted.items():
            await self._keep_watched(set_id, stored, text)

    async def _keep_watched(self, set_id: str, stored: StoredSet, text: ContinuousText) -> None:
        order = await self._order(stored, text)
        key = msgspec.msgpack.encode(order)
        former = self._watched.get(set_id)
        if former is not None and former.key == key:
            former.stored, former.pace = stored, pace_of(text)
            former.is_partly_watched = bool(text.paths)
            return
        if former is not None:
            await self._end(former)
        one = _Watched(stored, key, pace_of(text))
        one.is_partly_watched = bool(text.paths)
        self._watched[set_id] = one
        if sys.platform not in _WATCHING:
            one.trouble = "sources are watched on Linux and macOS alone; give it a schedule, as every: 15m"
            return
        one.task = asyncio.create_task(self._watch(one, order))

    async def _order(self, stored: StoredSet, text: ContinuousText) -> WatchOrder:
        apart = [Apart(place=path) for path in (stored.text.temp_dir, self._known.temp, *self._logs) if path]
        for name in stored.text.to:
            destination = self._known.destination(name)
            pool = destination.text.pool
            for one in [self._known.destination(name) for name in pool.members] if pool is not None else [destination]:
                access = StoreAccess(volume=await self._known.volume_of(one))
                apart.append(Apart(place=one.text.place, access=access))
        return WatchOrder(
            place="",
            run_as=stored.text.run_as,
            **watched_fields(stored.text, text.paths),
            apart=apart,
        )

    @staticmethod
    async def _end(one: _Watched) -> None:
        if one.task is not None:
            one.task.cancel()
            with suppress(asyncio.CancelledError):
                await one.task

    async def _watch(self, one: _Watched, order: WatchOrder) -> None:
        """Hear what changes, for ever; a process that dies is followed by another one."""
        loop, died = asyncio.get_running_loop(), 0
        while True:
            said = "the process that watches ended"
            try:
                child = await ChildJob.start(order, self._environment)
                try:
                    async for event in child.events():
                        if isinstance(event, Changed):
                            died = 0
                            self._hear(one, event, loop.time())
                        elif isinstance(event, Failed):
                            said = str(event.error["message"])
                finally:
                    await asyncio.shield(_stop(child))
            except BackupError as error:
                said = error.message
            pause = _AGAIN_SECONDS[min(died, len(_AGAIN_SECONDS) - 1)]
            died += 1
            one.trouble = f"{said}; it is tried again"
            _log.warning("%s: %s", one.stored.text.name, one.trouble)
            await asyncio.sleep(pause)

    def _hear(self, one: _Watched, event: Changed, now: float) -> None:
        full = ""
        if event.unwatched:
            path = event.unwatched.decode(errors="backslashreplace")
            full = (
                f"{path} and more can't be watched: {event.watched} directories are all that "
                "fs.inotify.max_user_watches allows; raise it with sysctl, or have a schedule besides"
            )
        if full != one.trouble:
            one.trouble = full
            _log.warning("%s: %s", one.stored.text.name, full or "all is watched again")
        one.note(now, event)

    async def _begin(self, one: _Watched, now: float) -> None:
        is_applied = now - one.applied >= _RETENTION_SECONDS
        watched = one.take(now)
        request = BackupRequest(watched=watched, retention=is_applied)
        try:
            job = await self._jobs.add(
                JobRequest(kind="backup", backup=request),
                set_id=one.stored.id,
                set_name=one.stored.text.name,
                uid=os.geteuid(),
            )
        except BackupError as error:
            self._put_off(one, now, error.message)
            return
        one.job = job.stored.id
        one.applied = now if is_applied else one.applied
        changed = f"begun by changes (directories: {len(watched.directories)})"
        job.log("information", changed if watched.since else f"{changed}; {_LOOKS}" if watched.directories else _LOOKS)

    def _hear_end(self, ended: StoredJob) -> None:
        one = self._watched.get(ended.set_id or "")
        if one is None or ended.kind != "backup" or ended.id != one.job:
            return
        if ended.exit_code in GOOD:
            one.failures = 0
        elif not self._jobs.is_stopping:
            self._put_off(one, asyncio.get_running_loop().time(), f"job {ended.id[:9]} went wrong")

    @staticmethod
    def _put_off(one: _Watched, now: float, why: str) -> None:
        """What changed is not stored yet."""
        pause = _AGAIN_SECONDS[min(one.failures + 1, len(_AGAIN_SECONDS) - 1)]
        one.failures += 1
        one.not_before = now + pause
        one.note(now, Changed(is_lost=True))
        _log.warning("%s: %s; tried again in %d s", one.stored.text.name, why, pause)


_LOOKS = "it looks at everything, for not all is known that changed"


def _own_logs() -> list[str]:
    """The files that this process writes its log to: each run that is told of there would begin the next one."""
    found: list[str] = []
    for number in (1, 2):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(number).st_mode):
                found.append(os.fsdecode(path_of(number)))
    return found


async def _stop(child: ChildJob) -> None:
    child.kill()
    await child.end()
