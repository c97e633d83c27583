"""What `destination replicate` prints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from backupd.model.sets import SetText
from backupd.sizes import count, format_bytes, format_seconds
from bkctl.render.figures import counted, joined
from bkctl.text import escape

_MOST_FILES = 10


def replicate_lines(result: Mapping[str, Any], text: SetText | None = None) -> Iterator[str]:
    """What was copied, what was not and why, what to do next. text: of the set, where a daemon knows it."""
    snapshots, place = result["snapshots"], escape(result["to"])
    for failed in result["failed"]:
        yield f"  not copied: {_name(failed)}: {escape(failed['message'])}"
        yield from (f"    {escape(one['path'])}" for one in failed["files"][:_MOST_FILES])
        if failed["files_count"] > _MOST_FILES:
            yield f"    and {failed['files_count'] - _MOST_FILES:,} more"
    for skipped in result["skipped"]:
        yield f"  skipped: {escape(skipped['set'])}: {escape(skipped['reason'])}"
    rest = [
        f"{snapshots['there']:,} there already" * bool(snapshots["there"]),
        f"{snapshots['failed']:,} not copied" * bool(snapshots["failed"]),
        counted(snapshots["partial"], "partial one") + " left" * bool(snapshots["partial"]),
        f"{format_bytes(result['bytes']['copied'])} stored",
        format_seconds(result["seconds"]),
    ]
    copied = count(snapshots["copied"], "snapshot")
    yield f"{copied} copied from {escape(result['from'])} to {place}: {joined(rest)}."
    if result["failed"]:
        yield "What is damaged is not copied. See what is hit: bkctl check --crc --from " + shlex.quote(result["from"])
    has_some = snapshots["copied"] or snapshots["there"]
    if has_some and text is not None and result["to"] not in text.to:
        yield f"New backups go there, too, after: bkctl set edit {text.name} --add-to {shlex.quote(result['to'])}"
    elif has_some and text is None:
        yield f"All back from there: bkctl restore --from {shlex.quote(result['to'])} --to restored"


def _name(failed: Mapping[str, Any]) -> str:
    if failed["id"] is None:
        return "a snapshot"
    return f"{failed['short']} of {escape(failed['set'])}, {failed['time']}"
