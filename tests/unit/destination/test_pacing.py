"""The table of rates: smooth, shared by threads and processes, changed while others wait, hindered by no dead one."""

from __future__ import annotations

import math
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Generator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backupd.cancel import Cancel
from backupd.destination.pacing import DOWN, UP, Pace, PaceTable
from backupd.errors import CancelledError
from backupd.model.store_access import PaceGrant
from backupd.shared_memory import map_memory

KIB, MIB = 1 << 10, 1 << 20
RATE = 2 * MIB

_TAKE = """
import sys, time
from backupd.destination.pacing import UP, Pace
from backupd.model.store_access import PaceGrant
pace = Pace(PaceGrant(descriptor=int(sys.argv[1]), member=int(sys.argv[2])))
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
end, moved = time.monotonic() + 1.5, 0
while time.monotonic() < end:
    moved += pace.may_move(UP)
sys.stdout.write(f"{moved}\\n")
"""
_HOLD = """
import fcntl, sys, time
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
sys.stdout.write("ready\\n"); sys.stdout.flush()
time.sleep(60)
"""


class Time:
    """A clock that goes on while one waits, and a little late at that."""

    def __init__(self, late_seconds: float = 0.0) -> None:
        self.seconds, self._late_seconds = 1000.0, late_seconds
        self.on_wait: Callable[[], None] = lambda: None

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.on_wait()
        self.seconds += seconds + self._late_seconds


@pytest.fixture
def table() -> Generator[PaceTable, None, None]:
    made = PaceTable()
    yield made
    made.close()


def member(table: PaceTable, *rules: int, own: int = 0) -> PaceGrant:
    """Of these rules, both ways."""
    number, mask = table.allocate(), sum(1 << one for one in rules)
    table.set_member(number, (mask, mask), (own, own))
    return PaceGrant(descriptor=table.descriptor, member=number)


def pace_of(grant: PaceGrant, time: Time, cancel: Cancel | None = None) -> Pace:
    return Pace(grant, cancel, time, time.wait)


@given(
    rate=st.integers(8000, 200 * MIB),
    late=st.floats(0, 0.2),
    idle=st.lists(st.floats(0, 3), max_size=6),
)
@settings(max_examples=60)
def test_no_second_has_more_than_a_fifth_above_the_limit(rate: int, late: float, idle: list[float]) -> None:
    """A burst after a pause is what a limit is there to keep off the line."""
    table, time = PaceTable(), Time(late)
    try:
        pace = pace_of(member(table, own=rate), time)
        moved: list[tuple[float, int]] = []
        for pause in [*idle, 0.0]:
            time.seconds += pause
            for _ in range(30):
                count = pace.may_move(UP)
                moved.append((time.seconds, count))
    finally:
        table.close()
    for start, _ in moved:
        assert sum(size for when, size in moved if start <= when < start + 1) <= 1.2 * rate


def test_the_rate_is_kept_by_who_wakes_a_little_late(table: PaceTable) -> None:
    """Else a limit of 2 MiB/s would give 1.5 on a busy machine."""
    time = Time(0.02)
    pace = pace_of(member(table, own=RATE), time)
    began, moved = time.seconds, 0
    while time.seconds < began + 10:
        moved += pace.may_move(UP)
    assert 0.95 * RATE * 10 < moved < 1.05 * RATE * 10


def test_the_lowest_of_all_that_hold_counts(table: PaceTable) -> None:
    """The job's own limit and those of two rules are each kept."""
    table.set_rules([4 * MIB, RATE])
    assert pace_of(member(table, 0, 1), Time()).rates() == (RATE, RATE)
    assert pace_of(member(table, 0), Time()).rates() == (4 * MIB, 4 * MIB)
    assert pace_of(member(table, 0, 1, own=MIB), Time()).rates() == (MIB, MIB)
    assert pace_of(member(table), Time()).rates() == (0, 0)


def test_what_has_no_limit_waits_for_nothing(table: PaceTable) -> None:
    """Limits of others must not slow it down."""
    table.set_rules([8000])
    time = Time()
    time.on_wait = lambda: pytest.fail("it waited")
    pace = pace_of(member(table), time)
    data = bytes(3 * MIB)
    assert b"".join(pace.cut(data)) == data
    assert pace.may_read(MIB) == (256 * KIB, 0.0)


def test_a_change_holds_for_who_waits(table: PaceTable) -> None:
    """A limit that is lifted must not hold for the minute that a slow one had still to go."""
    grant = member(table, own=RATE)
    time = Time()
    pace = pace_of(grant, time)
    pace.may_read(64 * KIB)
    # Lowered while a piece of the higher rate waits: that piece alone then takes eight seconds of the lower one.
    time.on_wait = lambda: table.set_member(grant.member, (0, 0), (8000, 8000))
    pace.may_read(64 * KIB)
    began = time.seconds
    time.on_wait = lambda: table.set_member(grant.member, (0, 0), (RATE, RATE))
    pace.may_read(64 * KIB)
    assert time.seconds - began < 0.5
    table.set_member(grant.member, (0, 0), (0, 0))
    assert pace.may_read(MIB)[1] == 0.0


def test_what_did_not_come_is_not_counted(table: PaceTable) -> None:
    """A server that sends in small parts would get a part of the rate."""
    time = Time()
    pace = pace_of(member(table, own=RATE), time)
    began = time.seconds
    for _ in range(1000):
        count, _ = pace.may_read(64 * KIB)
        pace.give_back(count - KIB)
    assert time.seconds - began < 1.05 * 1000 * KIB / RATE


def test_a_cancelled_job_does_not_wait_on(table: PaceTable) -> None:
    """With a slow limit it would not end for minutes. What it sends may be its checkpoint, and gets some seconds."""
    cancel, time = Cancel(), Time()
    pace = pace_of(member(table, own=8000), time, cancel)
    cancel.request(CancelledError("cancelled"))
    began = time.seconds
    pace.may_read(KIB)
    with pytest.raises(CancelledError):
        pace.may_read(KIB)
    assert time.seconds - began < 0.5
    with pytest.raises(CancelledError):
        all(pace.may_move(UP) for _ in range(1000))
    assert 5 < time.seconds - began < 10


@given(st.binary(min_size=24, max_size=24))
@example(struct.pack("<ddd", RATE, math.nan, RATE))
@example(struct.pack("<ddd", math.nan, 0, 0))
@example(struct.pack("<ddd", math.inf, math.inf, math.inf))
@settings(max_examples=60)
def test_wild_values_keep_nobody_waiting_for_ever(lane: bytes) -> None:
    """A process that dies while it writes may leave anything: it must not stop all others."""
    table, time = PaceTable(), Time()
    try:
        table.set_rules([RATE])
        grant = member(table, 0)
        # The first lane there is: that of the first rule, up.
        map_memory(table.descriptor)[: len(lane)] = lane
        pace = pace_of(grant, time)
        began = time.seconds
        pace.rates()
        if not 0 < struct.unpack_from("<d", lane)[0] < 8000:
            pace.may_move(UP)
            assert time.seconds - began <= 121
    finally:
        table.close()


def test_a_number_is_used_again_without_its_former_limits(table: PaceTable) -> None:
    """The limits of a job that is gone would hold for the next one."""
    grant = member(table, own=8000)
    table.release(grant.member)
    assert table.allocate() == grant.member
    assert pace_of(grant, Time()).rates() == (0, 0)


def started(code: str, *words: object, descriptor: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(descriptor), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[descriptor],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.alone
def test_processes_that_share_a_rule_stay_under_it_together(table: PaceTable) -> None:
    """Two jobs, or two workers of a restore, would each take the whole line."""
    table.set_rules([RATE])
    takers = [started(_TAKE, member(table, 0).member, descriptor=table.descriptor) for _ in range(3)]
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("\n")
        taker.stdin.flush()
    moved = [int(taker.communicate(timeout=30)[0]) for taker in takers]
    assert sum(moved) <= 1.2 * RATE * 1.5
    assert sum(moved) >= 0.6 * RATE * 1.5
    assert min(moved) > 0, "each gets something"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_dies_or_stands_still_with_the_lock_stops_nobody(table: PaceTable, number: signal.Signals) -> None:
    """One killed worker would end all transfers of the machine for good."""
    pace = Pace(member(table, own=RATE))
    holder = started(_HOLD, descriptor=table.descriptor)
    holder.send_signal(number)
    began = time.monotonic()
    pace.may_read(KIB)
    pace.may_read(KIB)
    assert time.monotonic() - began < 20
    assert pace.rates()[DOWN] == RATE
    holder.kill()
    holder.communicate()
