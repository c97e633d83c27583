"""Growth and forecast: a warning nobody can rely on is worse than none, and so is one that comes too late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backupd.rules.forecast import LEAST_DAYS, LEAST_POINTS, Point, full_at, growth

DAY = 86_400 * 10**9
GIB = 1 << 30

_days = st.lists(st.integers(0, 60), min_size=LEAST_POINTS, max_size=61, unique=True).map(sorted)
_rate = st.integers(-(10**12), 10**12)


def line(days: list[int], rate: int, base: int = 10**14) -> list[Point]:
    return [(day * DAY, base + day * rate) for day in days]


@given(_days, _rate)
def test_what_grows_evenly_has_that_rate(days: list[int], rate: int) -> None:
    found = growth(line(days, rate))
    assert found == (rate if days[-1] - days[0] >= LEAST_DAYS else None) or abs((found or 0) - rate) <= 1


@given(_days, _rate, st.data())
def test_one_odd_size_changes_little(days: list[int], rate: int, data: st.DataObject) -> None:
    """A disk that was full of somebody's film for a day is no growth: the rate stays among those of the others."""
    points = line(days, rate)
    before = growth(points)
    if len(points) < 9 or before is None:
        return
    at = data.draw(st.integers(0, len(points) - 1))
    points[at] = (points[at][0], data.draw(st.integers(0, 10**15)))
    found = growth(points)
    assert found is not None
    assert abs(found - rate) <= 1


@given(st.lists(st.integers(0, 10**15), min_size=LEAST_POINTS, max_size=200), st.integers(-(10**14), 10**14))
def test_more_of_the_same_everywhere_changes_nothing(sizes: list[int], more: int) -> None:
    points = [(day * DAY, size) for day, size in enumerate(sizes)]
    assert growth(points) == growth([(at, size + more) for at, size in points])


@given(st.lists(st.integers(0, 10**15), min_size=LEAST_POINTS, max_size=200))
def test_it_lies_between_the_steepest_slopes(sizes: list[int]) -> None:
    points = [(day * DAY, size) for day, size in enumerate(sizes)]
    found = growth(points)
    slopes = [late - early for early, late in zip(sizes, sizes[1:], strict=False)]
    assert found is not None
    assert min(slopes) - 1 <= found <= max(slopes) + 1


def test_too_little_says_nothing() -> None:
    assert growth([]) is None
    assert growth(line([0, 1, 2, 3], GIB)) is None
    assert growth([(hour * DAY // 24, hour) for hour in range(24)]) is None, "a day of runs each hour is no trend"
    assert growth(line([0, 1, 2, 3, 4], GIB)) == GIB


def test_a_first_large_backup_is_no_growth() -> None:
    """It comes first, and then nearly nothing: the median sees the rest."""
    points = [(0, 0), *((day * DAY, 500 * GIB + day * GIB) for day in range(1, 30))]
    found = growth(points)
    assert found is not None
    assert abs(found - GIB) < GIB // 10


@given(st.integers(0, 10**15), st.integers(1, 10**12), st.integers(1, 10**6))
def test_more_room_and_less_growth_last_longer(left: int, rate: int, more: int) -> None:
    end, roomier, slower = full_at(left, rate, 0), full_at(left + more, rate, 0), full_at(left, max(1, rate // 2), 0)
    if end is not None:
        assert end >= 0
        assert roomier is None or roomier >= end
        assert slower is None or slower >= end


def test_when_it_is_full() -> None:
    assert full_at(10 * GIB, GIB, 5 * DAY) == 15 * DAY
    assert full_at(0, 1, 7) == 7
    assert full_at(-GIB, 1, 7) == 7, "over its quota already"
    assert full_at(GIB, 0, 0) is None
    assert full_at(GIB, -5, 0) is None, "it shrinks"
    assert full_at(10**15, 1, 0) is None, "a date in the year 300,000 helps nobody"
