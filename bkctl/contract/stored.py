"""Results of looking into what is stored, and of its keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bkctl.contract.parts import (
    Base64,
    Bytes,
    Changed,
    Count,
    Error,
    Escaped,
    Named,
    Nothing,
    RepositoryId,
    Seconds,
    SetId,
    Shown,
    SnapshotId,
    Time,
)

Kind = Literal["file", "directory", "symlink", "fifo", "character_device", "block_device", "socket"]


class Lost(Shown, kw_only=True):
    """What was given up as lost of a snapshot."""

    files: Count
    bytes: Bytes


class Snapshot(Named, kw_only=True):
    """A snapshot of a list."""

    set_id: SetId
    finished_at: Time
    files: Count
    bytes: Bytes
    stored_bytes: Bytes
    tags: dict[str, str]
    pinned: bool
    """Whether retention leaves it alone."""
    lost: Lost | None
    """None: nothing was given up."""
    incomplete: bool
    purged_paths: Count
    """So many paths were deleted from it after it was made."""
    sources: list[Escaped]


class SnapshotList(Shown, kw_only=True):
    """Of `snapshot list`."""

    snapshots: list[Snapshot]
    next: Nothing


class Rewriting(Shown, kw_only=True):
    """Of a snapshot that stands in for another one, from which paths were purged or whose files were cut anew."""

    source: SnapshotId = msgspec.field(name="from")
    time: Time
    host_id: str
    paths: Count


class SnapshotFacts(Snapshot, kw_only=True):
    """Of `snapshot show`."""

    seconds: Seconds
    host_id: str
    epoch: Count
    base: SnapshotId | None
    program: str
    statistics: dict[str, Any]
    settings: dict[str, Any]
    """The set's, as they were."""
    pin_reason: str | None
    rewritten: Rewriting | None


class Entry(Shown, kw_only=True):
    """A name in a snapshot."""

    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    kind: Kind
    mode: Annotated[int, Meta(ge=0, le=0o7777)]
    uid: Count
    gid: Count
    owner: str | None
    group: str | None
    size: Bytes
    mtime: Time
    mtime_ns: int
    target: Escaped | UnsetType = UNSET
    """Of a symlink."""
    target_b64: Base64 | UnsetType = UNSET
    major: Count | UnsetType = UNSET
    minor: Count | UnsetType = UNSET


class Entries(Shown, kw_only=True):
    """Of `snapshot ls`."""

    snapshot: Named
    paths: list[Escaped]
    entry_count: Count
    entries: list[Entry]
    next: Nothing


class Difference(Shown, kw_only=True):
    """One entry that differs."""

    change: Literal["added", "removed", "changed", "metadata"]
    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    kind_before: Kind | UnsetType = UNSET
    size_before: Bytes | UnsetType = UNSET
    mtime_before: Time | UnsetType = UNSET
    kind_after: Kind | UnsetType = UNSET
    size_after: Bytes | UnsetType = UNSET
    mtime_after: Time | UnsetType = UNSET


class Differences(Shown, kw_only=True):
    """Of `snapshot diff`."""

    older: Named
    newer: Named
    counts: dict[str, Count]
    changes: list[Difference]
    next: Nothing


class NotedAt(Shown, kw_only=True):
    """A place where something is noted of a snapshot."""

    name: str
    changed: bool
    error: Error | None


class NotedSnapshot(Changed, kw_only=True):
    """Of `snapshot pin`, `snapshot unpin` and `snapshot tag`."""

    snapshot: Named
    repository: RepositoryId
    place: str
    destinations: list[NotedAt]
    """Where it was noted, or why not."""
    pinned: bool
    reason: str
    """Of the pin."""
    tags: dict[str, str]


class Version(Shown, kw_only=True):
    """A file in one snapshot."""

    number: Count
    """For `restore --pick`."""
    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    snapshot: SnapshotId
    short: str
    time: Time
    kind: Kind
    size: Bytes
    mtime: Time
    mtime_ns: int


class Versions(Shown, kw_only=True):
    """Of `snapshot versions`."""

    versions: list[Version]
    next: Nothing


class KeyFacts(Shown, kw_only=True):
    """Of `key show`."""

    repository: RepositoryId
    place: str
    opened_by: str
    slot: str
    label: str | None
    cipher: str
    epoch: Count
    newest_epoch: Count
    key: str | None
    """Masked unless `--unmask` was given."""
    masked: bool
    file: str | None
    made_at: Time | None
    proved: bool


class KeySheet(Shown, kw_only=True):
    """Of `key sheet`."""

    repository: RepositoryId
    place: str
    slot: str
    kind: str
    commands: list[str]
    """Of a recovery."""
    text: str
    """The sheet as it is to be printed; it holds the key."""


class KeySlot(Shown, kw_only=True):
    """One way to open a repository."""

    name: str
    label: str | None
    kind: Literal["key", "password", "clear"]
    created: Time
    epoch: Count
    opens_newest: bool
    is_kept: bool


class KeySlots(Shown, kw_only=True):
    """Of `key list`."""

    repository: RepositoryId
    epoch: Count
    slots: list[KeySlot]
    next: Nothing


class ProvedKey(Changed, kw_only=True):
    """Of `key prove`."""

    repository: RepositoryId
    slot: str
    label: str | None
    kind: str
    epoch: Count
    is_kept_key: bool


class AddedKey(Changed, kw_only=True):
    """Of `key add`."""

    repository: RepositoryId
    slot: str
    label: str | None
    kind: str
    epoch: Count
    removed_slots: list[str]
    key: str | None
    """A new random one; told this once."""


class RemovedKey(Changed, kw_only=True):
    """Of `key remove`."""

    repository: RepositoryId
    slot: str
    label: str | None


class ChangedPassword(Changed, kw_only=True):
    """Of `key password`."""

    repository: RepositoryId
    slot: str
    removed_slot: str | None
    """null: the old one stays, and opens it still; the error says why and until when."""
    label: str | None
    epoch: Count


class RotatedKey(Changed, kw_only=True):
    """Of `key rotate`."""

    repository: RepositoryId
    epoch: Count
    slots: list[str]
    removed_slots: list[str]
    older_epochs_only: list[str]
