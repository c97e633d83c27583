"""Limits of bandwidth where bytes leave and come (FEATURES 4.5): one table of rates in memory that processes share.

Who sets the limits writes rates into the table at any time; who moves bytes asks there before each small piece. A rate
that is given to several members is one: what they move together stays under it. There is no credit for time in which
nothing was moved, so that no second has more than a rate and a piece.

The table: lanes of rules (two for each, up and down), then members. A lane: rate in bytes a second, 0 for none; the
moment from which on more may be moved (monotonic, the same for all processes of a machine); the rate that this moment
follows from. A member: bit masks of the rules that hold for it, up and down, and two lanes of its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from backupd.cancel import Cancel
from backupd.clock import Clock, SystemClock
from backupd.errors import DaemonBusyError
from backupd.model.bandwidth import MOST_RULES
from backupd.model.store_access import PaceGrant
from backupd.shared_memory import make_memory, map_memory

_RATE = struct.Struct("<d")
_LANE = struct.Struct("<ddd")
_MOVED = struct.Struct("<dd")
_MASK = struct.Struct("<Q")
_WAYS = 2
_MEMBERS_AT = _WAYS * MOST_RULES * _LANE.size
_OWN_LANES = _WAYS * _MASK.size
_MEMBER_BYTES = _OWN_LANES + _WAYS * _LANE.size
_MOST_MEMBERS = 1024

_UNLIMITED_PIECE = 256 << 10
_MOST_PIECE, _LEAST_PIECE = 64 << 10, 1 << 10
_PIECES_A_SECOND = 20
_BUFFERS_A_SECOND, _LEAST_BUFFER = 32, 32 << 10
_LATE_SECONDS = 0.03
"""Who wakes late by so much at most still keeps the rate."""
_SLICE_SECONDS = 0.25
"""Rates are read again after so long: a change holds for those who wait, too."""
_AHEAD_SECONDS = 120.0
_MOST_RATE = 1e12
_GRACE_SECONDS = 8.0
"""For which a cancelled job may still send: a checkpoint has 10 s."""
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 200, 0.001

UP, DOWN = 0, 1

_in_process = threading.Lock()
"""A lock of a file is a process's: its threads need one of their own."""


class PaceTable:
    """The table, for who sets the limits. Of one thread."""

    def __init__(self) -> None:
        """Raises StateFullError where there is no memory."""
        self.descriptor = make_memory(_MEMBERS_AT + _MOST_MEMBERS * _MEMBER_BYTES)
        self._memory = map_memory(self.descriptor)
        self._used: set[int] = set()

    def allocate(self) -> int:
        """A member without limits. Raises DaemonBusyError."""
        number = next((one for one in range(_MOST_MEMBERS) if one not in self._used), None)
        if number is None:
            raise DaemonBusyError("too many jobs move bytes at once", hint="wait for one of them to end")
        self._used.add(number)
        at = _member_at(number)
        self._memory[at : at + _MEMBER_BYTES] = bytes(_MEMBER_BYTES)
        return number

    def release(self, number: int) -> None:
        """Its processes are gone."""
        self._used.discard(number)

    def set_rules(self, rates: Sequence[int]) -> None:
        """Bytes a second of each rule, for those who share it."""
        for number in range(MOST_RULES):
            rate = float(rates[number]) if number < len(rates) else 0.0
            for way in range(_WAYS):
                _RATE.pack_into(self._memory, _rule_at(way, number), rate)

    def set_member(self, number: int, masks: tuple[int, int], own: tuple[int, int]) -> None:
        """Bits of the rules that it shares, and bytes a second of its own, 0 for none; each (up, down)."""
        at = _member_at(number)
        for way in range(_WAYS):
            _MASK.pack_into(self._memory, at + way * _MASK.size, masks[way])
            _RATE.pack_into(self._memory, at + _OWN_LANES + way * _LANE.size, float(own[way]))

    def close(self) -> None:
        """No process moves bytes by it any more."""
        self._memory.close()
        os.close(self.descriptor)


class Pace:
    """The limits of one member, for who moves bytes. Safe from several threads.

    No time limit of a server may count what is waited for here. Raises the cancel's error once it is requested;
    what is sent goes on for some seconds.
    """

    def __init__(
        self,
        grant: PaceGrant,
        cancel: Cancel | None = None,
        clock: Clock | None = None,
        wait: Callable[[float], object] | None = None,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        """wait: what to do for so many seconds."""
        self._descriptor, self._member = grant.descriptor, _member_at(grant.member)
        self._memory: mmap.mmap = map_memory(grant.descriptor)
        self._cancel, self._grace_seconds = cancel, grace_seconds
        self._clock, self._wait = clock or SystemClock(), wait or threading.Event().wait
        self._cancelled_at: float | None = None

    def may_read(self, most: int) -> tuple[int, float]:
        """(how many bytes may be read, or asked for, now; how many seconds were waited for them)."""
        count = min(most, self._piece(DOWN))
        return count, self._move(DOWN, count)

    def may_move(self, way: int, ended: threading.Event | None = None) -> int:
        """Wait for a piece that another program moves for us, or until that has ended; its bytes."""
        count = self._piece(way)
        self._move(way, count, ended)
        return count

    def fit(self, connection: socket.socket) -> None:
        """Before an answer is read: what the system takes in ahead of us counts at the server as sent."""
        rate = min(self._rates(DOWN), default=0.0)
        if rate:
            size = min(_MOST_PIECE, max(_LEAST_BUFFER, int(rate / _BUFFERS_A_SECOND)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def give_back(self, byte_count: int) -> None:
        """So many of those did not come."""
        if byte_count > 0 and self._rates(DOWN):
            with self._locked():
                for at in self._lanes(DOWN):
                    rate, since, former = _LANE.unpack_from(self._memory, at)
                    if 0 < rate <= _MOST_RATE and rate == former:
                        _MOVED.pack_into(self._memory, at + _RATE.size, since - byte_count / rate, rate)

    def rates(self) -> tuple[int, int]:
        """Bytes a second that hold now, up and down; 0: no limit."""
        up, down = (int(min(self._rates(way), default=0)) for way in (UP, DOWN))
        return up, down

    def cut(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """The bytes in pieces, each when it may be sent."""
        view = memoryview(data).cast("B")
        while len(view):
            piece = view[: self._piece(UP)]
            self._move(UP, len(piece))
            yield piece
            view = view[len(piece) :]

    def _piece(self, way: int) -> int:
        """The most bytes that are to be moved at once: the smaller, the smoother."""
        rate = min(self._rates(way), default=0.0)
        return min(_MOST_PIECE, max(_LEAST_PIECE, int(rate / _PIECES_A_SECOND))) if rate else _UNLIMITED_PIECE

    def _rates(self, way: int) -> list[float]:
        found: list[float] = [_RATE.unpack_from(self._memory, at)[0] for at in self._lanes(way)]
        return [rate for rate in found if 0 < rate <= _MOST_RATE]

    def _lanes(self, way: int) -> list[int]:
        """Where the lanes are that this member moves on; those without a rate may be among them."""
        (mask,) = _MASK.unpack_from(self._memory, self._member + way * _MASK.size)
        lanes = [self._member + _OWN_LANES + way * _LANE.size]
        while mask:
            lowest = mask & -mask
            lanes.append(_rule_at(way, lowest.bit_length() - 1))
            mask ^= lowest
        return lanes

    def _move(self, way: int, byte_count: int, ended: threading.Event | None = None) -> float:
        waited, wait = 0.0, self._wait if ended is None else ended.wait
        while self._rates(way) and (ended is None or not ended.is_set()):
            with self._locked():
                pause = self._try(way, byte_count)
            if pause <= 0:
                break
            self._check_cancel(self._grace_seconds if way == UP else 0.0)
            pause = min(pause, _SLICE_SECONDS)
            wait(pause)
            waited += pause
        return waited

    def _try(self, way: int, byte_count: int) -> float:
        """Move where every lane is free, or say for how long one is not."""
        now = self._clock.monotonic()
        free: list[tuple[int, float, float]] = []
        for at in self._lanes(way):
            rate, since, former = _LANE.unpack_from(self._memory, at)
            if 0 < rate <= _MOST_RATE:
                # What an old rate said, or a wild value, keeps nobody waiting.
                is_good = rate == former and since <= now + _AHEAD_SECONDS
                free.append((at, rate, since if is_good else now))
        pause = max((since - now for _, _, since in free), default=0.0)
        if pause > 0:
            return pause
        for at, rate, former in free:
            since = max(former, now - _LATE_SECONDS) + byte_count / rate
            _MOVED.pack_into(self._memory, at + _RATE.size, since, rate)
        return 0.0

    def _check_cancel(self, grace_seconds: float) -> None:
        if self._cancel is None or not self._cancel.is_requested:
            return
        now = self._clock.monotonic()
        if self._cancelled_at is None:
            self._cancelled_at = now
        if now - self._cancelled_at >= grace_seconds:
            self._cancel.check()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Between processes, for microseconds. Who is stopped while he holds it hinders the others for a moment only.

        Locks of fcntl are each process's own where the descriptor was inherited; those of flock would be all one.
        """
        with _in_process:
            is_held = False
            for _ in range(_LOCK_TRIES):
                try:
                    fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    self._wait(_LOCK_PAUSE_SECONDS)
                else:
                    is_held = True
                    break
            try:
                yield
            finally:
                if is_held:
                    fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _rule_at(way: int, number: int) -> int:
    return (way * MOST_RULES + number) * _LANE.size


def _member_at(number: int) -> int:
    return _MEMBERS_AT + number * _MEMBER_BYTES
