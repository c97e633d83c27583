"""Values that runs report: problems with single entries, counts, and how paths look in JSON."""

from __future__ import annotations

import base64
from typing import Any, Literal

from backupd.model.structs import Struct

ProblemKind = Literal["unreadable", "vanished", "changed", "metadata", "unwritable", "skipped", "damaged", "left_out"]


class Problem(Struct, frozen=True, kw_only=True):
    """Something went wrong with one entry of the source or the target; the run went on."""

    path: bytes
    kind: ProblemKind
    message: str


class FileCounts(Struct, frozen=True, kw_only=True):
    """Files of a backup run; every file seen is new, changed or same, or it is a problem."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    same: int = 0
    gone: int = 0
    left_out: int = 0
    attributes: int = 0
    """Among `changed`: their content is as it was."""
    failed: int = 0
    """Could not be read, so they are not stored; each is a problem, too."""


class ByteCounts(Struct, frozen=True, kw_only=True):
    """Bytes of a backup run: in the source, read from it, new among them before compression; and sizes of files."""

    seen: int = 0
    read: int = 0
    new: int = 0
    new_files: int = 0
    changed_files: int = 0
    attributes_files: int = 0
    gone_files: int = 0
    failed_files: int = 0
    """Of the files that are counted under these names."""


def path_fields(path: bytes) -> dict[str, Any]:
    """`path`, and `path_b64` where the name is not UTF-8, as JSON output shows them (CLI.md, Output)."""
    try:
        return {"path": path.decode()}
    except UnicodeDecodeError:
        return {"path": path.decode(errors="backslashreplace"), "path_b64": base64.b64encode(path).decode()}


def shown(path: bytes) -> str:
    """A path for a terminal or a log: control characters and what is not UTF-8 are escaped."""
    text = path.decode(errors="backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
