"""What `set explain` says of paths."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from bkctl.contract.parts import Count, Shown


class ExplainedRule(Shown, kw_only=True):
    """A filter, or a line of a .gitignore file."""

    name: str | None
    text: str
    file: str | None
    """That it stands in; null: in the set."""
    line: Count | None


class ExplainedTolerance(Shown, kw_only=True):
    """The tolerance rule that decides of one kind of trouble."""

    kind: Literal["changed", "vanished", "unreadable", "live"]
    tolerance: Literal["ok", "warn", "fail"]
    place: Count
    """Of the rule in the set's `tolerate`, from 1."""
    name: str | None
    text: str


class ExplainedPath(Shown, kw_only=True):
    """What becomes of one path."""

    path: str
    path_b64: str | UnsetType = UNSET
    included: bool
    exists: bool
    hidden: bool
    """Nobody who looked for it may see whether it exists."""
    reason: Literal[
        "source",
        "no_source",
        "followed",
        "filter",
        "left_out",
        "marker",
        "cachedir_tag",
        "type",
        "gitignore",
        "unmatched",
        "file_system",
        "unreadable",
        "stream",
        "no_rule",
    ]
    message: str
    rule: ExplainedRule | None
    decided_at: str | None
    """The directory above it for which that was decided; null: the path itself."""
    source: str | None
    """That it lies in."""
    shortcut: str | None
    """By which the set names that source; null: by its path."""
    link: str | None
    """That leads to that source, which is stored for it alone."""
    tolerance: list[ExplainedTolerance]
    """Of kinds that a rule speaks of; all else fails, and of files of running databases a run warns."""


class Explained(Shown, kw_only=True):
    """Of `set explain`."""

    set: str
    paths: list[ExplainedPath]
