"""What `set suggest` and `set coverage` found."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from bkctl.contract.parts import Base64, Bytes, Count, Escaped, Nothing, Problems, Shown, Time


class Hit(Shown, kw_only=True):
    """A file that was looked for."""

    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    bytes: Bytes
    changed: Time
    sets: list[str] | None
    """That take it in; null: no daemon was asked."""


class LookedAt(Shown, kw_only=True):
    """How much was looked through."""

    directories: Count
    files: Count


class PassedOver(Shown, kw_only=True):
    """A mount that was not looked at."""

    path: Escaped
    reason: str


class Suggested(Shown, kw_only=True):
    """Of `set suggest`."""

    hits: list[Hit]
    """The largest, `--most` of them, largest first."""
    next: Nothing
    count: Count
    """Of all hits, those not in the list too."""
    bytes: Bytes
    by_extension: dict[str, Count]
    looked_at: LookedAt
    passed_over: list[PassedOver]
    problems: Problems
    """Directories that could not be read."""
    changed: bool | UnsetType = UNSET
    """With `--add-to`."""
    dry_run: bool | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET
    added: Count | UnsetType = UNSET
    """Files that are sources of the set now."""


class CoveredPlace(Shown, kw_only=True):
    """Something that somebody may want backed up."""

    kind: Literal["mount", "home", "database"]
    path: Escaped
    name: str
    """Type of the file system, login name, or kind of the database."""
    covered: Literal["whole", "part", "none"]
    sets: list[str]
    streams: list[str]
    """Sets with a stream of this kind of database."""
    disabled_sets: list[str]
    """That would take it in and rest; where no other does."""


class Covered(Shown, kw_only=True):
    """Of `set coverage`."""

    places: list[CoveredPlace]
    next: Nothing
    uncovered: Count
    """Places that are in no set, not even in part."""
    left_out: list[PassedOver]
    """Mounts that nobody has to back up."""
