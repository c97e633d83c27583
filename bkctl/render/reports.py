"""Reports as text and as JSON output shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.model.reports import OneReport, Report, ReportPage, ReportStatus
from backupd.model.status import SetStatus
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render import areas, forecast
from bkctl.render.figures import by_kind, joined
from bkctl.render.jobs import log_document, log_line
from bkctl.render.table import table
from bkctl.render.times import rfc3339
from bkctl.render.times import shown as shown_time
from bkctl.text import clip

WORDS: dict[ReportStatus, str] = {
    "completed": "completed",
    "warning": "with warnings",
    "interrupted": "interrupted",
    "interrupted_with_errors": "interrupted with errors",
    "failed": "FAILED",
    "in_progress": "in progress",
    "missed": "MISSED",
    "skipped": "skipped",
}
"""For people; who reads a list looks for what is written large."""
_NAME_CELLS = 20
_SPAN_DAY = 10
"""Characters of a time that are its date."""
_FILES = {
    "new": "new",
    "changed": "changed",
    "attributes": "attributes only",
    "deleted": "deleted",
    "failed": "failed",
    "fetched": "restored",
}


def document(one: Report) -> dict[str, Any]:
    """A report as JSON output shows it."""
    return {
        "job": one.job,
        "kind": one.kind,
        "status": one.status,
        "set": one.set_name,
        "destination": one.destination,
        "schedule": one.schedule,
        "created": rfc3339(one.created_ns),
        "started": rfc3339(one.started_ns) if one.started_ns is not None else None,
        "finished": rfc3339(one.finished_ns) if one.finished_ns is not None else None,
        "seconds": seconds(one),
        "exit": one.exit_code,
        "error": one.error or None,
        "snapshot": one.snapshot,
        "files": msgspec.to_builtins(one.files),
        "bytes": msgspec.to_builtins(one.bytes),
        "plain_bytes": one.plain_bytes,
        "stored_bytes": one.stored_bytes,
        "held_bytes": one.held_bytes,
        "free_bytes": one.free_bytes,
        "freed_bytes": one.freed_bytes,
        "problems": one.problems,
        "problem_kinds": one.problem_kinds,
        "tolerated": one.tolerated,
    }


def page_document(page: ReportPage) -> dict[str, Any]:
    """A page of them."""
    return {
        "reports": [document(one) for one in page.reports],
        "since": rfc3339(page.since_ns),
        "until": rfc3339(page.until_ns) if page.until_ns is not None else None,
        "next": page.next,
    }


def copies_document(sets: Sequence[SetStatus] | None) -> list[dict[str, Any]] | None:
    """What is stored of each set at each destination now, how it grows; None where that is not for who asks."""
    if sets is None:
        return None
    return [
        {
            "set": one.set,
            "destination": copy.destination,
            "stored_bytes": copy.stored_bytes,
            "free_bytes": copy.free_bytes,
            "areas": areas.document(copy.areas),
            **forecast.fields(copy),
        }
        for one in sets
        for copy in one.copies
    ]


def one_document(found: OneReport) -> dict[str, Any]:
    """Those of one job, with a page of its log."""
    return {
        "reports": [document(one) for one in found.reports],
        "lines": [log_document(line) for line in found.lines],
        "warnings": found.warnings,
        "next": str(found.next) if found.next is not None else None,
    }


def page_lines(page: ReportPage, more: str, earlier: str = "") -> list[str]:
    """A line a report. more: the command that shows the next page. earlier: the option that looks further back."""
    if not page.reports:
        hint = f" Earlier ones: {earlier}" if earlier else ""
        return [f"No such report since {shown_time(page.since_ns)}.{hint}"]
    rows = [
        [
            one.job[:9],
            one.kind,
            clip(one.set_name or "-", _NAME_CELLS),
            clip(one.destination or "-", _NAME_CELLS),
            WORDS[one.status],
            span(one),
            came_to(one),
        ]
        for one in page.reports
    ]
    lines = table(["JOB", "KIND", "SET", "DESTINATION", "STATUS", "BEGAN - ENDED", "CAME TO"], rows)
    return [*lines, f"More: {more} --after {page.next}"] if page.next else lines


def show_lines(found: OneReport, more: str) -> list[str]:
    """One job: each destination in full, then a page of the log."""
    lines: list[str] = []
    for one in found.reports:
        at = f" at {one.destination}" if one.destination is not None else ""
        lines.append(f"{one.kind} of {one.set_name or 'no set'}{at}: {WORDS[one.status]}")
        lines += [f"  {name + ':':<11} {text}" for name, text in _facts(one) if text]
    lines += [f"Warning: {text}" for text in found.warnings]
    lines += ["", "Log:"] if found.lines else ["", "No such line in its log."]
    lines += [f"  {log_line(line)}" for line in found.lines]
    return [*lines, f"More: {more} --after {found.next}"] if found.next is not None else lines


def seconds(one: Report) -> float | None:
    """How long it took."""
    if one.started_ns is None or one.finished_ns is None:
        return None
    return round((one.finished_ns - one.started_ns) / 1e9, 3)


def span(one: Report) -> str:
    """From its begin to its end, with the zone; the date once where both are of one day."""
    if one.started_ns is None:
        return f"due {shown_time(one.created_ns)}" if one.status == "missed" else f"asked {shown_time(one.created_ns)}"
    begin = shown_time(one.started_ns)
    if one.finished_ns is None:
        return f"{begin} -"
    end = shown_time(one.finished_ns)
    moment, _, zone = begin.rpartition(" ")
    end_moment, _, end_zone = end.rpartition(" ")
    if begin[:_SPAN_DAY] == end[:_SPAN_DAY] and zone == end_zone:
        end_moment = end_moment[_SPAN_DAY + 1 :]
    return f"{moment}{'' if zone == end_zone else ' ' + zone} - {end_moment} {end_zone}"


def came_to(one: Report) -> str:
    """In a few words: the error, or what was done."""
    done = [] if one.error and one.status != "warning" else [_files(one), _moved(one)]
    return joined([one.error, *done])


def _in_all(one: Report) -> str:
    return f"{format_bytes(one.held_bytes)} there in all" if one.held_bytes is not None else ""


def _facts(one: Report) -> list[tuple[str, str]]:
    took = seconds(one)
    return [
        ("when", span(one) + (f", {format_seconds(took)}" if took is not None else "")),
        ("schedule", one.schedule or ""),
        ("exit", str(one.exit_code) if one.exit_code is not None else ""),
        ("error", one.error),
        ("snapshot", one.snapshot or ""),
        ("files", _files(one, is_whole=True)),
        ("stored", joined([_moved(one), _in_all(one)])),
        ("problems", _problems(one)),
    ]


def _problems(one: Report) -> str:
    kinds = by_kind(one.problem_kinds)
    met = f"{one.problems:,}" + f" ({kinds})" * bool(kinds) if one.problems else ""
    tolerated = by_kind(one.tolerated)
    return "; ".join(part for part in (met, f"tolerated: {tolerated}" if tolerated else "") if part)


def _files(one: Report, *, is_whole: bool = False) -> str:
    seen = count(one.files.seen, "file") if one.files.seen is not None else ""
    known = [(word, getattr(one.files, name), getattr(one.bytes, name)) for name, word in _FILES.items()]
    changes = joined(
        f"{number:,} {word}" + (f" ({format_bytes(size)})" if size and word != "restored" else "")
        for word, number, size in known
        if number is not None and (number or is_whole)
    )
    return f"{seen}: {changes}" if seen and changes else seen or changes


def _moved(one: Report) -> str:
    freed = f"{format_bytes(one.freed_bytes)} freed" if one.freed_bytes is not None else ""
    stored = f"{format_bytes(one.stored_bytes)} stored" if one.stored_bytes is not None else ""
    fetched = f"{format_bytes(one.bytes.fetched)} fetched" if one.bytes.fetched and not stored else ""
    return joined([freed, stored, fetched])
