"""Filters as people write them in a set's text, and the rules that a set has beside them (docs/filters.md)."""

from __future__ import annotations

from typing import Literal

import msgspec

from backupd.model.structs import Strict, Text

PatternKind = Literal["starts_with", "ends_with", "contains", "exact", "glob", "regex"]
PATTERN_KINDS: tuple[PatternKind, ...] = ("starts_with", "ends_with", "contains", "exact", "glob", "regex")


class FilterText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One filter; the first that matches decides. One of `exclude`, `include`, `file` and `action`."""

    exclude: str | None = None
    """A glob."""
    include: str | None = None
    """A glob."""
    file: str | None = None
    """Path of a file with a filter a line."""
    action: Literal["exclude", "include"] | None = None
    """What becomes of what one of the lists of patterns matches; without patterns: of all that the rest fits."""
    name: str | None = None
    enabled: bool = True
    starts_with: list[str] = []
    ends_with: list[str] = []
    contains: list[str] = []
    exact: list[str] = []
    glob: list[str] = []
    regex: list[str] = []
    of: Literal["files", "directories", "both"] = "both"
    ignore_case: bool = False
    below: str | None = msgspec.field(default=None, name="in")
    """Absolute path of a directory: it counts for what lies in there; none: everywhere."""
    larger_than: str | None = None
    """A size; of regular files alone, as the three that follow are of files alone."""
    smaller_than: str | None = None
    older_than: str | None = None
    """A duration since the file was changed last."""
    newer_than: str | None = None


class FilterWords(Strict, frozen=True, kw_only=True):
    """What a set leaves out beside what its filters do."""

    unmatched: Literal["include", "exclude"] = "include"
    only_types: list[str] = []
    never_types: list[str] = []
    markers: list[str] = []
    cachedir_tag: bool = False
    gitignore: bool = False
