"""Statistics of what is stored, as several results have them."""

from __future__ import annotations

from bkctl.contract.parts import Bytes, Count, Shown, Time


class StoredArea(Shown, kw_only=True):
    """One of the two areas of a set."""

    files: Count
    """Of the retention area: versions of files that a snapshot has and the next newer one has not."""
    source_bytes: Bytes
    plain_bytes: Bytes
    """After deduplication."""
    compressed_bytes: Bytes
    """After compression, too."""
    stored_bytes: Bytes
    """With trees and all that blocks have besides."""


class Savings(Shown, kw_only=True):
    """What the sources have and the destination has not."""

    deduplication_bytes: int
    compression_bytes: int


class CountedAreas(Shown, kw_only=True):
    """The areas of a set at a destination, as the last freeing or check counted them."""

    as_of: Time
    current: bool
    """Whether there was no newer snapshot since."""
    data: StoredArea
    """What the newest snapshot holds."""
    retention: StoredArea
    """What only older ones hold."""
    savings: Savings


class SetAreas(Shown, kw_only=True):
    """What a set holds at a destination."""

    set: str
    set_id: str
    snapshot: str | None
    """The newest complete one."""
    data: StoredArea
    retention: StoredArea


class StoredStatistics(Shown, kw_only=True):
    """What is stored when a freeing has ended."""

    repository: str
    as_of: Time
    as_of_ns: int
    stored_bytes: Bytes
    sets: list[SetAreas]
    of: str
    """The same for the same snapshots."""


class AreasBefore(Shown, kw_only=True):
    """What was counted of a set before."""

    data: StoredArea
    retention: StoredArea


class RecountedSet(SetAreas, kw_only=True):
    """What a check counted of a set, beside what was counted before."""

    before: AreasBefore | None
    """None: nothing was."""
    agree: bool | None
    """Whether files, source bytes and deduplicated bytes are the same; null: snapshots came or went since."""


class RecountedAreas(Shown, kw_only=True):
    """What a check counted of a repository of which it walked all snapshots, and nothing is lost."""

    repository: str
    as_of: Time
    as_of_ns: int
    stored_bytes: Bytes
    sets: list[RecountedSet]
    of: str
    """The same for the same snapshots."""
    before_as_of: Time | None
    """When a freeing or a check of this host counted before."""
