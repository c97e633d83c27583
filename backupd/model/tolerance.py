"""What becomes of files of a set that change, vanish or can't be read while they are backed up (docs/tolerance.md)."""

from __future__ import annotations

from typing import Literal

import msgspec

from backupd.model.structs import Number, Strict, Text

Tolerance = Literal["ok", "warn", "fail"]
TolerableKind = Literal["changed", "vanished", "unreadable", "live"]
TOLERABLE: tuple[TolerableKind, ...] = ("changed", "vanished", "unreadable", "live")
DROP_WARNING = "50%"
"""Of a set that says nothing else."""


class ToleranceText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule; of those that match and speak of what happened, the first decides."""

    path: str | None = None
    """A glob; it or one list of patterns, or neither: all paths."""
    starts_with: list[str] = []
    ends_with: list[str] = []
    contains: list[str] = []
    exact: list[str] = []
    glob: list[str] = []
    regex: list[str] = []
    ignore_case: bool = False
    below: str | None = msgspec.field(default=None, name="in")
    """Absolute path of a directory: it counts for what lies in there; none: everywhere."""
    changed: Tolerance | None = None
    """While it was read."""
    vanished: Tolerance | None = None
    unreadable: Tolerance | None = None
    live: Literal["ok", "warn"] | None = None
    """Whether a run warns of files of a running database."""
    name: str | None = None
    """For messages."""
    enabled: bool = True


class ToleranceOrder(Strict, frozen=True, kw_only=True):
    """What of it a job is told."""

    rules: list[ToleranceText] = []
    drop_permille: Number = 500
    """So many of a thousand files of the last snapshot have to be gone for a warning; 0: it is never given."""
