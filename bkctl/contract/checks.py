"""Results of `check`."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from backupd.model.decisions import DecisionState
from bkctl.contract.areas import RecountedAreas
from bkctl.contract.parts import (
    Base64,
    Bytes,
    Changed,
    Count,
    Escaped,
    JobId,
    Seconds,
    SetId,
    Shown,
    SnapshotId,
    Time,
    Traffic,
)
from bkctl.contract.runs import SkippedSet


class Orphans(Shown, kw_only=True):
    """Blocks that no index object names."""

    blocks: Count
    bytes: Bytes
    damaged: Count


class Rebuilt(Shown, kw_only=True):
    """The index that was made anew."""

    blocks: Count
    chunks: Count
    objects: Count


class BadObject(Shown, kw_only=True):
    """An object at the destination that is not as it was written."""

    object: str
    code: str
    message: str


class HitFile(Shown, kw_only=True):
    """A file that damage hits."""

    snapshot: str
    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Recorded(Shown, kw_only=True):
    """What was noted as bad, to be stored again by the next backup."""

    blocks: Count
    chunks: Count


class RepairSource(Shown, kw_only=True):
    """A place that a repair took something from."""

    place: str
    """The destination's name, else the address. The checked place itself gives parts that are good, or by parity."""
    chunks: Count


class Decision(Shown, kw_only=True):
    """What a set has lost at a place, and what becomes of it."""

    set: str
    set_id: SetId
    destination: str
    plan: str
    """The same as long as just that is lost."""
    state: Literal["found", "waits", "given_up"]
    """Nothing was to be repaired; beyond the limits; noted at its snapshots."""
    beyond_limits: bool
    files: Count
    """Paths, each once, whatever snapshots have it."""
    bytes: Bytes
    of_files: Count
    """Of its largest snapshot."""
    snapshots: Count
    index_items: Count
    """Chunks that the index names."""
    damaged_items: Count
    broken_blocks: Count
    statistics_agree: bool
    command: str | None
    """That repairs and gives up the rest."""


class GivenUpLoss(Shown, kw_only=True):
    """What of a set's snapshots at a destination is given up as lost."""

    files: Count
    """Counted in each snapshot."""
    bytes: Bytes
    snapshots: Count
    """That have lost something."""
    newest: list[SnapshotId]
    """The newest twenty of them."""
    since: Time
    """When the first of it was given up."""


class GivenUp(GivenUpLoss, kw_only=True):
    """The same with whose it is, by this check or before."""

    set: str
    set_id: SetId
    destination: str


class Counted(Shown, kw_only=True):
    """Stored blocks."""

    blocks: Count
    bytes: Bytes


class Statistics(Shown, kw_only=True):
    """What the index says that is stored, and what of that lies there."""

    recorded: Counted
    found: Counted
    agree: bool


class Coverage(Shown, kw_only=True):
    """How much of what is stored was read, decrypted and hashed by this host."""

    days: Count
    """Within so many days:"""
    verified_bytes: Bytes
    total_bytes: Bytes
    never_bytes: Bytes
    oldest: Time | None
    """When that was read which was read longest ago; null: some never was."""


class CheckDiscarded(Changed, kw_only=True):
    """Of `check --discard`, and of `check --apply` where that was decided before."""

    job: JobId
    set: str | None
    destination: str
    decision: DecisionState
    decided: Time | None
    """None: nobody noted when."""
    by: JobId | None
    """The job that gave it up, or found it whole."""
    files: Count
    bytes: Bytes
    """What the job found; of `applied` what was given up."""


class Healed(Shown, kw_only=True):
    """What `check --repair` stored again."""

    chunks: Count
    new_blocks: Count
    stored_bytes: Bytes
    files: Count
    """Files that were hit and are not any more, counted in each snapshot."""
    healed_files: list[HitFile]
    """The first thousand of them."""
    sources: list[RepairSource]


class HealedObject(Shown, kw_only=True):
    """A small object that was damaged or missing."""

    object: str
    place: str
    """From where it came; of a record that can't be read, what stands in for it."""


class Checked(Shown, kw_only=True):
    """Of `check`; of several sets the sums."""

    set: str | None | UnsetType = UNSET
    job: JobId | None | UnsetType = UNSET
    """Of a daemon."""
    trigger: Literal["periodic", "rolling"] | UnsetType = UNSET
    """Made by a backup's job, for it was due, or to read the day's share."""
    checks: list[Checked] | UnsetType = UNSET
    """Of several sets: each whole."""
    blocks: Count
    chunks: Count
    entries: Count
    healable_blocks: Count
    """Damaged, and all of them can be made anew from their parity."""
    bytes_read: Bytes
    orphans: Orphans
    snapshots: Count
    rebuilt: Rebuilt | None
    healed: Healed | None
    """None: nothing was to be repaired, or --repair was not given; of several sets: see `checks`."""
    healed_objects: list[HealedObject]
    """Snapshots, keys and texts that `--repair` healed, or named anew; records that it put something in place of."""
    decisions: list[Decision]
    """One for each set that has lost something that was not given up before."""
    given_up: list[GivenUp]
    """One for each set of which something is given up."""
    statistics: Statistics
    areas: RecountedAreas | None
    """None: not all was walked, or something is lost; of several sets: see `checks`."""
    coverage: Coverage
    seconds: Seconds
    problems: list[BadObject]
    files_hit: list[HitFile]
    files_hit_count: Count
    recorded: Recorded
    skipped: list[SkippedSet]
    traffic: Traffic | UnsetType = UNSET
