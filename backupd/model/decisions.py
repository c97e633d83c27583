"""What was decided about what a check found lost, and what is given up."""

from __future__ import annotations

from typing import Literal

from backupd.model.structs import Struct

DecisionState = Literal["open", "applied", "discarded", "healed", "none"]
"""Somebody may decide; it was given up or repaired; it is not to be given up; a later check found all of it whole;
there was nothing to decide."""


class CheckDecision(Struct, frozen=True, kw_only=True):
    """How it stands with what a check found lost."""

    job: str
    set: str | None
    destination: str
    state: DecisionState
    files: int
    bytes: int
    """What the check found; of `applied` what was given up."""
    is_given_up: bool = False
    """Of `applied`: not all could be repaired."""
    by: str | None = None
    """Job that gave it up, or that found it whole."""
    decided_ns: int | None = None
    """Since 1970 UTC; None: nothing was decided, or nobody noted when."""


class GivenUp(Struct, frozen=True, kw_only=True):
    """What of a set's snapshots at a destination is given up as lost, as the last check told it."""

    files: int
    """Counted in each snapshot."""
    bytes: int
    snapshots: int
    newest: list[str]
    """The newest twenty of them."""
    since: str
    """RFC 3339; when the first of it was given up."""
