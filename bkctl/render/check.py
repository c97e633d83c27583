"""What `check` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.figures import joined
from bkctl.render.given_up import given_up_text, lost_text

_SHORT_ID = 9
"""Letters of an id that lists show."""


def check_lines(result: Mapping[str, Any]) -> list[str]:
    """What was looked at, what is damaged, which files that hits."""
    problems, hits = result.get("problems") or [], result.get("files_hit") or []
    facts = joined(
        [
            count(result.get("snapshots", 0), "snapshot"),
            count(result.get("blocks", 0), "block"),
            count(result.get("chunks", 0), "chunk"),
            f"{format_bytes(result.get('bytes_read', 0))} read",
            format_seconds(result.get("seconds", 0.0)),
        ]
    )
    lines = [f"  {problem['code']}: {problem['object']}: {problem['message']}" for problem in problems]
    if hits:
        lines.append("Files hit:")
        lines += [f"  {hit['snapshot'][:_SHORT_ID]}  {hit['path']}" for hit in hits]
        more = result.get("files_hit_count", len(hits)) - len(hits)
        if more > 0:
            lines.append(f"  and {more:,} more")
    verdict = count(len(problems), "problem") if problems else "no problems"
    rebuilt = result.get("rebuilt")
    if rebuilt:
        lines.append(f"Index made anew: {joined(f'{name} {_figure(value)}' for name, value in rebuilt.items())}.")
    healed = result.get("healed")
    if healed:
        lines.append(_healed_line(healed))
    lines += [_healed_object(one["object"], one["place"]) for one in result.get("healed_objects") or []]
    lines += [line for one in result.get("decisions") or [] for line in _decision_lines(one)]
    now = {one["set_id"]: one["files"] for one in result.get("decisions") or [] if one["state"] == "given_up"}
    for one in result.get("given_up") or []:
        # What was told as given up by this check is not told once more.
        if now.get(one["set_id"]) != one["files"]:
            lines.append(f"Given up as lost so far of {one['set']} in {one['destination']}: {given_up_text(one)}.")
    return [*lines, f"{facts}: {verdict}."]


def _decision_lines(decision: Mapping[str, Any]) -> list[str]:
    """What is lost of a set, and what becomes of that."""
    files = f"{lost_text(decision['files'], decision['bytes'])} of {decision['of_files']:,}"
    where = f"{decision['set']} in {decision['destination']}"
    if decision["state"] == "given_up":
        return [f"Given up as lost: {files} of {where}."]
    facts = joined(
        [
            f"index items {decision['index_items']:,}",
            f"damaged items {decision['damaged_items']:,}",
            f"broken blocks {decision['broken_blocks']:,}",
            f"statistics {'right' if decision['statistics_agree'] else 'wrong'}",
        ]
    )
    head = "Needs a decision" if decision["state"] == "waits" else "Damaged"
    return [f"{head}: {files} of {where}; {facts}.", f"  repair, and give up what nobody has: {decision['command']}"]


def _healed_line(healed: Mapping[str, Any]) -> str:
    if not healed["chunks"]:
        return "Repaired: nothing, for no place gives what is damaged."
    sources = joined(f"{count(one['chunks'], 'chunk')} from {one['place']}" for one in healed["sources"])
    facts = joined([count(healed["files"], "file"), f"{format_bytes(healed['stored_bytes'])} stored again", sources])
    return f"Repaired: {facts}."


def _healed_object(name: str, origin: str) -> str:
    if name.startswith(("gc/", "notes/", "damage/")):
        return f"Can't be read: {name}; in its place: {origin}."
    return f"Repaired: {name}, from {origin}."


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
