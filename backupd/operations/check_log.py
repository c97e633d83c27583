"""Logs of checks, kept in the state directory by date (FEATURES 8.2): severities and findings, no paths of files.

A line: severity, a space, the message. The newest few hundred stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from backupd import durable_io
from backupd.model import events
from backupd.operations import check_areas
from backupd.operations.context import JobContext
from backupd.rules import check_logs
from backupd.sizes import count, format_bytes
from backupd.state_errors import translated

_MOST_LOGS = 400
_MOST_LINES = 10_000


def keep(context: JobContext, place: str, repository: str, done: events.Done) -> None:
    """Write a check's log, and remove the oldest ones; where that fails it is told, and the check is none the worse."""
    if context.directories.is_temporary:
        return
    folder = os.path.join(context.directories.state, check_logs.FOLDER)
    begin = check_logs.beginning(context.clock.now_ns())
    lines = [*_lines(place, repository, done)][:_MOST_LINES]
    text = "".join(" ".join(line.split()) + "\n" for line in lines)
    try:
        durable_io.make_directories(folder)
        durable_io.remove_leftovers(folder)
        path = os.path.join(folder, f"{begin}-{repository[:9]}-{os.urandom(2).hex()}{check_logs.SUFFIX}")
        durable_io.replace(path, [text.encode("utf-8", "backslashreplace")])
        for name in sorted(os.listdir(folder))[:-_MOST_LOGS]:
            # Another check may remove it, too.
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
    except OSError as error:
        context.warn(f"the log of this check could not be kept: {translated(error, folder).message}")


def statistics_lines(result: dict[str, Any]) -> list[str]:
    """What the index says, what was counted, and whether they agree; likewise what the areas of each set hold."""
    return [_statistics_line(result["statistics"]), *check_areas.lines(result["areas"])]


def _statistics_line(statistics: Any) -> str:
    recorded, found = (
        f"{count(statistics[name]['blocks'], 'block')}, {format_bytes(statistics[name]['bytes'])}"
        for name in ("recorded", "found")
    )
    return f"statistics: recorded {recorded}; found {found}: {'right' if statistics['agree'] else 'wrong'}"


def _lines(place: str, repository: str, done: events.Done) -> Iterator[str]:
    result = done.result
    yield f"information check of {repository} in {place}"
    counted = f"{count(result['snapshots'], 'snapshot')}, {count(result['blocks'], 'block')}"
    counted += f", {result['bytes_read']:,} bytes read"
    yield f"information {counted}"
    is_wrong = not result["statistics"]["agree"]
    for line in statistics_lines(result):
        yield f"{'warning' if is_wrong or line.endswith(check_areas.WRONG) else 'information'} {line}"
        is_wrong = False
    for one in result["problems"]:
        yield f"error {one['code']} {one['object']}: {one['message']}"
    if result["files_hit_count"]:
        yield f"error hit: {count(result['files_hit_count'], 'file')}, counted in each snapshot"
    for one in result["skipped"]:
        yield f"warning {one['set']} was skipped: {one['reason']}"
    for one in result["decisions"]:
        severity = "error" if one["state"] == "waits" else "warning"
        lost = f"{count(one['files'], 'file')}, {one['bytes']:,} bytes lost"
        yield f"{severity} {one['set']}: {lost}: {one['state']}, {one['plan']}"
    healed = result["healed"]
    if healed is not None:
        chunks, files = count(healed["chunks"], "chunk"), count(healed["files"], "file")
        yield f"information healed: {chunks}, {healed['stored_bytes']:,} bytes, {files}"
    for message in done.warnings:
        yield f"warning {message}"
    ended = f": {done.error['message']}" if done.error else ""
    yield f"{'error' if done.exit_code else 'information'} exit {done.exit_code}{ended}"
