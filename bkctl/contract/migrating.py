"""Results of what `backup --migrate` stores anew."""

from __future__ import annotations

from typing import Literal

from bkctl.contract.parts import Bytes, Count, Error, Shown, SnapshotId, Time


class Blocks(Shown, kw_only=True):
    """So many, of so many bytes."""

    blocks: Count
    bytes: Bytes


class PlannedBlocks(Blocks, kw_only=True):
    """What is not stored as the set wants it now."""

    reasons: dict[Literal["epoch", "compression", "parity", "unread"], Bytes]
    """By what they lack, of which a block may lack several: older key, weaker compression, less parity, and blocks
    of which that can't be read."""


class PlannedHistory(Shown, kw_only=True):
    """What older snapshots hold that was cut or named otherwise than the set wants it now."""

    snapshots: Count
    """To be written anew."""
    files: Count
    bytes: Bytes
    """Of these files: they are read at the destination, and so much is stored at most."""


class StandIn(Shown, kw_only=True):
    """A snapshot that was written anew: it has another id now."""

    old: SnapshotId
    new: SnapshotId
    time: Time
    """When it was made, as before."""


class LeftSnapshot(Shown, kw_only=True):
    """A snapshot that stays as it is."""

    snapshot: SnapshotId
    reason: str
    damaged: bool
    """Whether it can't be read whole."""


class History(Shown, kw_only=True):
    """What migration came to with older snapshots."""

    planned: PlannedHistory
    rewritten: list[StandIn]
    left: list[LeftSnapshot]
    read_bytes: Bytes
    """Of files, at the destination."""
    stored_bytes: Bytes
    """Of new blocks."""


class MigrationAt(Shown, kw_only=True):
    """What migration came to after a run; null: it did not come so far."""

    planned: PlannedBlocks | None
    migrated: Blocks | None
    """Of those planned; a freeing deletes them."""
    left: Blocks | None
    """Of those planned that are still needed as they are."""
    stored_bytes: Bytes | None
    """Of new blocks."""
    lost_chunks: Count | None
    """What could not be read."""
    history: History | None
    error: Error | None
    """Why not all was stored anew; the run is good all the same."""


class ReadAgain(Shown, kw_only=True):
    """Files that a migration reads again: they were cut or named by other settings."""

    files: Count
    bytes: Bytes
