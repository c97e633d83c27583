"""Sessions that hold back a freeing: those of dead runs are ended, those of others are waited for (DESIGN 8.2, 8.3)."""

from __future__ import annotations

import os

from backupd.cache import first_seen
from backupd.errors import BusyError
from backupd.operations.backup import basing
from backupd.operations.backup.ending import end_dead_session
from backupd.operations.backup.session import POST_SECONDS, WriterIdentity
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Waiting
from backupd.operations.places import OpenPlace
from backupd.repository.index_loading import load_index
from backupd.repository.records import Posted
from backupd.rules import moments, names
from backupd.settings.directories import ensure
from backupd.settings.lock import SetLock
from backupd.sizes import count
from backupd.snapshot import naming

SILENT_SECONDS = 6 * 3600
"""Of the own clock, in one boot, in which nothing moved: then a session of another state is taken for dead."""


class Sessions:
    """Those at one place."""

    def __init__(self, context: JobContext, place: OpenPlace) -> None:
        """place: a writer's."""
        self._context, self._place, self._records = context, place, place.records
        self._path = os.path.join(place.cache, "sessions.seen")

    def end_own(self) -> int:
        """End dead sessions of this state, of each set whose lock is free; returns how many."""
        host = self._context.host
        state_id = bytes.fromhex(host.state_id)
        own = {one.said.set_id for one in self._records.posted() if one.said.state_id == state_id}
        ended = 0
        for set_id in sorted(own):
            lock = SetLock(self._context.directories.state, naming.set_id_text(set_id))
            try:
                lock.acquire(self._context.clock)
            except BusyError:
                continue
            with lock:
                index = load_index(self._place.repository, ensure(os.path.join(self._place.cache, "index")))
                who = WriterIdentity(bytes.fromhex(host.host_id), state_id, host.boot_id, set_id)
                try:
                    ended += len(basing.end_dead(self._context, self._place, set_id, who, index.tables))
                finally:
                    index.tables.close()
        return ended

    def forget_taken(self) -> int:
        """Where listings lag: forget those that have committed, or whose name is void; returns how many.

        A finished run stays announced there (docs/protocol.md), and would keep what its bases alone hold. Elsewhere one
        is under way still, and would have to take the loss of its posts for its end.
        """
        sessions = [] if self._records.is_exact else list(self._records.posted())
        if not sessions:
            return 0
        # After the sessions, for each look: whoever is forgotten is one whose snapshot every later look finds.
        taken = {name.name for name in self._records.listed_snapshot_names()}
        return self.forget_ended(sessions, taken, self._records.void_names())

    def forget_ended(self, sessions: list[Posted], taken: set[str], void: set[str]) -> int:
        """Remove the announcements of those whose snapshot's name is taken or void; returns how many sessions."""
        over = [one for one in sessions if one.said.snapshot_name in taken or one.said.snapshot_name in void]
        for one in over:
            self._records.remove_session(one.session, one.numbers)
        return len(over)

    def waiting_for(self, n: int) -> list[Posted]:
        """Those that have not ended and do not say that they go by generation n."""
        taken = {name.name for name in self._records.listed_snapshot_names()} | self._records.void_names()
        posted = self._records.posted()
        return [one for one in posted if one.said.snapshot_name not in taken and one.said.honours < n]

    def end_silent(self, waiting: list[Posted]) -> list[Posted]:
        """End those of other states in which nothing moved for six hours; the others are remembered, and given.

        Only where of two creators of a name one alone succeeds.
        """
        clock, boot = self._context.clock, self._context.host.boot_id
        before = first_seen.load(self._path)
        left: list[Posted] = []
        seen: dict[str, first_seen.Seen] = {}
        for one in waiting:
            key, mark = one.session.hex(), str(one.numbers[-1])
            first = before.get(key)
            if first is None or first.mark != mark or first.boot_id != boot:
                first = first_seen.Seen(mark, boot, clock.monotonic(), clock.now_ns())
            is_silent = first.seconds_until(boot, clock.monotonic()) >= SILENT_SECONDS
            if is_silent and self._records.is_exact and not self._is_own(one):
                self._end(one)
            else:
                left.append(one)
                seen[key] = first
        first_seen.keep(self._path, seen)
        return left

    def _end(self, one: Posted) -> None:
        host_id = bytes.fromhex(self._context.host.host_id)
        now_ns = self._context.clock.now_ns()
        end_dead_session(self._records, one.session, one.said.snapshot_name, now_ns, host_id, is_own=False)
        self._context.warn(
            f"a run of host {one.said.host_id.hex()[:8]} has said nothing for six hours and was ended; "
            "what it had stored stays as a partial snapshot"
        )

    def told(self, one: Posted) -> Waiting:
        """What is said of a session that is waited for."""
        text = naming.snapshot_id_text(one.session)
        said, clock = one.said, self._context.clock
        silent = max(0.0, (clock.now_ns() - said.posted_ns) / 1e9)
        until = None
        if silent <= 2 * POST_SECONDS:
            reason = "a run that is under way is asked to go by what is to be deleted; it looks twice a minute"
            until = moments.rfc3339(said.posted_ns + POST_SECONDS * 10**9, self._context.zone)
        else:
            # Where two may create one name, nobody is ended for his silence alone.
            later = "a freeing six hours after this one ends it, or now: " if self._records.is_exact else ""
            reason = (
                f"a run that has said nothing for {_duration(silent)}; if it is dead, {later}"
                f"bkctl destination sessions --revoke {names.short(text)}"
            )
        return Waiting("session", text, reason, until, naming.set_id_text(said.set_id), said.host_id.hex())

    def _is_own(self, one: Posted) -> bool:
        return one.said.state_id.hex() == self._context.host.state_id


def _duration(seconds: float) -> str:
    hours = int(seconds // 3600)
    if hours >= 48:
        return count(hours // 24, "day")
    return count(hours, "hour") if hours else count(int(seconds // 60), "minute")
