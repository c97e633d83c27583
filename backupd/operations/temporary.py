"""Where a job keeps what it needs for itself alone while it runs: index copies, spooled blocks, tables of a restore."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from backupd.destination.volumes import ROOTS, mount_over
from backupd.errors import BackupError, StateError, StateFullError
from backupd.model.destination_orders import DestinationHealOrder
from backupd.model.orders import BackupOrder, CheckOrder, DecryptOrder, FreeOrder, Order, ReplicateOrder, RestoreOrder
from backupd.operations.context import JobContext
from backupd.settings.private_directories import Temporary, remove_dead
from backupd.sizes import MIB, format_bytes
from backupd.source.mounts import read_mounts
from backupd.state_errors import translated

LEAST_BYTES = 64 * MIB
"""Free space without which no backup begins to fill a directory that somebody chose: a large block."""
_LEAST_TABLE_BYTES = MIB
"""The same of a restore, whose index tables are as large as they are: they say so themselves."""
_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONG = (BackupOrder, RestoreOrder, DecryptOrder, CheckOrder, FreeOrder, ReplicateOrder, DestinationHealOrder)


class Wish(msgspec.Struct, frozen=True):
    """A directory that somebody chose."""

    path: str
    is_strict: bool
    """An error where it can't be used; else what comes next is taken, with a warning."""


@contextmanager
def chosen(order: Order, context: JobContext) -> Iterator[None]:
    """Have the job keep its temporary files in a directory of its own where the order names one, removed in the end."""
    wishes = _wishes(order)
    if not wishes:
        yield
        return
    least_bytes = LEAST_BYTES if isinstance(order, BackupOrder) else _LEAST_TABLE_BYTES
    found, warnings = temporary_directory(wishes, label_of(order), least_bytes)
    for warning in warnings:
        if isinstance(order, _LONG):
            context.warn(warning)
        else:
            # Every listing would say so, which puts aside next to nothing.
            context.tell("information", warning, verbosity=1)
    if found is None:
        yield
        return
    before, context.directories = (
        context.directories,
        msgspec.structs.replace(context.directories, temporary=found.path),
    )
    # Also what other programs of this job put aside, as rclone's copies of objects under way.
    usual, tempfile.tempdir = tempfile.tempdir, found.path
    try:
        yield
    finally:
        context.directories, tempfile.tempdir = before, usual
        found.remove()


def temporary_directory(
    wishes: list[Wish], label: str, least_bytes: int = LEAST_BYTES
) -> tuple[Temporary | None, list[str]]:
    """A directory below the first of the wished ones that can be used; None: the usual place. And what to warn of.

    label: of set and destination. least_bytes: that must be free. Directories there that killed jobs left are removed.
    Raises StateFullError, StateError for a strict wish.
    """
    warnings: list[str] = []
    for wish in wishes:
        try:
            return _below(wish.path, label, least_bytes, warnings), warnings
        except BackupError as error:
            if wish.is_strict:
                raise
            warnings.append(f"the temporary directory can't be used, another one is taken: {error.message}")
    return None, warnings


def label_of(order: Order) -> str:
    """A word for the set and the destination of an order."""
    set_name = order.set_name if isinstance(order, BackupOrder) else None
    names = (set_name or "", os.path.basename(order.place.rstrip("/")))
    return "-".join(word for word in (_UNFIT.sub("-", name).strip("-.")[:40] for name in names) if word) or "job"


def _wishes(order: Order) -> list[Wish]:
    asked: str | None = getattr(order, "temporary_directory", None)
    is_optional = isinstance(order, BackupOrder) and order.is_temporary_optional
    wishes = [Wish(asked, not is_optional)] if asked is not None else []
    # Others may not enter a directory of the daemon's.
    usual = order.usual_temporary if order.caller is None else None
    return wishes + ([Wish(usual, is_strict=False)] if usual is not None else [])


def _below(above: str, label: str, least_bytes: int, warnings: list[str]) -> Temporary:
    try:
        found = os.stat(above)
        if not stat.S_ISDIR(found.st_mode):
            raise StateError(f"{above} is no directory", hint="name another one by --temp-dir or temp:")
        if stat.S_IMODE(found.st_mode) & 0o022 and not found.st_mode & stat.S_ISVTX:
            # Whoever may rename what lies there puts his own in its place.
            raise StateError(f"others can write to {above}", hint=f"chmod go-w {above}")
        remove_dead(above)
        free_bytes = shutil.disk_usage(above).free
        if free_bytes < least_bytes:
            raise StateFullError(
                f"{above} has {format_bytes(free_bytes)} free; {format_bytes(least_bytes)} are needed at least",
                hint="make space there, or name another directory by --temp-dir or temp:",
            )
        made = Temporary(above, label)
    except OSError as error:
        raise translated(error, os.path.join(above, "backupd")) from error
    warnings += _remarks(above)
    return made


def _remarks(above: str) -> list[str]:
    """What speaks against a directory, although it can be used."""
    mount = mount_over(os.path.realpath(above), read_mounts())
    if mount is None:
        return []
    if mount.is_network:
        return [f"the temporary directory {above} lies on a server's share: it is slow, and gone when the server is"]
    if mount.type in _MEMORY:
        return [f"the temporary directory {above} lies in memory, which a job may fill up"]
    if os.fsdecode(mount.path) in ROOTS:
        return [f"the temporary directory {above} lies on the system's own disk, which a job may fill up"]
    return []
