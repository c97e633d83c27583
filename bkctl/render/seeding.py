"""What `destination seed` and `destination adopt` print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.model.api import DestinationView
from backupd.model.jobs import JobView
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.destinations import place_line
from bkctl.session import Reply
from bkctl.text import escape

_MOST_PROBLEMS = 10


def seeded_document(job: JobView, reply: Reply) -> dict[str, Any]:
    """One set on the disk, of a backup's or a replication's result."""
    result = reply.result or {}
    runs = result.get("runs") or []
    if job.kind == "backup":
        repository = (result.get("repository") or {}).get("id")
        snapshots = [run["snapshot"] for run in runs if run.get("snapshot")]
        stored = sum(one.get("stored_bytes") or 0 for run in runs for one in run.get("destinations") or [])
    else:
        repository = result.get("repository") or None
        snapshots = [one["id"] for one in result.get("copied") or []]
        stored = (result.get("bytes") or {}).get("copied", 0)
    return {
        "set": job.set_name,
        "job": job.id,
        "kind": job.kind,
        "exit": reply.exit_code,
        "repository": repository,
        "snapshots": snapshots,
        "stored_bytes": stored,
        "error": reply.error,
    }


def seeded_lines(stored: DestinationView, result: Mapping[str, Any]) -> Iterator[str]:
    """What is on the disk and what to do with it."""
    name = stored.text.name
    folders = [one["repository"] for one in result["sets"] if one["repository"] is not None]
    yield f"{name} is seeding: runs of these sets pass it over until it is adopted."
    if folders:
        yield f"1. Carry the disk to {name}."
        for folder in folders:
            yield f"2. Copy the folder {folder} from {escape(result['place'])} to {place_line(stored.text)}."
        yield f"3. bkctl destination adopt {name}"
    if any(one["exit"] for one in result["sets"]):
        yield "Not all went well, see above: give the same command again, it goes on."


def cancelled_lines(stored: DestinationView) -> list[str]:
    """What that means."""
    name = stored.text.name
    if stored.seeding is None:
        return [f"{name} awaited no disk."]
    return [f"{name} awaits no disk any longer; the next run goes there. What lies in {stored.seeding.place} stays."]


def adopted_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Figures, and what is wrong."""
    blocks = result["blocks"]
    for problem in result["problems"][:_MOST_PROBLEMS]:
        yield f"  {escape(problem['object'])}: {escape(problem['message'])}"
    if len(result["problems"]) > _MOST_PROBLEMS:
        yield f"  and {len(result['problems']) - _MOST_PROBLEMS:,} more"
    facts = (
        f"{count(result['snapshots'], 'snapshot')}, {count(blocks['listed'], 'block')} of "
        f"{format_bytes(blocks['listed_bytes'])} listed, {blocks['missing']:,} missing, "
        f"{blocks['wrong_size']:,} of a wrong size; {blocks['sampled']:,} read whole, {blocks['damaged']:,} damaged; "
        f"{format_seconds(result['seconds'])}"
    )
    yield f"{escape(result['set'])}: {facts}."
    if result["adopted"]:
        yield "Adopted: the next run sends only what changed."
