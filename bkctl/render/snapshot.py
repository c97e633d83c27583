"""What `snapshot …` prints."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Any

from backupd.sizes import count, format_bytes
from bkctl.render.info import fact_lines
from bkctl.text import moment, table

_KIND_BITS = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "character_device": stat.S_IFCHR,
    "block_device": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
}
_SIGNS = {"added": "+", "removed": "-", "changed": "M", "metadata": "m"}


def list_lines(result: Mapping[str, Any]) -> list[str]:
    """A table, oldest first."""
    rows = [
        (
            snapshot["short"],
            moment(snapshot["time"]),
            snapshot["set"],
            snapshot["host"],
            f"{snapshot['files']:,}",
            format_bytes(snapshot["bytes"]),
            format_bytes(snapshot["stored_bytes"]),
            _remarks(snapshot),
        )
        for snapshot in result["snapshots"]
    ]
    header = ("ID", "TIME", "SET", "HOST", "FILES", "SIZE", "STORED", "")
    return table(rows, header, frozenset({4, 5, 6})) or ["No snapshots."]


def show_lines(result: Mapping[str, Any]) -> list[str]:
    """One fact a line."""
    return fact_lines(result)


def entry_line(entry: Mapping[str, Any]) -> str:
    """One entry, as `ls -l` shows it."""
    mode = stat.filemode(_KIND_BITS.get(entry["kind"], 0) | entry["mode"])
    owner, group = str(entry.get("owner") or entry["uid"]), str(entry.get("group") or entry["gid"])
    return f"{mode}  {owner:<8}  {group:<8}  {entry['size']:>14,}  {moment(entry['mtime'])}  {entry['path']}"


def change_line(change: Mapping[str, Any]) -> str:
    """One difference: `+` added, `-` removed, `M` changed, `m` metadata only."""
    sizes = ""
    before, after = change.get("size_before"), change.get("size_after")
    if change["change"] == "changed" and before is not None and after is not None:
        sizes = f"  ({format_bytes(before)} -> {format_bytes(after)})"
    return f"{_SIGNS.get(change['change'], '?')}  {change['path']}{sizes}"


def versions_lines(result: Mapping[str, Any]) -> list[str]:
    """A table, oldest first, its numbers fit for `restore --pick`."""
    rows = [
        (str(v["number"]), moment(v["time"]), v["short"], f"{v['size']:,}", moment(v["mtime"]), v["path"])
        for v in result["versions"]
    ]
    header = ("NO", "SNAPSHOT OF", "ID", "SIZE", "MODIFIED", "PATH")
    return table(rows, header, frozenset({0, 3})) or ["No versions."]


def no_lines(_result: Mapping[str, Any]) -> list[str]:
    """Nothing: the items or bytes went out already."""
    return []


def _remarks(snapshot: Mapping[str, Any]) -> str:
    tags = [f"{key}={value}" for key, value in (snapshot.get("tags") or {}).items()]
    words = ["incomplete"] * bool(snapshot.get("incomplete")) + ["pinned"] * bool(snapshot.get("pinned"))
    lost = snapshot.get("lost")
    words += [f"{count(lost['files'], 'file')} lost"] if lost else []
    words += [f"{count(snapshot.get('purged_paths', 0), 'path')} purged"] * bool(snapshot.get("purged_paths"))
    return " ".join(words + tags)
