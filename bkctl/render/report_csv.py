"""Reports as CSV (RFC 4180) that a spreadsheet takes for what it is: text stays text, whatever it begins with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backupd.model.reports import Report
from bkctl import text
from bkctl.render.reports import seconds
from bkctl.render.times import rfc3339

_FILES = ("seen", "new", "changed", "attributes", "deleted", "failed", "fetched")
_BYTES = ("seen", "new", "changed", "attributes", "deleted", "failed", "read", "fetched")
_STORED = ("plain_bytes", "stored_bytes", "held_bytes", "free_bytes", "freed_bytes", "problems")
HEADER: tuple[str, ...] = (
    *("job", "kind", "status", "set", "destination", "schedule", "created", "started", "finished", "seconds", "exit"),
    *("error", "snapshot"),
    *(f"files_{name}" for name in _FILES),
    *(f"bytes_{name}" for name in _BYTES),
    *_STORED,
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets compute that begins so; a quote before it keeps it text."""


def header() -> bytes:
    """The first line."""
    return _lines([HEADER])


def rows(reports: Iterable[Report]) -> bytes:
    """A line for each; what is not known is empty."""
    return _lines(_row(one) for one in reports)


def _row(one: Report) -> Sequence[str]:
    words = [one.job, one.kind, one.status, one.set_name, one.destination, one.schedule]
    times = [one.created_ns, one.started_ns, one.finished_ns]
    numbers = [seconds(one), one.exit_code]
    counts = [
        *(getattr(one.files, name) for name in _FILES),
        *(getattr(one.bytes, name) for name in _BYTES),
        *(getattr(one, name) for name in _STORED),
    ]
    return [
        *map(_cell, words),
        *(rfc3339(time_ns) if time_ns is not None else "" for time_ns in times),
        *map(_number, numbers),
        *map(_cell, [one.error, one.snapshot]),
        *map(_number, counts),
    ]


def _cell(word: str | None) -> str:
    shown = text.escape(word or "")
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _number(value: float | None) -> str:
    return "" if value is None else str(value)


def _lines(table: Iterable[Sequence[str]]) -> bytes:
    lines = (",".join(map(_quoted, row)) + "\r\n" for row in table)
    return "".join(lines).encode(errors="backslashreplace")


def _quoted(cell: str) -> str:
    """What would end a cell or a line stands in quotes."""
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell
