"""Whether a place can be reached and written, how fast, and what is free: for `doctor`.

A share whose server is gone holds up whoever touches it, for ever and beyond any signal; so it is touched by a thread,
and after some seconds the answer is that there was none.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress

from backupd.destination.local import LocalDestination
from backupd.destination.stores import local_path
from backupd.destination.trial import Trial
from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
)
from backupd.model import events
from backupd.model.destination_orders import DestinationProbeOrder
from backupd.model.places import is_url
from backupd.operations.context import JobContext

_ANSWER_SECONDS = 10.0
_STORE_SECONDS = 60.0
"""A store elsewhere may be tried again meanwhile."""
_PROBE_BYTES = 64 << 10
_NO_NAMELESS_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


def run(order: DestinationProbeOrder, context: JobContext) -> events.Done:
    """Try the place. Raises DestinationError in its kinds, PlaceOccupiedError."""
    began = context.clock.monotonic()
    found: dict[str, object] = {"place": order.place}
    failed: list[BackupError] = []

    def probe() -> None:
        try:
            if is_url(order.place):
                _probe_store(order, context, found)
            else:
                _probe(local_path(order.place, order.access) or order.place, context, found)
        except BackupError as error:
            failed.append(error)
        except OSError as error:
            failed.append(_translated(order.place, error))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    seconds = _STORE_SECONDS if is_url(order.place) else _ANSWER_SECONDS
    thread.join(seconds)
    if thread.is_alive():
        raise DestinationUnreachableError(
            f"{order.place} does not answer within {seconds:.0f} s",
            hint="is the server of that share there, the disk well?",
        )
    if failed:
        raise failed[0]
    found["seconds"] = round(context.clock.monotonic() - began, 4)
    return events.Done(exit_code=0, result=found, warnings=context.warnings)


def _probe_store(order: DestinationProbeOrder, context: JobContext, found: dict[str, object]) -> None:
    """Write, read back and delete an object of a store elsewhere."""
    store = context.open_store(order.place, f"probe-{os.urandom(8).hex()}", order.access)
    try:
        found["exists"] = bool(store.top_names())
        trial = Trial(store, lambda _tag: store, context.clock)
        began = context.clock.monotonic()
        try:
            first = next(trial.run(is_quick=True))
            found["write_seconds"] = round(context.clock.monotonic() - began, 4)
        finally:
            trial.clean()
        if first.verdict == "failed":
            raise DestinationError(f"{order.place}: {first.detail}", hint="bkctl destination test says more")
        found["free_bytes"], found["total_bytes"] = store.free_bytes(), None
    finally:
        store.close()


def _probe(place: str, context: JobContext, found: dict[str, object]) -> None:
    found["exists"] = os.path.isdir(place)
    directory = place
    if not found["exists"]:
        # The first run makes it, where the directory above is there.
        directory = os.path.dirname(place)
        if os.path.lexists(place) or not os.path.isdir(directory):
            LocalDestination(place, "probe")
    began = context.clock.monotonic()
    _write_and_forget(directory)
    found["write_seconds"] = round(context.clock.monotonic() - began, 4)
    space = os.statvfs(directory)
    found["free_bytes"], found["total_bytes"] = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize


def _write_and_forget(directory: str) -> None:
    """Write a file that has no name, or has one for a moment, and bring it to the disk."""
    fd, name = -1, ""
    with suppress(AttributeError):
        try:
            fd = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
    if fd < 0:
        name = os.path.join(directory, f".backupd-probe-{os.urandom(8).hex()}")
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, bytes(_PROBE_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)
        if name:
            os.unlink(name)


def _translated(place: str, error: OSError) -> DestinationError:
    text = f"{place}: {error.strerror}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DestinationRefusedError(text, hint="mend owner or mode of the directory, or mount it writable")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DestinationFullError(text, hint="make space there")
    return DestinationError(text, hint="is the disk well? see the kernel's log")
