"""Jobs and their logs as text and as JSON output shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backupd.model.api import JobList
from backupd.model.jobs import JobView, LogLine
from backupd.model.results import path_fields, shown
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.check import check_lines
from bkctl.render.free import free_lines
from bkctl.render.once import once_lines
from bkctl.render.purge import purged_lines
from bkctl.render.replicate import replicate_lines
from bkctl.render.restore import restore_lines
from bkctl.render.table import table
from bkctl.render.times import rfc3339
from bkctl.render.times import shown as shown_time
from bkctl.render.traffic import traffic_lines

SEVERITIES = ("information", "warning", "error")


def document(job: JobView) -> dict[str, Any]:
    """A job as JSON output shows it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "set": job.set_name,
        "state": job.state,
        "caller": job.caller,
        "schedule": job.schedule,
        "created": rfc3339(job.created_ns),
        "started": rfc3339(job.started_ns) if job.started_ns is not None else None,
        "finished": rfc3339(job.finished_ns) if job.finished_ns is not None else None,
        "seconds": seconds(job),
        "exit": job.exit_code,
        "waits_for": job.waits_for or None,
        "progress": job.progress,
        "result": job.result,
        "error": job.error,
        "warnings": job.warnings,
    }


def seconds(job: JobView) -> float | None:
    """How long it ran."""
    if job.started_ns is None or job.finished_ns is None:
        return None
    return round((job.finished_ns - job.started_ns) / 1e9, 3)


def list_lines(found: JobList) -> list[str]:
    """A table, the newest first."""
    if not found.jobs:
        return ["No job yet. Run a set: bkctl backup SET"]
    rows = [
        [
            job.id[:9],
            job.kind,
            job.set_name or "-",
            job.state,
            shown_time(job.created_ns),
            _took(job),
            (job.error or {}).get("message") or job.waits_for,
        ]
        for job in found.jobs
    ]
    lines = table(["JOB", "KIND", "SET", "STATE", "BEGUN", "TOOK", ""], rows)
    return [*lines, f"More: bkctl job list --after {found.next}"] if found.next else lines


def show_lines(job: JobView) -> list[str]:
    """One job: what it is, where it stands, what came of it."""
    lines = [f"Job {job.id[:9]}: {job.kind} of {job.set_name or 'no set'}, {job.state}"]
    by = f"schedule {job.schedule}" if job.schedule is not None else job.caller
    lines.append(f"  {'due by' if job.state == 'missed' else 'asked for by'} {by}, {shown_time(job.created_ns)}")
    if job.waits_for:
        lines.append(f"  waits for {job.waits_for}")
    progress = job.progress
    if progress is not None and job.finished_ns is None:
        lines.append(
            f"  {progress['step']}: {count(progress['files_done'], 'file')}, {format_bytes(progress['bytes_done'])},"
            f" {format_bytes(progress['bytes_stored'])} stored"
        )
    if job.error is not None:
        lines.append(f"  exit {job.exit_code}: {job.error.get('message', '')}")
    lines += [f"  {line}" for line in result_lines(job.result or {})]
    lines += [f"  {line}" for line in traffic_lines(job.result or {})]
    return [*lines, f"Its log: bkctl job log {job.id[:9]}"]


def result_lines(result: Mapping[str, Any]) -> list[str]:
    """What a job of any kind came to."""
    if "runs" in result:
        return once_lines(result)
    if "from" in result:
        return list(replicate_lines(result))
    if "is_whole" in result:
        return list(purged_lines(result))
    if "freed_bytes" in result:
        return list(free_lines(result))
    if "restored" in result or "files" in result:
        return list(restore_lines(result))
    return list(check_lines(result)) if result else []


def log_document(line: LogLine) -> dict[str, Any]:
    """A line of the log as JSON output shows it."""
    fields = path_fields(line.path) if line.path is not None else {}
    return {
        "n": line.n,
        "time": rfc3339(line.time_ns),
        "severity": line.severity,
        "step": line.step,
        "message": line.message,
        **fields,
    }


def log_line(line: LogLine) -> str:
    """A line of the log as text."""
    label = "" if line.severity == "information" else f"{line.severity}: "
    where = f"{shown(line.path)}: " if line.path is not None else ""
    return f"{shown_time(line.time_ns)}  {label}{where}{line.message}"


def _took(job: JobView) -> str:
    found = seconds(job)
    return format_seconds(found) if found is not None else "-"
