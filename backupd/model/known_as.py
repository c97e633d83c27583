"""What a daemon calls a set and a destination that an order is about."""

from __future__ import annotations

from backupd.model.structs import Strict


class KnownAs(Strict, frozen=True, kw_only=True):
    """For commands that hints name."""

    set: str
    destination: str
    is_named: bool = True
    """Whether who asked named the set; else it is skipped where it has no snapshot."""
