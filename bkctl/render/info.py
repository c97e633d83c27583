"""What `info` prints, and facts of any kind as `key: value` lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backupd.model.api import DestinationView, Overview
from backupd.sizes import format_bytes
from bkctl.render.times import rfc3339
from bkctl.text import moment, pairs

_KIBIBYTE = 1024


def info_lines(result: Mapping[str, Any]) -> list[str]:
    """One fact a line, in the order given."""
    repository = result.get("repository")
    is_uncounted = repository is not None and repository["areas"] is None
    unknown = "repository.areas: not counted yet; bkctl free does it, beside what it frees"
    return [*fact_lines(result), *([unknown] if is_uncounted else [])]


def daemon_facts(overview: Overview, destinations: Sequence[DestinationView]) -> dict[str, Any]:
    """The daemon as JSON output shows it."""
    return {
        "version": overview.version,
        "api": overview.api,
        "pid": overview.pid,
        "started": rfc3339(overview.started_ns),
        "socket": overview.socket,
        "config": overview.config,
        "state": overview.state,
        "jobs_running": overview.jobs_running,
        "jobs_queued": overview.jobs_queued,
        "roles": overview.roles,
        "destinations": {one.text.name: one.text.place for one in destinations},
        "warnings": overview.warnings,
    }


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """`key: value` lines; facts of facts are joined by a dot.

    Stamps in nanoseconds are for programs: only `--json` shows them.
    """
    return pairs(_flat("", facts))


def _flat(prefix: str, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        key = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            lines += _flat(f"{key}.", value)
        elif value is not None and not name.endswith("_ns"):
            lines.append((key, _shown(name, value)))
    return lines


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (name == "bytes" or name.endswith("_bytes")):
        return f"{format_bytes(value)} ({value:,} bytes)" if value >= _KIBIBYTE else format_bytes(value)
    if isinstance(value, int):
        return str(value) if name == "pid" else f"{value:,}"
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value) or "none"
    if isinstance(value, str) and (name in ("time", "created", "started") or name.endswith("_at")):
        return moment(value)
    return str(value)
