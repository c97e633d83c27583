"""Plain text for people: escaping, clipping, tables. Nothing here knows a terminal or a command."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_ESCAPED_BYTES = range(0xDC80, 0xDD00)
"""Surrogates that stand for bytes which are not UTF-8."""


def escape(text: str) -> str:
    """One line that moves no cursor: control characters and bytes that are not UTF-8 become visible escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def width(text: str) -> int:
    """Cells of a terminal that the text fills."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )


def clip(text: str, cells: int) -> str:
    """The text, its middle taken out where it is wider than that: both ends of a path say most."""
    if width(text) <= cells:
        return text
    head = max(0, cells // 3)
    tail = max(0, cells - head - 1)
    front = _front(text, head)
    back = _front(text[::-1], tail)[::-1]
    return f"{front}…{back}"


def table(rows: Iterable[Sequence[str]], header: Sequence[str], right: frozenset[int] = frozenset()) -> list[str]:
    """Lines with aligned columns; those of `right` by their right edge. No rows: no lines."""
    body = [[escape(cell) for cell in row] for row in rows]
    if not body:
        return []
    grid = [list(header), *body]
    widths = [max(width(row[column]) for row in grid) for column in range(len(header))]
    return ["  ".join(_padded(row, widths, right)).rstrip() for row in grid]


def moment(stamp: str | None) -> str:
    """A time of RFC 3339 as people read it: to the second, its zone left out."""
    return (stamp or "")[:19].replace("T", " ")


def pairs(facts: Iterable[tuple[str, object]]) -> list[str]:
    """`key: value` lines, values in one column."""
    known = [(key, str(value)) for key, value in facts]
    longest = max((len(key) for key, _ in known), default=0)
    return [f"{key + ':':<{longest + 1}}  {value}".rstrip() for key, value in known]


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number & 0xFF:02x}" if number in _ESCAPED_BYTES else repr(character)[1:-1]


def _front(text: str, cells: int) -> str:
    kept: list[str] = []
    for character in text:
        cells -= width(character)
        if cells < 0:
            break
        kept.append(character)
    return "".join(kept)


def _padded(row: Sequence[str], widths: Sequence[int], right: frozenset[int]) -> list[str]:
    cells = []
    for column, cell in enumerate(row):
        space = " " * (widths[column] - width(cell))
        cells.append(space + cell if column in right else cell + space)
    return cells
