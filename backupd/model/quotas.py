"""Quotas: how much may be stored, and how much all sets of an account may hold of their sources (FEATURES 4.14)."""

from __future__ import annotations

from backupd.model.structs import Number, Strict, Struct

MOST_BYTES = (1 << 53) - 1
"""More is told as this: every reader of JSON takes it, and no quota is larger."""


class SpaceLimits(Strict, frozen=True, kw_only=True):
    """How much may be stored; a limit that is None does not hold."""

    set_name: str
    destination: str
    set_quota_bytes: Number | None = None
    """Of the order's repository."""
    destination_quota_bytes: Number | None = None
    """Of all that is stored at the place."""
    others_bytes: Number = 0
    """What other repositories take there."""


class AccountLimit(Strict, frozen=True, kw_only=True):
    """What a run of one of the account's sets is held against."""

    quota_bytes: Number
    others_bytes: Number = 0
    """What the other sets hold."""
    elsewhere_bytes: Number = 0
    """What the run's own set holds at its destinations that are not of this run; the largest."""
    told_bytes: list[Number] = []
    """What it held at each place of the order, in their order, as a run told last; 0: none has."""


class AccountUse(Struct, frozen=True, kw_only=True):
    """How much the account may hold, and how much it does."""

    quota_bytes: int
    used_bytes: int
    left_bytes: int
    uncounted: list[str] = []
    """Sets that hold something which is not counted yet: their next runs do."""
