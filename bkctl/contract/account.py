"""The quota of the account, as `status` shows it."""

from __future__ import annotations

from bkctl.contract.parts import Bytes, Shown


class AccountQuota(Shown, kw_only=True):
    """How much all sets may hold in bytes of their sources, and how much they do."""

    quota_bytes: Bytes
    used_bytes: Bytes
    left_bytes: Bytes
    uncounted: list[str]
    """Sets that hold something which their next runs count."""
