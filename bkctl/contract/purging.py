"""Results of deleting backup data."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from bkctl.contract.freeing import WaitsFor
from bkctl.contract.parts import (
    Base64,
    Bytes,
    Count,
    Error,
    Escaped,
    JobId,
    Named,
    RepositoryId,
    SetId,
    Shown,
    Time,
    Traffic,
)


class PurgeCounts(Shown, kw_only=True):
    """Of a plan, whether it was carried out or not."""

    dropped: Count = 0
    """Snapshots that go."""
    rewritten: Count = 0
    """Snapshots in whose place new ones come."""
    kept: Count = 0
    """Other snapshots of the same sets."""
    files: Count = 0
    """Versions of files, of each snapshot by itself."""
    objects: Count | UnsetType = UNSET
    """Of a whole repository."""


class PurgeBytes(Shown, kw_only=True):
    """Of a plan."""

    source: Bytes = 0
    """Of these files, of each snapshot by itself."""
    stored: Bytes = 0
    """That nothing else needs; of a segment that is needed in part, the part of its chunks by their number."""
    shared: Bytes = 0
    """That other snapshots need too, so that they stay."""


class DeletedBlocks(Shown, kw_only=True):
    """Blocks that are gone."""

    blocks: Count = 0
    bytes: Bytes = 0


class PurgedPath(Shown, kw_only=True):
    """A path that is left out."""

    path: Escaped
    path_b64: Base64 | UnsetType = UNSET


class PurgedSnapshot(Named, kw_only=True):
    """What becomes of one snapshot."""

    action: Literal["drop", "rewrite"]
    pinned: bool
    incomplete: bool
    files: Count
    bytes: Bytes
    paths: list[PurgedPath]
    """The first hundred; of what was done, none."""


class PurgedSet(Shown, kw_only=True):
    """A set that it is about."""

    id: SetId
    name: str | None
    """null: none of its snapshots is left."""


class EvidenceFile(Shown, kw_only=True):
    """The signed list."""

    file: Escaped
    fingerprint: str
    """Of the host's key that signed it."""


class PurgedPlace(Shown, kw_only=True):
    """One place: its plan and what became of it; only `error` where it could not even be looked at."""

    destination: str | UnsetType = UNSET
    """Its name, or the place as it was given."""
    error: Error | None | UnsetType = UNSET
    set: str | None | UnsetType = UNSET
    job: JobId | None | UnsetType = UNSET
    """Of a daemon."""
    changed: bool | UnsetType = UNSET
    diff: dict[str, Any] | UnsetType = UNSET
    """Empty."""
    dry_run: bool | UnsetType = UNSET
    plan: str | UnsetType = UNSET
    place: str | UnsetType = UNSET
    repository: RepositoryId | UnsetType = UNSET
    is_whole: bool | UnsetType = UNSET
    is_begun: bool | UnsetType = UNSET
    """Of a whole repository: an earlier purge was broken off, and its keys may be gone."""
    sets: list[PurgedSet] | UnsetType = UNSET
    counts: PurgeCounts | UnsetType = UNSET
    bytes: PurgeBytes | UnsetType = UNSET
    snapshots: list[PurgedSnapshot] | UnsetType = UNSET
    freed_bytes: int | UnsetType = UNSET
    deleted: DeletedBlocks | UnsetType = UNSET
    waiting: list[WaitsFor] | UnsetType = UNSET
    evidence: EvidenceFile | None | UnsetType = UNSET
    kept_key: Escaped | None | UnsetType = UNSET
    """Of a whole repository: the file with its key, which stays."""
    ended: Time | UnsetType = UNSET
    traffic: Traffic | UnsetType = UNSET


class Excluded(Shown, kw_only=True):
    """A filter that a set has now."""

    set: str
    pattern: str


class Purged(Shown, kw_only=True):
    """Of `purge`: the sums over all places, and each of them."""

    changed: bool
    diff: dict[str, Any]
    dry_run: bool
    plan: str | None
    counts: PurgeCounts
    bytes: PurgeBytes
    freed_bytes: int
    deleted: DeletedBlocks
    waiting: list[WaitsFor]
    places: list[PurgedPlace]
    excluded: list[Excluded]
