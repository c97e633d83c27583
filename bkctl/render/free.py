"""What `free` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.sizes import format_bytes, format_seconds
from bkctl.render.figures import joined
from bkctl.text import count


def free_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What was freed, what is held, what waits and until when."""
    before, after = result["before"], result["after"]
    retained = result.get("retention")
    if retained and retained["dropped"]:
        would = "would be dropped" if result["dry_run"] else "dropped"
        yield f"{count(retained['dropped'], 'snapshot')} {would}, {retained['kept']:,} kept ({retained['policy']})."
    if result["dry_run"]:
        planned = result["planned_bytes"]
        yield f"{format_bytes(planned)} of {format_bytes(before['stored_bytes'])} can be freed; nothing was changed."
        yield _held(before)
        yield from _waits(result)
        return
    deleted, rewritten = result["deleted"], result["rewritten"]
    facts = [
        f"{count(deleted['blocks'], 'block')} deleted",
        f"{count(rewritten['blocks'], 'block')} written anew" * bool(rewritten["blocks"]),
        format_seconds(result["seconds"]),
    ]
    yield f"{format_bytes(max(0, result['freed_bytes']))} freed: {joined(facts)}."
    yield f"{_held(before)} {format_bytes(after['stored_bytes'])} are stored now."
    yield from _waits(result)
    if rewritten["put_off"]:
        yield f"{count(rewritten['put_off'], 'block')} could not be written anew: there is too little room for copies."


def _waits(result: Mapping[str, Any]) -> Iterator[str]:
    """What is held back, until when, and what gives it free then."""
    for waiting in result["waiting"]:
        # What is locked says it in its own words, for more than one day.
        until = f" (until {waiting['until']})" if waiting["until"] and waiting["what"] != "lock" else ""
        yield f"Waits{until}: {waiting['reason']}."
    if result["waiting"]:
        yield "What waits is given free by a `bkctl free` after that."


def _held(held: Mapping[str, int]) -> str:
    return (
        f"The newest snapshots need {format_bytes(held['data_bytes'])}, "
        f"older ones {format_bytes(held['retention_bytes'])} besides."
    )
