"""Results about the places that sets are stored in."""

from __future__ import annotations

from typing import Literal

from backupd.model.sets import PoolKind
from bkctl.contract.parts import (
    Bytes,
    Changed,
    Count,
    DestinationId,
    Nothing,
    RepositoryId,
    SetId,
    Shown,
    SnapshotId,
    Time,
)


class Pool(Shown, kw_only=True):
    """What a destination consists of."""

    kind: PoolKind
    members: list[str]
    """The first one is the lead."""
    copies: int
    """On how many members an object lies."""


class Seeding(Shown, kw_only=True):
    """What a destination waits for."""

    place: str
    """Directory on the disk, where it was written."""
    since: Time
    sets: list[str]


class LockRule(Shown, kw_only=True):
    """How objects are locked that are written there, or needed again."""

    mode: Literal["governance", "compliance"]
    days: Count


class Destination(Shown, kw_only=True):
    """A place that sets are stored in."""

    id: DestinationId
    name: str
    place: str
    pool: Pool | None
    """None: it is a place of its own."""
    absent: Literal["fail", "skip"]
    credentials: str | None
    """Where the login is read from."""
    host_key: str | None
    known_hosts: str | None
    ca_file: str | None
    allow_plaintext: bool
    retry_for: str | None
    proxy: str | None
    """An address, or `direct`; none: the daemon's."""
    proxy_login: str | None
    """Where the proxy's login is read from."""
    jobs_at_once: Count | None
    removable: bool
    quota: str | None
    lock: LockRule | None
    """null: not at all."""
    kept_in: str | None
    created: Time
    sets: list[str]
    seeding: Seeding | None
    """null: nothing is on its way there."""


class DestinationList(Shown, kw_only=True):
    """Of `destination list`."""

    destinations: list[Destination]
    next: Nothing


class DestinationFinding(Shown, kw_only=True):
    """What one trial of a store showed."""

    name: str
    verdict: Literal["good", "missing", "failed"]
    detail: str


class TestedMember(Shown, kw_only=True):
    """A member of a pool that was tested."""

    name: str
    reached: bool
    detail: str
    """Why not."""


class DestinationTest(Shown, kw_only=True):
    """Of `destination test`."""

    place: str
    usable: bool
    findings: list[DestinationFinding]
    members: list[TestedMember]
    """Of a pool; else empty."""
    reached_seconds: float
    put_bytes_per_second: int | None
    get_bytes_per_second: int | None
    free_bytes: int | None
    create_if_absent: bool
    keeps_versions: bool | None
    """Of what is deleted; null: the store does not tell."""
    object_lock: bool | None
    """Whether objects can be locked; null: the store does not tell."""
    holds_something: bool


class HealedMember(Shown, kw_only=True):
    """One member of a pool."""

    name: str
    copied_objects: int


class HealedDestination(Shown, kw_only=True):
    """Of `destination heal`."""

    destination: str
    whole: bool
    """False: a member could not be reached, or takes nothing; a warning says which."""
    copied_objects: int
    copied_bytes: int
    members: list[HealedMember]


class UncoveredObject(Shown, kw_only=True):
    """One object that is back."""

    name: str
    how: Literal["hidden", "overwritten"]
    """What had been done to it."""


class UncoveredPlace(Changed, kw_only=True):
    """Of `destination uncover`."""

    place: str
    hidden: Count
    overwritten: Count
    bytes: Bytes
    """Of all of them."""
    first: list[UncoveredObject]
    """100 at most."""


class OneDestination(Shown, kw_only=True):
    """Of `destination show`."""

    destination: Destination


class ChangedDestination(Changed, kw_only=True):
    """Of what makes, changes or forgets a destination."""

    destination: Destination


class WriterSession(Shown, kw_only=True):
    """A writer that announced itself at a place."""

    id: SnapshotId
    """Of its snapshot, too."""
    short: str
    repository: RepositoryId
    set: str | None
    set_id: SetId | None
    host: str | None
    host_id: str | None
    announcements: Count
    posted: Time | None
    """The newest announcement; null: none can be read."""
    age_seconds: float | None
    snapshot_name: str | None
    snapshot_state: Literal["open", "taken", "void", "unknown"]
    """Of that name: open, it will still write; taken or void, it has ended."""
    has_checkpoint: bool
    holds_back_freeing: bool


class WriterSessions(Shown, kw_only=True):
    """Of `destination sessions`."""

    sessions: list[WriterSession]
    next: Nothing


class RevokedSession(Changed, kw_only=True):
    """Of `destination sessions --revoke`."""

    session: WriterSession
    """As it was."""
    partial: SnapshotId | None
    """The partial snapshot that is left of it."""
