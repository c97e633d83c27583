"""What follows a run at one destination: retention, locks."""

from __future__ import annotations

from typing import Literal

from bkctl.contract.parts import Count, Error, Shown, Time


class RetentionAt(Shown, kw_only=True):
    """What retention came to after a run."""

    policy: str
    """In words."""
    kept: Count
    dropped: Count
    left: Count
    """What was to go and the login may not drop: left to whoever frees space there."""
    error: Error | None
    """Why nothing was dropped; the run is good all the same."""


class Locked(Shown, kw_only=True):
    """Until when all is locked that a run's snapshot needs."""

    mode: Literal["governance", "compliance"]
    days: Count
    """For which objects are locked that are created or relied on."""
    extended: Count
    """Objects of which the run made the lock longer."""
    until: Time
    """The first of them may be deleted then, if no run extends its lock before."""
