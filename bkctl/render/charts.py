"""Charts as SVG that needs nothing else: lines, bars, and a strip of days. Colours are classes of the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from bkctl.render.markup import word

Point = tuple[float, float]
"""(x, y); points of a chart by x."""
Shown = Callable[[float], str]

MOST_POINTS = 120
"""Of a line: more are not told apart at its size."""
_WIDTH, _HEIGHT = 340, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 10, 22
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SECONDS = 60
_CLOCK = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Round parts of a minute and of an hour."""
_TICKS = 3
MOST_CELL = 40
"""Width of a cell, in pixels."""
_CELL, _TALL = 20, 30
"""Heights of a strip: of a good day, and of a bad one, which is told apart without its colour, too."""


def thinned(points: Sequence[Point], pick: Callable[[Sequence[Point]], Point], most: int = MOST_POINTS) -> list[Point]:
    """So many at most: of neighbours the one that `pick` chooses."""
    if len(points) <= most:
        return list(points)
    ends = [len(points) * number // most for number in range(most + 1)]
    return [pick(points[begin:end]) for begin, end in zip(ends, ends[1:], strict=False)]


def last_of(points: Sequence[Point]) -> Point:
    """The newest one."""
    return points[-1]


def highest_of(points: Sequence[Point]) -> Point:
    """The one that stands out."""
    return max(points, key=lambda point: point[1])


def line_chart(
    label: str, series: Sequence[tuple[str, Sequence[Point]]], shown: Shown, ends: tuple[str, str], base: float = 1024
) -> str:
    """Lines over one another from 0 on. series: (class, points), each not empty. ends: what stands below both ends."""
    scale = _Scale([point for _, points in series for point in points], base)
    body = "".join(_line(kind, points, scale) for kind, points in series)
    return _framed(label, scale, shown, ends, body)


def bar_chart(
    label: str, kind: str, points: Sequence[Point], shown: Shown, ends: tuple[str, str], base: float = 60
) -> str:
    """A bar a point."""
    scale = _Scale(points, base)
    width = max(1.0, min(10.0, 0.7 * (_WIDTH - _LEFT - _RIGHT) / max(1, len(points))))
    bars = "".join(
        f'<rect class="{kind}" x="{_figure(scale.x(x) - width / 2)}" y="{_figure(scale.y(y))}"'
        f' width="{_figure(width)}" height="{_figure(_HEIGHT - _BOTTOM - scale.y(y))}"/>'
        for x, y in points
    )
    return _framed(label, scale, shown, ends, bars)


def strip(label: str, cells: Sequence[tuple[str, str, bool]]) -> str:
    """A cell a day. cells: (class, what it says when pointed at, whether it stands out)."""
    drawn = "".join(
        f'<rect class="{kind}" x="{number + 0.08:.2f}" y="{0 if is_tall else _TALL - _CELL}" width="0.84"'
        f' height="{_TALL if is_tall else _CELL}"><title>{word(text)}</title></rect>'
        for number, (kind, text, is_tall) in enumerate(cells)
    )
    return (
        f'<svg class="strip" style="max-width:{MOST_CELL * len(cells)}px" role="img" aria-label="{word(label)}"'
        f' viewBox="0 0 {max(1, len(cells))} {_TALL}"'
        f' preserveAspectRatio="none">{drawn}</svg>'
    )


class _Scale:
    """From values to places in the drawing."""

    def __init__(self, points: Sequence[Point], base: float) -> None:
        times = [x for x, _ in points]
        self._begin, self._end = min(times), max(times)
        self.step = nice_step(max(y for _, y in points), base)
        self.top = self.step * max(1, math.ceil(max(y for _, y in points) / self.step))

    def x(self, at: float) -> float:
        """One moment alone stands in the middle."""
        span = self._end - self._begin
        share = (at - self._begin) / span if span else 0.5
        return _LEFT + 4 + share * (_WIDTH - _LEFT - _RIGHT - 8)

    def y(self, value: float) -> float:
        """Downwards, as SVG counts."""
        return _TOP + (1 - max(0.0, value) / self.top) * (_HEIGHT - _TOP - _BOTTOM)


def nice_step(highest: float, base: float) -> float:
    """Between two lines of the grid, so that three or four of them reach the highest value; round in its unit.

    base: of the units, 1024 for bytes, 60 for seconds, 1 where there are none.
    """
    rough = max(highest, 1.0 if base > 1 else 0.01) / _TICKS
    unit = 1.0
    while base > 1 and rough >= unit * base and unit < base**5:
        unit *= base
    if base == _SECONDS and rough / unit <= _SECONDS:
        return unit * next(step for step in _CLOCK if step >= rough / unit * 0.999)
    power = 10.0 ** math.floor(math.log10(rough / unit))
    return unit * power * next(step for step in _STEPS if step * power >= rough / unit * 0.999)


def _line(kind: str, points: Sequence[Point], scale: _Scale) -> str:
    places = [(scale.x(x), scale.y(y)) for x, y in points]
    way = " ".join(f"{_figure(x)},{_figure(y)}" for x, y in places)
    floor = _HEIGHT - _BOTTOM
    area = f"{_figure(places[0][0])},{floor} {way} {_figure(places[-1][0])},{floor}"
    x, y = places[-1]
    return (
        f'<polygon class="{kind} area" points="{area}"/><polyline class="{kind} line" points="{way}"/>'
        f'<circle class="{kind} dot" cx="{_figure(x)}" cy="{_figure(y)}" r="3"/>'
    )


def _framed(label: str, scale: _Scale, shown: Shown, ends: tuple[str, str], body: str) -> str:
    right = _WIDTH - _RIGHT
    begin, end = map(word, ends)
    below = f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{begin}</text>'
    if end and end != begin:
        below += f'<text x="{right}" y="{_HEIGHT - 6}" text-anchor="end">{end}</text>'
    return (
        f'<svg class="chart" role="img" aria-label="{word(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"{''.join(_grid(scale, shown, right))}{body}{below}</svg>"
    )


def _grid(scale: _Scale, shown: Shown, right: int) -> Iterator[str]:
    for number in range(round(scale.top / scale.step) + 1):
        value = number * scale.step
        y = _figure(scale.y(value))
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 6}" y="{_figure(scale.y(value) + 4)}" text-anchor="end">{word(shown(value))}</text>'


def _figure(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
