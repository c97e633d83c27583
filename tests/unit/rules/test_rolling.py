"""Which blocks are read next: one that is never chosen rots unseen, one that is chosen too often costs every night."""

from __future__ import annotations

from random import Random

import pytest

from backupd.rules.rolling import WINDOW_DAYS, coverage, next_share

_DAY = 86_400
_NOW = 2000 * _DAY


@pytest.mark.parametrize(("permille", "days"), [(50, 20), (333, 4), (1000, 1), (1, 1000)])
def test_every_block_within_so_many_days(permille: int, days: int) -> None:
    """Also while blocks come and go."""
    random = Random(permille)
    sizes = {random.randbytes(32): random.randrange(1, 33 << 20) for _ in range(200)}
    first = set(sizes)
    verified: dict[bytes, int] = {}
    for day in range(days):
        for block_id in next_share(sizes, verified, permille):
            verified[block_id] = _NOW + day * _DAY
    assert verified.keys() >= first


def test_the_oldest_first_and_no_more_than_asked() -> None:
    """Two blocks a day of ten, in the order in which they were read last."""
    sizes = {bytes([number]) * 32: 100 for number in range(10)}
    verified = {bytes([number]) * 32: 1000 - number for number in range(8)}
    assert next_share(sizes, verified, 200) == [bytes([8]) * 32, bytes([9]) * 32]
    assert next_share(sizes, verified, 201) == [bytes([8]) * 32, bytes([9]) * 32, bytes([7]) * 32]
    assert next_share(sizes, verified, 1) == [bytes([8]) * 32]
    assert next_share({}, verified, 500) == []


def test_coverage() -> None:
    """What was read before the window, or by a clock that was ahead, does not count."""
    sizes = {bytes([number]) * 32: 10 << number for number in range(4)}
    ids = list(sizes)
    verified = {ids[0]: _NOW, ids[1]: _NOW - (WINDOW_DAYS + 1) * _DAY, ids[2]: _NOW + _DAY, b"gone": _NOW}
    found = coverage(sizes, verified, _NOW)
    assert found == (150, 10, 40 + 80, None)
    everything = coverage(sizes, dict.fromkeys(ids, _NOW - _DAY), _NOW)
    assert everything == (150, 150, 0, _NOW - _DAY)
    assert coverage({}, verified, _NOW) == (0, 0, 0, None)
