"""The directory that a restore writes to."""

from __future__ import annotations

import os

from backupd.destination.stores import local_path
from backupd.errors import TargetError, UsageError
from backupd.model.orders import RestoreOrder
from backupd.model.results import shown
from backupd.target.losses import failure


def target_of(order: RestoreOrder, place: str) -> bytes:
    """Absolute path of the target. place: the repository's. Raises UsageError."""
    if order.to is None:
        if order.strip:
            raise UsageError("--strip goes with --to DIR", hint="--original restores to where things were")
        return b"/"
    directory = local_path(place, order.access)
    real, repository = os.path.realpath(order.to), os.fsencode(directory or "")
    if directory is not None and (real == repository or real.startswith(repository + b"/")):
        raise UsageError(f"{shown(order.to)} lies inside the backup itself", hint="name another directory")
    return order.to


def make_target(target: bytes) -> None:
    """Make the target and what is missing above it, for the caller alone. Raises TargetError, TargetFullError."""
    try:
        os.makedirs(target, 0o700, exist_ok=True)
    except FileExistsError as error:
        raise TargetError(f"{shown(target)} is no directory") from error
    except OSError as error:
        raise failure(f"the directory to restore to, {shown(target)}, can't be made", error) from error
