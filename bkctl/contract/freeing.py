"""Results of giving space back."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from bkctl.contract.areas import StoredStatistics
from bkctl.contract.parts import Bytes, Count, JobId, Seconds, Shown, SnapshotId, Time, Traffic


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
    """Put together into one."""


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
    left: Count
    """Were to go, and this host's login may not drop them."""
    oldest_dropped: list[SnapshotId]
    """The first twenty."""
    plan: str
    changed: bool


class PlannedDrop(Shown, kw_only=True):
    """A snapshot that goes."""

    id: str
    short: str
    set: str
    time: Time
    kept_by_policy: bool
    """It goes for the target alone."""
    reasons: list[str]
    """Of the policy, why it stays or goes; none without one."""
    bytes: int
    """What is given back by it when it goes together with those before it."""
    sum_bytes: int
    """With those before it, and with what no snapshot needs."""


class HeldBack(Shown, kw_only=True):
    """Snapshots that may not go."""

    reason: Literal["newest", "other_sets", "future", "pinned", "tagged", "writer", "unfinished"]
    snapshots: Count
    bytes: int
    """What they need besides those of the reasons before."""


class Target(Shown, kw_only=True):
    """Of `free --target` and `--apply`."""

    target_bytes: Bytes | None
    """null: of a plan that was given by its id alone."""
    plan: str
    changed: bool
    """Whether snapshots were dropped."""
    dead_bytes: Bytes
    """What no snapshot needs."""
    planned_bytes: int
    """All that the plan gives back."""
    short_bytes: Bytes
    """By how much it misses the target."""
    drops: list[PlannedDrop]
    """In the order in which they go."""
    held_by: list[HeldBack]
    """What nothing else may be dropped of."""
    apply_command: str


class WaitsFor(Shown, kw_only=True):
    """Why a part waits for the next freeing."""

    what: str
    """`session`, `set`, `snapshot`, `store` or, of blocks that the store retains, `lock`."""
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
    target: Target | None
    """null: no target was given."""
    statistics: StoredStatistics | None
    """null: snapshots would go first, so not all was counted; or of several: they stand with each."""
    dry_run: bool
    seconds: Seconds
    traffic: Traffic | UnsetType = UNSET
