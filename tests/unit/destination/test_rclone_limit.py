"""rclone is told how fast it may, also when the first telling failed."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from backupd.destination.pacing import UP, Pace, PaceTable
from backupd.destination.rclone.limiting import Limiter
from backupd.errors import DestinationUnreachableError
from backupd.model.store_access import PaceGrant


@pytest.fixture
def pace() -> Generator[Pace, None, None]:
    table = PaceTable()
    number = table.allocate()
    table.set_member(number, (0, 0), (1 << 20, 1 << 20))
    yield Pace(PaceGrant(descriptor=table.descriptor, member=number))
    table.close()


def test_a_telling_that_fails_is_done_again_at_the_next_call(pace: Pace) -> None:
    """Else all that the job sends from then on goes without the limit that was set."""
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        if len(told) == 1:
            raise DestinationUnreachableError("rclone has ended")

    limiter = Limiter(pace, tell)
    with pytest.raises(DestinationUnreachableError), limiter.moving(UP):
        pytest.fail("it was not told")
    with limiter.moving(UP):
        assert len(told) == 2
