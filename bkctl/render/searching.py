"""What `set suggest` and `set coverage` found, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.sizes import count, format_bytes
from bkctl.render.table import table
from bkctl.text import escape

_MOST_LINES = 3


def suggested_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A line for each hit, and what they come to."""
    hits = result["hits"]
    if hits:
        rows = [[format_bytes(one["bytes"]), one["changed"][:10], _sets(one), escape(one["path"])] for one in hits]
        yield from table(["SIZE", "CHANGED", "SETS", "FILE"], rows)
    if result["count"] > len(hits):
        yield f"The {len(hits):,} largest of them; --most shows more."
    looked = result["looked_at"]
    among = f"among {count(looked['files'], 'file')} in {count(looked['directories'], 'directory', 'directories')}"
    yield f"{count(result['count'], 'hit')}, {format_bytes(result['bytes'])}, {among}."
    if len(result["by_extension"]) > 1:
        yield ", ".join(f".{escape(end)}: {number:,}" for end, number in result["by_extension"].items())
    problems = result["problems"]
    if problems["count"]:
        yield f"Could not be read: {count(problems['count'], 'directory', 'directories')}, as"
        yield from (f"  {escape(one['path'])}: {escape(one['message'])}" for one in problems["first"][:_MOST_LINES])
    for one in result["passed_over"]:
        yield f"Not searched: {escape(one['path'])}, {escape(one['reason'])}"
    if hits and hits[0]["sets"] is None:
        yield "Searched with your own rights; which sets take them in, nobody was asked."
    elif any(one["sets"] == [] for one in hits):
        yield "Those without a set are backed up by none; --add-to SET takes all of them in."


def covered_lines(result: Mapping[str, Any], *, shows_all: bool) -> Iterator[str]:
    """What is in no set, what is in part, and with all of it the rest. shows_all: whether that is wanted."""
    places = result["places"]
    missing = [one for one in places if one["covered"] == "none"]
    parts = [one for one in places if one["covered"] == "part"]
    if missing:
        yield "In no set:"
        yield from _indented(missing)
    if parts:
        yield "In part:"
        yield from _indented(parts)
    whole = [one for one in places if one["covered"] == "whole"]
    if whole and shows_all:
        yield "In a set:"
        yield from _indented(whole)
    elif whole:
        yield f"In a set: {len(whole)} more; --all shows them."
    for one in result["left_out"] if shows_all else ():
        yield f"Not counted: {escape(one['path'])}, {escape(one['reason'])}"
    if missing:
        yield "Take one in: bkctl set edit SET --add-source PATH"
    elif not parts:
        yield "All mounts, homes and databases are in a set."


def _indented(places: list[dict[str, Any]]) -> Iterator[str]:
    rows = [[one["kind"], escape(one["path"]), escape(one["name"]), _by(one)] for one in places]
    yield from (f"  {line}" for line in table([""] * 4, rows)[1:])


def _by(place: Mapping[str, Any]) -> str:
    said = [", ".join(place["sets"])] if place["sets"] else []
    said += [f"by a stream of {', '.join(place['streams'])}"] if place["streams"] else []
    said += [f"only in {', '.join(place['disabled_sets'])}, disabled"] if place["disabled_sets"] else []
    return "; ".join(said)


def _sets(hit: Mapping[str, Any]) -> str:
    if hit["sets"] is None:
        return "?"
    return ", ".join(hit["sets"]) or "none"
