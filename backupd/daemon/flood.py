"""How much one user may have waiting: a script without an end must not fill memory and disk with what it orders."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.catalog.jobs import StoredJob
from backupd.errors import DaemonBusyError
from backupd.model.jobs import JobKind

_MOST_A_USER = 1000
_MOST_RESTORES_A_USER = 32
_MOST_BYTES_A_USER = 16 << 20
"""Jobs that have not ended, and their orders: that of a restore may be of MiBs, and the queue is held in memory."""


def refuse_flood(mine: Sequence[StoredJob], kind: JobKind, size: int) -> None:
    """Raises DaemonBusyError. mine: jobs of the user that have not ended. kind, size: of one more and its orders."""
    restores = sum(one.kind == "restore" for one in mine)
    is_full = len(mine) >= _MOST_A_USER or (kind == "restore" and restores >= _MOST_RESTORES_A_USER)
    if is_full or (mine and size + sum(len(one.orders) for one in mine) > _MOST_BYTES_A_USER):
        raise DaemonBusyError(
            f"{len(mine)} jobs of yours wait or run already",
            hint="wait for them, or end some: bkctl job list, bkctl job cancel JOB",
        )
