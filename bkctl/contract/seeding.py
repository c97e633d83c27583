"""Results of seeding a destination from a disk."""

from __future__ import annotations

from typing import Literal

from bkctl.contract.checks import BadObject
from bkctl.contract.parts import Bytes, Count, Error, ExitCode, JobId, RepositoryId, Seconds, Shown, SnapshotId


class SeededSet(Shown, kw_only=True):
    """One set on the disk."""

    set: str | None
    job: JobId
    kind: Literal["backup", "replicate"]
    """Its first backup, or a copy from another destination."""
    exit: ExitCode
    repository: RepositoryId | None
    """The folder on the disk; null: nothing was written."""
    snapshots: list[SnapshotId]
    """Written now; those that a repeated command found there are not among them."""
    stored_bytes: Bytes
    error: Error | None


class Seeded(Shown, kw_only=True):
    """Of `destination seed`."""

    destination: str
    place: str
    """Directory on the disk."""
    sets: list[SeededSet]


class ArrivedBlocks(Shown, kw_only=True):
    """Blocks at a destination that is seeded."""

    listed: Count
    """By the index."""
    listed_bytes: Bytes
    missing: Count
    wrong_size: Count
    sampled: Count
    """Drawn, and every byte of them verified."""
    sampled_bytes: Bytes
    damaged: Count
    """Of those drawn."""


class AdoptedSet(Shown, kw_only=True):
    """What a set's copy was found to be."""

    set: str
    repository: RepositoryId
    adopted: bool
    """False: it did not arrive whole, and its destination is seeding still."""
    snapshots: Count
    blocks: ArrivedBlocks
    problems: list[BadObject]
    seconds: Seconds


class Adopted(Shown, kw_only=True):
    """Of `destination adopt`."""

    destination: str
    sets: list[AdoptedSet]
    """But for those that could not be looked at; the error says why."""
