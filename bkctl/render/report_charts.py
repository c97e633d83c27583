"""The charts of an exported page: what became of each day, and sizes, durations and savings of a copy over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from backupd.sizes import format_bytes, format_seconds
from bkctl.render.charts import MOST_CELL, Point, bar_chart, highest_of, last_of, line_chart, strip, thinned
from bkctl.render.markup import word
from bkctl.render.reports import WORDS
from bkctl.report_figures import BAD, CopyFigures, Moved

_EPOCH = date(1970, 1, 1)
_MOST_CELLS = 120
_MOST_BARS = 60
_MOST_SHARES = 24
"""Points of a line that runs up and down with each run."""
_MINUTE, _HOUR = 60, 3600
_NONE = '<p class="soft small">No backup of this time tells it.</p>'


def number_of(day: date) -> int:
    """Days since 1970."""
    return (day - _EPOCH).days


def day_strips(copies: Sequence[CopyFigures], first: date, last: date) -> str:
    """A row for each copy."""
    width = days_a_bar(first, last)
    rows = "".join(
        f'<div class="row"><span>{word(copy.set_name)} <span class="soft">at {word(copy.destination)}</span>'
        f"</span>{strip(_label(copy), list(_cells(copy, first, last, width)))}</div>"
        for copy in copies
    )
    end = last if last != first else ""
    ends = f'<span class="soft small">{first}</span><span class="soft small" style="text-align:right">{end}</span>'
    cells = -(-(number_of(last) - number_of(first) + 1) // width)
    style = f"display:grid;grid-template-columns:1fr 1fr;max-width:{max(200, MOST_CELL * cells)}px"
    axis = f'<div class="row"><span></span><div style="{style}">{ends}</div></div>'
    return f"{rows}{axis}"


def days_a_bar(first: date, last: date) -> int:
    """How many days a bar of `day_strips` stands for."""
    return -(-(number_of(last) - number_of(first) + 1) // _MOST_CELLS)


def copy_charts(copy: CopyFigures) -> str:
    """Three charts with what they say in words."""
    blocks = [
        ("Stored", *_size(copy)),
        ("Duration", *_duration(copy)),
        ("Savings", *_savings(copy)),
    ]
    drawn = "".join(
        f'<div><h4>{title}</h4><p class="soft small">{says}</p>{chart}</div>' for title, says, chart in blocks
    )
    return f'<div class="charts">{drawn}</div>'


def _size(copy: CopyFigures) -> tuple[str, str]:
    if not copy.held:
        return "", _NONE
    begin, end = copy.held[0][1], copy.held[-1][1]
    says = f"{format_bytes(int(end))} at the end"
    if end != begin:
        says += f", {'up' if end > begin else 'down'} from {format_bytes(int(begin))}"
    points = thinned(copy.held, last_of)
    chart = line_chart(f"Stored: {says}", [("held filled", points)], _bytes_shown, _ends(copy.held))
    return says + ".", chart


def _duration(copy: CopyFigures) -> tuple[str, str]:
    if not copy.seconds:
        return "", _NONE
    ordered = sorted(seconds for _, seconds in copy.seconds)
    says = f"usually {format_seconds(ordered[len(ordered) // 2])}, at most {format_seconds(ordered[-1])}"
    points = thinned(copy.seconds, highest_of, _MOST_BARS)
    chart = bar_chart(f"Duration: {says}", "time", points, format_seconds_short, _ends(copy.seconds))
    return says.capitalize() + ".", chart


def _savings(copy: CopyFigures) -> tuple[str, str]:
    told = [one for one in copy.moved if one.read]
    if not told:
        return "", _NONE
    read, plain, stored = (sum(getattr(one, name) for one in told) for name in ("read", "plain", "stored"))
    known, packed = _share(plain, read), _share(stored, plain)
    says = (
        f'<span class="dedup mark">{known:.0%}</span> of what was read was there already,'
        f' <span class="packed mark">{packed:.0%}</span> of the rest was spared by compression.'
    )
    series = [("dedup", _shares(told, "plain", "read")), ("packed", _shares(told, "stored", "plain"))]
    label = f"Savings: {known:.0%} by deduplication, {packed:.0%} by compression"
    ends = _ends([(one.at, 0.0) for one in told])
    chart = line_chart(label, [one for one in series if one[1]], lambda share: f"{share:.0%}", ends, base=1)
    return says, chart


def _shares(told: Sequence[Moved], part: str, whole: str) -> list[Point]:
    """What was spared, of neighbouring runs together."""
    count = min(len(told), _MOST_SHARES)
    ends = [len(told) * number // count for number in range(count + 1)]
    points: list[Point] = []
    for begin, end in zip(ends, ends[1:], strict=False):
        runs = told[begin:end]
        total = sum(getattr(one, whole) for one in runs)
        if total:
            points.append((runs[-1].at, _share(sum(getattr(one, part) for one in runs), total)))
    return points


def _share(part: int, whole: int) -> float:
    """What is spared of a whole; nothing where sealing took more than that."""
    return min(1.0, max(0.0, 1 - part / whole)) if whole else 0.0


def _cells(copy: CopyFigures, first: date, last: date, width: int) -> Iterator[tuple[str, str, bool]]:
    begin, end = number_of(first), number_of(last)
    while begin <= end:
        days = range(begin, min(begin + width, end + 1))
        seen = CopyFigures(copy.set_name, copy.destination)
        for day in days:
            if day in copy.days:
                seen.take_day(begin, copy.days[day])
        status = seen.days.get(begin)
        when = str(_EPOCH + timedelta(days=days[0]))
        when += f" to {_EPOCH + timedelta(days=days[-1])}" if len(days) > 1 else ""
        told = WORDS[status].lower() if status is not None else "no backup"
        yield status or "none", f"{when}: {told}", status in BAD
        begin += width


def _label(copy: CopyFigures) -> str:
    told = ", ".join(f"{number} {WORDS[status].lower()}" for status, number in copy.counts.items())
    return f"{copy.set_name} at {copy.destination}: {told}"


def _ends(points: Sequence[Point]) -> tuple[str, str]:
    first, last = (datetime.fromtimestamp(at, UTC).astimezone().date() for at in (points[0][0], points[-1][0]))
    return str(first), str(last)


def _bytes_shown(value: float) -> str:
    return format_bytes(int(value)).replace(".0 ", " ")


def format_seconds_short(seconds: float) -> str:
    """For an axis: `30 s`, `80 min`, `1.5 h`."""
    if seconds >= _HOUR and seconds % (_HOUR / 2) == 0:
        return f"{seconds / _HOUR:.1f} h".replace(".0 ", " ")
    if seconds >= _MINUTE:
        return f"{seconds / _MINUTE:.1f} min".replace(".0 ", " ")
    return f"{seconds:.1f} s".replace(".0 ", " ")
