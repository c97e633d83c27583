"""What a run may know of changes in its sources."""

from __future__ import annotations

from backupd.model.structs import Strict


class WatchedSince(Strict, frozen=True, kw_only=True):
    """What is known of the sources' changes by those who watched them, since a run that had a token of theirs.

    Where a destination's file cache is of another run, all is looked at.
    """

    token: bytes
    """Of this run, drawn: the next one may go by its cache."""
    since: bytes = b""
    """Of the run since which all changes are known; empty: of none."""
    directories: list[bytes] = []
    """Of which entries came, went or changed."""
    trees: list[bytes] = []
    """Of directories that came: nothing below them is known."""
