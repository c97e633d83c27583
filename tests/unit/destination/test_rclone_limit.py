"""rclone is told how fast it may, also when the first telling failed, and no longer than its store is open."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from backupd.destination.pacing import DOWN, UP, Pace, PaceTable
from backupd.destination.rclone.limiting import Limiter
from backupd.errors import DestinationUnreachableError
from backupd.model.store_access import PaceGrant


@pytest.fixture
def table() -> Generator[PaceTable, None, None]:
    made = PaceTable()
    yield made
    made.close()


def _pace(table: PaceTable, rate: int) -> Pace:
    number = table.allocate()
    table.set_member(number, (0, 0), (rate, rate))
    return Pace(PaceGrant(descriptor=table.descriptor, member=number))


def test_a_telling_that_fails_is_done_again_at_the_next_call(table: PaceTable) -> None:
    """Else all that the job sends from then on goes without the limit that was set."""
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        if len(told) == 1:
            raise DestinationUnreachableError("rclone has ended")

    limiter = Limiter(_pace(table, 1 << 20), tell)
    with pytest.raises(DestinationUnreachableError), limiter.moving(UP):
        pytest.fail("it was not told")
    with limiter.moving(UP):
        assert len(told) == 2
    limiter.close()


@pytest.mark.parametrize("rate", [1, 1 << 38])
def test_nobody_draws_when_the_store_is_closed(table: PaceTable, rate: int) -> None:
    """Else it draws from a table that is gone: it locks and unlocks whatever file got that descriptor's number."""
    limiter = Limiter(_pace(table, rate), lambda _: None)
    with limiter.moving(UP), limiter.moving(DOWN):
        time.sleep(0.05)
    assert _drawing() == 2
    began = time.monotonic()
    limiter.close()
    assert _drawing() == 0
    assert time.monotonic() - began < 5, "who closes waits for a rate of next to nothing"
    with limiter.moving(UP):
        assert _drawing() == 0


def _drawing() -> int:
    return sum(one.name == "rclone-limit" for one in threading.enumerate())
