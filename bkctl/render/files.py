"""States of files as text and as JSON output shows them."""

from __future__ import annotations

from typing import Any

from backupd.model.files import FileState
from backupd.model.results import path_fields, shown
from backupd.sizes import count
from bkctl.text import escape

_WORDS = {"left_out": "left out"}


def file_document(one: FileState) -> dict[str, Any]:
    """The state of a file as JSON output shows it."""
    return {
        **path_fields(one.path),
        "state": one.state,
        "reason": one.reason or None,
        "files": one.files,
        "destination": one.destination or None,
    }


class FileLines:
    """Lines of one job's files; each destination's begin with its name."""

    def __init__(self) -> None:
        self._destination = ""

    def of(self, one: FileState) -> list[str]:
        """The lines of the next file."""
        is_next = one.destination not in ("", self._destination)
        if is_next:
            self._destination = one.destination
        return [f"Destination {escape(one.destination)}:"] * is_next + [_line(one)]


def _line(one: FileState) -> str:
    """As `stored     /srv/photos/1.jpg`."""
    path = shown(one.path)
    if path.endswith("/"):
        path += f" ({count(one.files, 'file')})"
    reason = f": {escape(one.reason)}" if one.reason else ""
    return f"{_WORDS.get(one.state, one.state):<9}  {path}{reason}"
