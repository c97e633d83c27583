"""What makes a stream doubtful though it can be stored: told as a warning of its run."""

from __future__ import annotations

import os
import stat as modes
import threading
from collections.abc import Callable
from contextlib import suppress

from backupd.destination.device_ids import listed_number
from backupd.errors import BackupError
from backupd.model.results import shown
from backupd.model.streams import StreamOrder
from backupd.source.mounts import read_mounts

_BLOCK_DEVICES = "/sys/dev/block"
_MOST_DEVICES = 1000
_PATIENCE_SECONDS = 10.0


def doubts_of(order: StreamOrder) -> list[str]:
    """The warnings, of how its secret is kept and of what writes to its device meanwhile."""
    found = [order.warning] if order.warning else []
    device = order.text.device
    if device is not None and (place := _mounted_at(device)):
        hint = "unmount it, or store a snapshot of it"
        found.append(f"{device} is mounted to be written at {place}: its image may be of no use; {hint}")
    return found


def _mounted_at(path: str) -> str:
    """Where a block device, a partition of it or what is made of them is mounted to be written; empty: not seen."""
    number = _answered(lambda: _block_number(path))
    if number is None:
        return ""
    numbers = _with_all_on_it(number)
    with suppress(BackupError, OSError):
        for mount in read_mounts():
            # The number of a mount of btrfs is no device's. Other sources may be directories of dead shares.
            source = mount.source if mount.source.startswith(b"/dev/") else b""
            is_on_it = mount.device in numbers or _block_number(source) in numbers
            if is_on_it and mount.is_writable:
                return shown(mount.path)
    return ""


def _answered(ask: Callable[[], int | None]) -> int | None:
    """What it says; None where it says nothing in time: an image may lie on a dead share."""
    found: list[int | None] = []
    asking = threading.Thread(target=lambda: found.append(ask()), name="asked", daemon=True)
    asking.start()
    asking.join(_PATIENCE_SECONDS)
    return found[0] if found else None


def _block_number(path: str | bytes) -> int | None:
    if path[:1] not in ("/", b"/"):
        return None
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_rdev if modes.S_ISBLK(found.st_mode) else None


def _with_all_on_it(number: int) -> set[int]:
    """Its partitions, and the volumes that take from it, too, where the system tells of them."""
    known, waiting = {number}, [number]
    while waiting and len(known) < _MOST_DEVICES:
        one = waiting.pop()
        folder = os.path.realpath(f"{_BLOCK_DEVICES}/{os.major(one)}:{os.minor(one)}")
        for above in (folder, f"{folder}/holders"):
            for name in _listed(above):
                found = listed_number(f"{above}/{name}/dev")
                if found is not None and found not in known:
                    known.add(found)
                    waiting.append(found)
    return known


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
