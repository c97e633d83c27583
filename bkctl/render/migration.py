"""What a run with `--migrate` stored anew, or would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.model.migration_words import LACKING
from backupd.sizes import count, format_bytes
from bkctl.text import escape

_SHOWN = 10
"""Snapshots of which the new id is told."""


def migration_lines(run: Mapping[str, Any], is_dry: bool) -> Iterator[str]:
    """Of files that were read again, then of each destination."""
    again = run.get("migrate")
    if again and again["files"]:
        verb = "would be" if is_dry else "were"
        files = f"{count(again['files'], 'file')} ({format_bytes(again['bytes'])})"
        yield f"  {files} cut or named otherwise {verb} read again."
    is_any = False
    for destination in run.get("destinations", []):
        done = destination.get("migration")
        if done is not None:
            yield from _at(escape(str(destination["name"])), done, is_dry)
            is_any |= bool(done["migrated"] and done["migrated"]["blocks"])
            is_any |= bool(done["history"] and done["history"]["rewritten"])
    if is_any:
        yield f"  Old copies go, and their space comes back, with: bkctl free {escape(str(run.get('set')))}"


def _at(name: str, done: Mapping[str, Any], is_dry: bool) -> Iterator[str]:
    planned = done["planned"]
    if done["error"]:
        yield f"  {name}: not all was stored anew: {escape(str(done['error']['message']))}"
    if planned is None:
        return
    yield from _history(name, done["history"], is_dry)
    if not planned["blocks"] and done["history"] and done["history"]["planned"]["snapshots"]:
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


def _history(name: str, history: Mapping[str, Any] | None, is_dry: bool) -> Iterator[str]:
    """Of older snapshots."""
    if history is None:
        return
    planned, rewritten = history["planned"], history["rewritten"]
    if is_dry and planned["snapshots"]:
        size = format_bytes(planned["bytes"])
        snapshots = count(planned["snapshots"], "older snapshot")
        yield f"  {name}: {snapshots} would be written anew: {size} read there, and {size} stored at most."
    if rewritten:
        read, stored = format_bytes(history["read_bytes"]), format_bytes(history["stored_bytes"])
        snapshots = count(len(rewritten), "older snapshot")
        yield f"  {name}: {snapshots} written anew, with new ids: {read} read there, {stored} stored."
        for one in rewritten[:_SHOWN]:
            yield f"    {one['old'][:9]} is {one['new'][:9]} now ({one['time']})"
        if len(rewritten) > _SHOWN:
            yield f"    and {len(rewritten) - _SHOWN} more: --json has them all"
    if history["left"]:
        snapshots = count(len(history["left"]), "older snapshot")
        yield f"  {name}: left as they are, {snapshots}: {escape(str(history['left'][0]['reason']))}"


def _blocks(sums: Mapping[str, int]) -> str:
    return f"{count(sums['blocks'], 'block')} ({format_bytes(sums['bytes'])})"
