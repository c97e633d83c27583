"""What `purge` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backupd.sizes import count, format_bytes
from bkctl.render.figures import joined
from bkctl.text import escape, moment, table

_MOST_SNAPSHOTS = 20


def purge_lines(result: Mapping[str, Any], again: str) -> Iterator[str]:
    """What would go at each place, or went, and what to do next. again: the command, to be given with a plan."""
    for entry in result["places"]:
        if "plan" not in entry:
            error = entry["error"] or {}
            stays = " What lies there stays." * str(error.get("code", "")).startswith("destination.")
            yield f"{escape(entry['destination'])}: {escape(error.get('message', ''))}.{stays}"
        elif result["dry_run"]:
            yield from _planned(entry)
        else:
            yield from purged_lines(entry)
    if result["dry_run"] and result["plan"]:
        yield f"Just this: {escape(again)} --apply {result['plan']} --yes"


def _planned(entry: Mapping[str, Any]) -> Iterator[str]:
    counts, size = entry["counts"], entry["bytes"]
    yield f"{escape(entry['destination'])}:"
    if entry["is_whole"]:
        yield f"  all of repository {entry['repository'][:9]}: {count(counts['dropped'], 'snapshot')}" + (
            f" of {', '.join(escape(one['name'] or '-') for one in entry['sets'])}" * bool(entry["sets"])
        )
        yield f"  {count(counts['objects'], 'object')}, {format_bytes(size['stored'])}; its keys go first"
        return
    if not entry["snapshots"]:
        yield "  nothing of it is stored any more; what takes space for nobody is given back"
        return
    rows = [
        (one["short"], moment(one["time"]), one["set"], _what(one), f"{one['files']:,}", format_bytes(one["bytes"]))
        for one in entry["snapshots"][:_MOST_SNAPSHOTS]
    ]
    header = ("ID", "TIME", "SET", "", "FILES", "SIZE")
    yield from (f"  {line}" for line in table(rows, header, frozenset({4, 5})))
    more = len(entry["snapshots"]) - len(rows)
    if more:
        yield f"  and {count(more, 'more snapshot')}"
    yield f"  {_counted(entry)}"
    shared = f"; {format_bytes(size['shared'])} stay, for others need them too" * bool(size["shared"])
    yield f"  {format_bytes(size['stored'])} of what is stored is needed by nothing else{shared}"


def _what(one: Mapping[str, Any]) -> str:
    words = ["deleted" if one["action"] == "drop" else f"written anew without {count(len(one['paths']), 'path')}"]
    return ", ".join([*words, *["pinned"] * one["pinned"], *["incomplete"] * one["incomplete"]])


def _counted(entry: Mapping[str, Any]) -> str:
    counts = entry["counts"]
    return joined(
        [
            f"{count(counts['dropped'], 'snapshot')} deleted" * bool(counts["dropped"]),
            f"{count(counts['rewritten'], 'snapshot')} written anew" * bool(counts["rewritten"]),
            f"{counts['kept']:,} not touched",
        ]
    )


def purged_lines(entry: Mapping[str, Any]) -> Iterator[str]:
    """What was done at one place."""
    name = escape(str(entry.get("destination") or entry["place"]))
    freed = format_bytes(max(0, entry["freed_bytes"]))
    if entry["is_whole"]:
        if entry["deleted"]["blocks"] or entry["changed"]:
            yield f"{name}: repository {entry['repository'][:9]} is deleted, its keys first; {freed} freed."
        kept = entry.get("kept_key")
        if kept is not None:
            yield f"Its key is still kept in {escape(kept)}; where it lies nowhere else, it opens nothing any more."
    elif entry["snapshots"]:
        yield f"{name}: {_counted(entry)}; {freed} freed."
    else:
        yield f"{name}: nothing of it was stored any more; {freed} freed."
    for waiting in entry["waiting"]:
        until = f" (until {waiting['until']})" if waiting["until"] else ""
        yield f"Waits{until}: {escape(waiting['reason'])}."
    if entry["waiting"] and not entry["is_whole"]:
        yield "What waits is given free by the next `bkctl free`."
    evidence = entry.get("evidence")
    if evidence is not None:
        yield f"Signed list: {escape(evidence['file'])}, by the key {evidence['fingerprint']} of this host."
