"""Reports as one page of HTML that needs nothing else: no script, nothing from elsewhere, all foreign words escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime

import msgspec

from backupd.model.reports import Report, ReportStatus
from backupd.model.status import CopyStatus, SetStatus
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.forecast import full_soon, growth_text
from bkctl.render.markup import word
from bkctl.render.report_charts import copy_charts, day_strips, days_a_bar
from bkctl.render.report_style import STYLE
from bkctl.render.reports import WORDS, came_to, span
from bkctl.render.times import shown as shown_time
from bkctl.report_figures import BAD, GOOD, MOST_ROWS, CopyFigures, Figures

_MARKS: dict[ReportStatus, str] = {
    "completed": "✓",
    "warning": "!",
    "interrupted": "◼",
    "interrupted_with_errors": "◼",
    "failed": "✕",
    "in_progress": "…",
    "missed": "∅",
    "skipped": "–",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MOST_CHARTS = 60
_OLD_DAYS = 7
"""What a last good backup is old at, whatever its set allows."""
_DAY_NS = 86_400_000_000_000
_MEANINGS: dict[ReportStatus, str] = {
    "completed": "all that was to be stored is",
    "warning": "stored, but some files were left out or a command failed",
    "interrupted": "stopped before its end; the next run goes on from there",
    "failed": "nothing was stored",
    "missed": "it was due and never began",
    "skipped": "passed over on purpose, as when a drive may be absent",
    "in_progress": "not at its end yet",
}


class Frame(msgspec.Struct, frozen=True):
    """What a page is about."""

    since_ns: int
    until_ns: int | None
    now_ns: int
    chosen: str
    """Which reports were asked for, in words; empty: all."""
    sets: Sequence[SetStatus] | None
    """How they stand; None: not for who asks."""


def page(figures: Figures, frame: Frame) -> Iterator[str]:
    """The page, in pieces."""
    copies = figures.copies()
    standing = {(one.set, copy.destination): copy for one in frame.sets or () for copy in one.copies}
    first, last = _days(figures, frame)
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
    yield f"<title>Backup report</title><style>{STYLE}</style></head><body><main>"
    yield "<h1>Backup report</h1>"
    chosen = f" Only {word(frame.chosen)}." if frame.chosen else ""
    yield f'<p class="soft">{first} to {last}, as of {word(shown_time(frame.now_ns))}.{chosen}</p>'
    yield from _verdict(figures, frame, copies, standing)
    if figures.reports:
        yield from _tiles(figures, copies, standing)
    if copies:
        width = days_a_bar(first, last)
        of_bar = "is a day" if width == 1 else f"stands for {width} days"
        yield f'<h2>Day by day</h2><p class="soft small">Each bar {of_bar}; where several backups ran, for the worst of'
        yield " them. High bars: look what went wrong.</p>"
        yield f'<div class="card">{day_strips(copies, first, last)}'
        yield f'<div class="legend">{"".join(_legend(figures))}</div></div>'
        yield from _copies(copies, standing)
        yield from _areas(standing, copies)
        yield '<h2>Size, duration, savings</h2><p class="soft small">One card for each set and destination.</p>'
        for copy in copies[:_MOST_CHARTS]:
            yield f'<div class="card"><h3>{_title(copy)}</h3>{copy_charts(copy)}</div>'
        if len(copies) > _MOST_CHARTS:
            yield f'<p class="soft">And {len(copies) - _MOST_CHARTS} more; choose some: bkctl report export SET</p>'
    yield from _reports("Problems", figures.problems, figures.problem_count)
    yield from _reports("Latest reports", figures.latest, figures.reports)
    yield "</main></body></html>\n"


def _verdict(
    figures: Figures, frame: Frame, copies: Sequence[CopyFigures], standing: dict[tuple[str, str], CopyStatus]
) -> Iterator[str]:
    """The one sentence that everybody reads, and what makes it so."""
    stand = {key: one for copy in copies if (one := standing.get(key := (copy.set_name, copy.destination)))}
    bad = [*_bad(copies, stand)]
    look = [*_to_look_at(frame, copies, stand)]
    if not figures.reports:
        tone, sentence = "skipped", "There is no report of this time."
    elif bad:
        tone, sentence = "failed", "Some backups need a hand."
    elif not copies:
        tone, sentence = "warning" if figures.problem_count else "skipped", "No backup is in this report."
    elif look:
        tone, sentence = "warning", "The last backups are good. Still, have a look."
    else:
        tone, sentence = "completed", "All is well: the last backup of every set was good, at each of its destinations."
    items = "".join(f"<li>{one}</li>" for one in [*bad, *look][:MOST_ROWS])
    yield f'<div class="card verdict {tone}"><b>{sentence}</b>{f"<ul>{items}</ul>" if items else ""}</div>'


def _bad(copies: Sequence[CopyFigures], standing: Mapping[tuple[str, str], CopyStatus]) -> Iterator[str]:
    for copy in copies:
        last = copy.last_decided
        if last is not None and last.status in BAD:
            yield f"{_title(copy)}: the last backup: {_last_words(last)}"
        if copy.last_good is None:
            yield f"{_title(copy)}: no backup was good in this time"
    for (name, at), one in standing.items():
        if one.verdict in ("damaged", "overdue"):
            yield f"{word(name)} at {word(at)}: {one.verdict}: {word(one.reason)}"


def _to_look_at(
    frame: Frame, copies: Sequence[CopyFigures], standing: Mapping[tuple[str, str], CopyStatus]
) -> Iterator[str]:
    for at, days in full_soon(standing.values(), frame.now_ns):
        yield f"{word(at)} will be full in about {days} at this rate"
    for copy in copies:
        good, last = copy.last_good, copy.last_decided
        if last is not None and last.status == "warning":
            yield f"{_title(copy)}: the last backup: {_last_words(last)}"
        elif good is not None and frame.until_ns is None and frame.now_ns - good.created_ns > _OLD_DAYS * _DAY_NS:
            yield f"{_title(copy)}: the last good backup is {(frame.now_ns - good.created_ns) // _DAY_NS} days old"
    seen = {copy.set_name for copy in copies}
    for one in frame.sets or () if not frame.chosen and frame.until_ns is None else ():
        if one.is_enabled and one.set not in seen:
            yield f"{word(one.set)}: no backup in this time"


def _last_words(one: Report) -> str:
    return f"{word(WORDS[one.status].lower())}{': ' + word(one.error) if one.error else ''}"


def _tiles(
    figures: Figures, copies: Sequence[CopyFigures], standing: dict[tuple[str, str], CopyStatus]
) -> Iterator[str]:
    ended = sum(number for copy in copies for status, number in copy.counts.items() if status not in _UNDECIDED)
    good = sum(number for copy in copies for status, number in copy.counts.items() if status in GOOD)
    held = sum(int(copy.held[-1][1]) for copy in copies if copy.held)
    sources = sum(copy.source_bytes for copy in copies)
    moved = sum(int(copy.held[-1][1] - copy.held[0][1]) for copy in copies if copy.held)
    rates = [
        one.growth_bytes_per_day
        for copy in copies
        if (one := standing.get((copy.set_name, copy.destination))) and one.growth_bytes_per_day is not None
    ]
    tiles = [
        (f"{figures.jobs:,}", f"{'job' if figures.jobs == 1 else 'jobs'} in this time"),
        (_percent(good, ended), f"of {count(ended, 'backup')} {_were(ended)} good") if ended else None,
        (format_bytes(held), "stored now") if held else None,
        (growth_text(sum(rates)) or "", "is how it grows") if rates else None,
        (format_bytes(moved), "more than at its begin") if held and not rates and moved > 0 else None,
        (_percent(max(0, sources - held), sources), "saved against as many full copies") if sources > held else None,
    ]
    cards = "".join(f'<div class="card"><b>{big}</b><span class="soft small">{small}</span></div>' for big, small in
                    filter(None, tiles))  # fmt: skip
    yield f'<div class="tiles">{cards}</div>'


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


_UNDECIDED: frozenset[ReportStatus] = frozenset({"in_progress", "skipped"})


def _percent(part: int, whole: int) -> str:
    """Never 100 % where it is not all."""
    share = 100 * part / whole if whole else 0.0
    return "100 %" if part == whole else f"{min(share, 99.9):.1f} %"


def _legend(figures: Figures) -> Iterator[str]:
    there = {"interrupted" if one == "interrupted_with_errors" else one for one in figures.counts}
    for status, meaning in _MEANINGS.items():
        if status in there:
            yield f'<span class="{status}"><i></i>{word(WORDS[status].lower())}: {meaning}</span>'
    yield '<span class="none"><i></i>no backup that day</span>'


_COPIES = ("Set", "Destination", "Last backup", "Last good backup", "In the source", "Stored", "Growth",
           "Full at this rate")  # fmt: skip
_AREAS = ("Set", "Destination", "Newest snapshot", "Only in older ones", "Spared by deduplication", "By compression",
          "Counted")  # fmt: skip
_REPORTS = ("Status", "What", "Destination", "When", "Took", "Came to")
_NUMBERS = ("In the source", "Stored", "Growth", "Newest snapshot", "Only in older ones", "Spared by deduplication",
            "By compression", "Took")  # fmt: skip
_TIMES = ("Last good backup", "When", "Counted", "Full at this rate", "Last backup")
_KINDS = {**dict.fromkeys(_NUMBERS, "n"), **dict.fromkeys(_TIMES, "t"), "Came to": "m", "What": "w"}
"""Column -> class of its cells."""


def _copies(copies: Sequence[CopyFigures], standing: dict[tuple[str, str], CopyStatus]) -> Iterator[str]:
    yield "<h2>Copies</h2>"
    yield from _table(_COPIES, (_copy_cells(copy, standing.get((copy.set_name, copy.destination))) for copy in copies))


def _copy_cells(copy: CopyFigures, one: CopyStatus | None) -> list[str]:
    good, last = copy.last_good, copy.last_decided or copy.last
    return [
        word(copy.set_name),
        word(copy.destination),
        _mark(last.status) if last is not None else "–",
        word(shown_time(good.started_ns)) if good is not None and good.started_ns is not None else "none in this time",
        _bytes(good.bytes.seen if good is not None else None),
        _bytes(int(copy.held[-1][1]) if copy.held else None),
        growth_text(one.growth_bytes_per_day) if one is not None else "",
        str(day_of(one.full_at_ns)) if one is not None and one.full_at_ns is not None else "–",
    ]


def _areas(standing: dict[tuple[str, str], CopyStatus], copies: Sequence[CopyFigures]) -> Iterator[str]:
    """What the newest snapshot holds and what only older ones do, where a freeing has counted it."""
    rows = []
    for copy in copies:
        one = standing.get((copy.set_name, copy.destination))
        areas = one.areas if one is not None else None
        if areas is not None:
            spared = (areas.savings.deduplication_bytes, max(0, areas.savings.compression_bytes))
            sizes = (areas.data.stored_bytes, areas.retention.stored_bytes, *spared)
            names = (word(copy.set_name), word(copy.destination))
            rows.append([*names, *map(_bytes, sizes), str(day_of(areas.as_of_ns))])
    if rows:
        yield "<h2>What is stored</h2>"
        yield from _table(_AREAS, rows)


def _reports(title: str, reports: Sequence[Report], count: int) -> Iterator[str]:
    if not reports:
        return
    more = f", of which the newest {len(reports)} stand here" if count > len(reports) else ""
    yield f'<h2>{title}</h2><p class="soft small">{count:,} in this time{more}.</p>'
    yield from _table(_REPORTS, map(_report_cells, reports))


def _report_cells(one: Report) -> list[str]:
    took = ""
    if one.started_ns is not None and one.finished_ns is not None:
        took = format_seconds((one.finished_ns - one.started_ns) / 1e9)
    what = f"{word(one.kind)} of {word(one.set_name)}" if one.set_name is not None else word(one.kind)
    return [_mark(one.status), what, word(one.destination or "–"), word(span(one)), took, word(came_to(one))]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Cells are HTML. Where the page is narrow a row is a block, each cell with the name of its column."""
    kinds = [_KINDS.get(name, "") for name in head]
    yield '<div class="card"><table><tr>'
    yield "".join(f'<th class="{kind}">{name}</th>' for kind, name in zip(kinds, head, strict=True)) + "</tr>"
    for row in rows:
        cells = zip(kinds, head, row, strict=True)
        shown = "".join(f'<td class="{kind}" data-of="{name}">{cell}</td>' for kind, name, cell in cells)
        yield f"<tr>{shown}</tr>"
    yield "</table></div>"


def _title(copy: CopyFigures) -> str:
    return f"{word(copy.set_name)} at {word(copy.destination)}"


def _mark(status: ReportStatus) -> str:
    return f'<span class="mark {status}">{_MARKS[status]} {word(WORDS[status].lower())}</span>'


def _bytes(number: int | None) -> str:
    return format_bytes(number) if number is not None else "–"


def _days(figures: Figures, frame: Frame) -> tuple[date, date]:
    """The first and the last day that are shown: none before there was anything."""
    oldest = frame.since_ns if figures.oldest_ns is None else max(frame.since_ns, figures.oldest_ns)
    last_ns = frame.now_ns if frame.until_ns is None else min(frame.until_ns, frame.now_ns)
    first, last = day_of(oldest), day_of(max(oldest, last_ns))
    return (min(first, last), last)


def day_of(time_ns: int) -> date:
    """In the zone of who looks."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000).astimezone().date()


