"""What a run with `--migrate` stored anew, or would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.model.migration_words import LACKING
from backupd.sizes import format_bytes
from bkctl.text import count, escape


def migration_lines(run: Mapping[str, Any], is_dry: bool) -> Iterator[str]:
    """Of files that were read again, then of each destination."""
    again = run.get("migrate")
    if again and again["files"]:
        verb = "would be" if is_dry else "were"
        files = f"{count(again['files'], 'file')} ({format_bytes(again['bytes'])})"
        yield f"  {files} cut or named otherwise {verb} read again; older snapshots keep theirs as they are."
    is_any = False
    for destination in run.get("destinations", []):
        done = destination.get("migration")
        if done is not None:
            yield from _at(escape(str(destination["name"])), done, is_dry)
            is_any |= bool(done["migrated"] and done["migrated"]["blocks"])
    if is_any:
        yield f"  Old copies go, and their space comes back, with: bkctl free {escape(str(run.get('set')))}"


def _at(name: str, done: Mapping[str, Any], is_dry: bool) -> Iterator[str]:
    planned = done["planned"]
    if done["error"]:
        yield f"  {name}: not all was stored anew: {escape(str(done['error']['message']))}"
    if planned is None:
        return
    if not planned["blocks"]:
        yield f"  {name}: all is stored as the set wants it."
        return
    reasons = "; ".join(f"{format_bytes(size)} {LACKING[reason]}" for reason, size in planned["reasons"].items())
    if is_dry:
        yield f"  {name}: {_blocks(planned)} would be stored anew: {reasons}."
        return
    left = f", {_blocks(done['left'])} left for the next run" if done["left"]["blocks"] else ""
    yield f"  {name}: {_blocks(done['migrated'])} stored anew in {format_bytes(done['stored_bytes'])}{left}: {reasons}."


def _blocks(sums: Mapping[str, int]) -> str:
    return f"{count(sums['blocks'], 'block')} ({format_bytes(sums['bytes'])})"
