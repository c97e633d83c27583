"""Results of giving space back."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from bkctl.contract.parts import Bytes, Count, JobId, Seconds, Shown, Time, Traffic


class Deleted(Shown, kw_only=True):
    """Blocks that are gone."""

    blocks: Count
    bytes: Bytes


class Rewritten(Shown, kw_only=True):
    """Blocks that were mostly dead: what is needed of them lies in new ones."""

    blocks: Count
    read_bytes: Bytes
    stored_bytes: Bytes
    put_off: Count
    """Blocks for whose copies there was no room."""


class Removed(Shown, kw_only=True):
    """Other objects that are gone."""

    partial_snapshots: Count
    """Dropped, for nobody went on from them for 30 days."""
    snapshots: Count
    """Dropped before, and needed by a run until now."""
    index_objects: Count
    sessions: Count
    drop_records: Count
    """Put together into one that says what they said."""


class Held(Shown, kw_only=True):
    """What is stored."""

    data_bytes: Bytes
    """What the newest complete snapshot of each set needs."""
    retention_bytes: Bytes
    """What only older snapshots need."""
    stored_bytes: Bytes
    """All blocks."""


class Kept(Shown, kw_only=True):
    """What the set's policy made of its snapshots, before."""

    policy: str
    kept: Count
    dropped: Count
    plan: str
    changed: bool


class WaitsFor(Shown, kw_only=True):
    """Why a part waits for the next freeing."""

    what: str
    """`session`, `set` or `store`."""
    id: str
    reason: str
    until: Time | None
    set_id: str | None
    host_id: str | None


class Freed(Shown, kw_only=True):
    """Of `free`; of several sets and destinations the sums."""

    set: str | None | UnsetType = UNSET
    job: JobId | None | UnsetType = UNSET
    """Of a daemon."""
    freeings: list[Freed] | UnsetType = UNSET
    """Of several: each whole."""
    freed_bytes: int
    """Deleted less written anew."""
    deleted: Deleted
    rewritten: Rewritten
    removed: Removed
    before: Held
    after: Held
    waiting: list[WaitsFor]
    planned_bytes: Bytes
    """What could be freed when it began."""
    retention: Kept | None
    """null: the set keeps all, or no set was named, or a run of it is under way."""
    dry_run: bool
    seconds: Seconds
    traffic: Traffic | UnsetType = UNSET
