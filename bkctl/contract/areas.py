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
    """The areas of a set at a destination, as the last freeing counted them."""

    as_of: Time
    current: bool
    """Whether there was no newer snapshot since."""
    data: StoredArea
    """What the newest snapshot holds."""
    retention: StoredArea
    """What only older ones hold."""
    savings: Savings
