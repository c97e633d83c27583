"""Machines of a repository, as `status --all-hosts` shows them."""

from __future__ import annotations

from typing import Literal

from bkctl.contract.parts import Count, Error, Nothing, RepositoryId, SetId, Shown, SnapshotId, Time


class HostSet(Shown, kw_only=True):
    """A set of a machine."""

    host: str
    set: str
    set_id: SetId
    destination: str
    """Where its newest snapshot lies."""
    snapshot: SnapshotId
    time: Time
    """When the run of that snapshot began to read."""
    snapshots: Count
    """How many it has there."""
    age_seconds: int
    """Less than 0: from the future."""
    limit_seconds: Count
    state: Literal["good", "silent", "off"]
    reason: str | None
    """Why it is silent."""


class Unread(Shown, kw_only=True):
    """A repository that could not be listed, or not wholly."""

    destination: str
    repository: RepositoryId
    error: Error


class AllHosts(Shown, kw_only=True):
    """Of `status --all-hosts`."""

    time: Time
    hosts: list[HostSet]
    """By machine, then by set."""
    unread: list[Unread]
    next: Nothing
