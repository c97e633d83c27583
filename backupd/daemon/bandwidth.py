"""Keeps the limits of bandwidth of all jobs as the rules say, at each moment (FEATURES 4.5).

The jobs' processes have the table of rates in their memory: what is written here holds there at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import tzinfo

import msgspec

from backupd.clock import Clock, to_datetime
from backupd.daemon.definitions import Definitions
from backupd.destination.pacing import PaceTable
from backupd.model.any_order import AnyOrder
from backupd.model.bandwidth import Direction
from backupd.model.order_places import with_accesses
from backupd.model.orders import BackupOrder, CheckOrder, FreeOrder, Limits, ReplicateOrder, RestoreOrder
from backupd.model.places import is_url
from backupd.model.purge_orders import PurgeOrder
from backupd.model.store_access import PaceGrant, StoreAccess
from backupd.rules.bandwidth import Rule, applies, holds, lowest, told
from backupd.settings.bandwidth import rules_of
from backupd.settings.daemon_settings import DaemonSettings
from backupd.settings.zone import find_zone, zone_or_own

_TURN_SECONDS = 0.5
Moving = BackupOrder | RestoreOrder | CheckOrder | ReplicateOrder | FreeOrder | PurgeOrder
"""Orders whose jobs move many bytes; questions are answered at once."""
_DIRECTIONS: tuple[Direction, Direction] = ("upload", "download")


class _Member(msgspec.Struct, frozen=True):
    """A job at a store elsewhere."""

    destination: str
    """Name; empty for a place that is no destination."""
    zone: str | None
    """Of the job; None: the daemon's."""
    limits: Limits


class Bandwidth:
    """All on the event loop."""

    def __init__(self, known: Definitions, clock: Clock, environment: Mapping[str, str]) -> None:
        """Raises StateFullError."""
        self._known, self._clock, self._environment = known, clock, environment
        self._table = PaceTable()
        self._members: dict[int, _Member] = {}
        self._rules: list[Rule] = []
        self._is_shared = False
        self._zones: dict[str | None, tzinfo] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the processes of jobs inherit."""
        return (self._table.descriptor,)

    @property
    def count(self) -> int:
        """Places of jobs that the table holds."""
        return len(self._members)

    def adopt(self, settings: DaemonSettings) -> None:
        """New rules, for jobs that are under way, too."""
        self._rules = rules_of(settings.bandwidth)
        self._is_shared = settings.bandwidth.mode == "shared"
        self._zones = {None: find_zone(settings.time_zone, self._environment)}
        self._table.set_rules([rule.bytes_a_second for rule in self._rules])
        for number in self._members:
            self._set(number)

    async def keep_up(self) -> None:
        """Follow the clock until cancelled."""
        while True:
            await asyncio.sleep(_TURN_SECONDS)
            for number in self._members if self._rules else ():
                self._set(number)

    def paced(self, order: AnyOrder) -> AnyOrder:
        """The order of a job with its part of the limits, wherever it opens a store elsewhere. Raises DaemonBusyError.

        Each place counts by itself: where nothing is shared, a job has the rate at each of them.
        """
        if not isinstance(order, Moving):
            return order
        granted: list[int] = []
        try:
            return with_accesses(order, lambda place, access: self._granted(order, place, access, granted))
        except BaseException:
            self._release(granted)
            raise

    def release(self, order: AnyOrder) -> None:
        """The job has ended, with its workers."""
        paces: list[int] = []

        def note(_: str, access: StoreAccess) -> StoreAccess:
            paces.extend(pace.member for pace in access.paces())
            return access

        with_accesses(order, note)
        self._release(paces)

    def _release(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if self._members.pop(number, None) is not None:
                self._table.release(number)

    def _granted(self, order: Moving, place: str, access: StoreAccess, granted: list[int]) -> StoreAccess:
        pool = access.pool
        if pool is not None:
            # Bytes go to its members: each has the limits of the destination that it is.
            members = [
                msgspec.structs.replace(one, access=self._granted(order, one.place, one.access, granted))
                for one in pool.members
            ]
            return msgspec.structs.replace(access, pool=msgspec.structs.replace(pool, members=members))
        if not is_url(place):
            return access
        destination = self._known.destination_of(place)
        name = destination.text.name if destination is not None else ""
        member = _Member(name, order.time_zone, order.limits)
        # Raises for a zone that there is not, before anything counts on it.
        self._zone_of(member)
        number = self._table.allocate()
        granted.append(number)
        self._members[number] = member
        self._set(number)
        lines = [line for way in _DIRECTIONS if (line := self._told(member, way))]
        pace = PaceGrant(descriptor=self._table.descriptor, member=number, told=lines)
        return msgspec.structs.replace(access, pace=pace)

    def _set(self, number: int) -> None:
        member = self._members[number]
        now, zone = to_datetime(self._clock.now_ns()), self._zone_of(member)
        masks, own = [0, 0], [member.limits.upload_rate or 0, member.limits.download_rate or 0]
        for way, direction in enumerate(_DIRECTIONS):
            for bit, rule in enumerate(self._rules):
                if not applies(rule, direction, member.destination) or not holds(rule, now, zone):
                    continue
                if self._is_shared:
                    masks[way] |= 1 << bit
                else:
                    own[way] = min(own[way] or rule.bytes_a_second, rule.bytes_a_second)
        self._table.set_member(number, (masks[0], masks[1]), (own[0], own[1]))

    def _zone_of(self, member: _Member) -> tzinfo:
        """Looked up once: that reads a file."""
        if member.zone not in self._zones:
            self._zones[member.zone] = zone_or_own(member.zone, self._environment)
        return self._zones[member.zone]

    def _told(self, member: _Member, direction: Direction) -> str:
        now, zone = to_datetime(self._clock.now_ns()), self._zone_of(member)
        rule = lowest(self._rules, now, direction, member.destination, zone)
        own = member.limits.upload_rate if direction == "upload" else member.limits.download_rate
        if rule is not None and (own is None or rule.bytes_a_second <= own):
            shared = ", shared with other jobs" if self._is_shared else ""
            return told(rule.bytes_a_second, direction, f"the rule {rule.name}{shared}")
        return told(own, direction, f"--limit-{direction}") if own is not None else ""
