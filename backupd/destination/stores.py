"""The stores that there are, by the scheme of their address; each opens its own kind (DESIGN 10).

A further one needs no change here: an installed package names its opener under the entry point `backupd.destinations`.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

from backupd.cancel import Cancel
from backupd.destination import volumes
from backupd.destination.contract import Opening, Store
from backupd.destination.counting import Counting
from backupd.destination.local import LocalDestination
from backupd.destination.meter import Meter
from backupd.destination.pacing import Pace
from backupd.destination.retrying import Patience, Retrying, Told
from backupd.errors import ConfigError, DestinationError, UsageError
from backupd.model.places import PlaceUrl, is_pool, is_url
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.store_errors import DestinationAbsentError

Opener = Callable[[PlaceUrl, Opening], Store]
"""Opens a store. Raises UsageError for an address that can't be one of its kind, DestinationError."""

_BUILT_IN: dict[str, str] = {
    "ftp": "backupd.destination.ftp.store:open_ftp",
    "ftps": "backupd.destination.ftp.store:open_ftp",
    "pool": "backupd.destination.pool.opening:open_pool",
    "rclone": "backupd.destination.rclone.store:open_rclone",
    "s3": "backupd.destination.s3.store:open_s3",
    "sftp": "backupd.destination.sftp.store:open_sftp",
    "webdav": "backupd.destination.webdav.store:open_webdav",
    "webdavs": "backupd.destination.webdav.store:open_webdav",
}
"""Scheme -> module and opener; imported when asked for, for their libraries take time."""


def open_store(
    place: str,
    tag: str,
    access: StoreAccess = NO_ACCESS,
    *,
    create: bool = False,
    cancel: Cancel | None = None,
    told: Told | None = None,
    warn: Callable[[str], None] | None = None,
    meter: Meter | None = None,
) -> Store:
    """Open a place of any kind; what fails for a moment elsewhere than on a disk of this machine is tried again.

    cancel: ends the pauses between tries; told: hears of them; warn: as of an Opening; meter: counts what the place is
    asked for, of a pool what its members are. A drive that is mounted elsewhere now is used there.
    Raises UsageError, PlaceOccupiedError, DestinationError.
    """
    if not is_url(place):
        local = LocalDestination(_located(place, access), tag, create=create)
        return Counting(local, meter) if meter is not None else local
    patience = Patience() if access.retry_seconds is None else Patience(call_seconds=access.retry_seconds)
    wait = _counted_wait(meter) if meter is not None else None
    pace = Pace(access.pace, cancel, wait=wait) if access.pace is not None else None
    opening = Opening(place, tag, access, create, pace, warn, cancel, meter)
    if meter is None:
        return Retrying.open(lambda: open_once(opening), cancel, patience, told)
    return Retrying.open(lambda: _counted(opening, meter), cancel, patience, _heard(meter, told))


def _counted(opening: Opening, meter: Meter) -> Store:
    """A pool counts at its members, each of which is opened by itself: that is what goes over lines."""
    store = open_once(opening)
    return store if is_pool(opening.place) else Counting(store, meter)


def _heard(meter: Meter, told: Told | None) -> Told:
    def hear(error: DestinationError, seconds: float) -> None:
        meter.repeat(error.code, seconds)
        if told is not None:
            told(error, seconds)

    return hear


def _counted_wait(meter: Meter) -> Callable[[float], object]:
    wait = threading.Event().wait

    def hold_back(seconds: float) -> None:
        wait(seconds)
        meter.hold_back(seconds)

    return hold_back


def open_once(opening: Opening) -> Store:
    """Open the store of an address as it is: what fails is told at once. Raises as `open_store`."""
    url = PlaceUrl.parse(opening.place)
    return _opener(url.scheme)(url, opening)


def canonical(place: str) -> str:
    """One text for one place, however it was written and wherever its drive is mounted. Raises UsageError.

    Caches and locks go by it: of a drive that was carried about it is what the destination's settings say.
    """
    return PlaceUrl.parse(place).canonical if is_url(place) else _real(place)


def local_path(place: str, access: StoreAccess) -> str | None:
    """The directory that a place is now, None for a store elsewhere. Raises UsageError, DestinationAbsentError."""
    return None if is_url(place) else _real(_located(place, access))


def _located(place: str, access: StoreAccess) -> str:
    return place if access.volume is None else volumes.locate(place, access.volume)


def local_paths(place: str, access: StoreAccess) -> list[str]:
    """The directories that a place consists of: itself, or the members of a pool; none of a store elsewhere.

    Of a drive that is away, the one that its settings name: whoever opens it says that it is absent.
    """
    members = access.pool.members if access.pool is not None else ()
    asked = [(one.place, one.access) for one in members] if access.pool is not None else [(place, access)]
    return [_now_or_named(one, its) for one, its in asked if not is_url(one)]


def _now_or_named(place: str, access: StoreAccess) -> str:
    try:
        return _real(_located(place, access))
    except DestinationAbsentError:
        return _real(place)


def _real(path: str) -> str:
    if "\0" in path:
        raise UsageError("the place holds a NUL", hint="no path does")
    return os.path.realpath(path)


def check_known(place: str) -> None:
    """Raises ConfigError for an address of a kind that nobody opens here, or for none."""
    if is_url(place):
        try:
            _opener(PlaceUrl.parse(place).scheme)
        except UsageError as error:
            raise ConfigError(error.message, hint=error.hint, context={"at": ["place"]}) from error


def schemes() -> list[str]:
    """All that can be opened here, sorted."""
    return sorted({*_BUILT_IN, *_further().schemes()})


def _further() -> Any:
    """The module of installed packages, loaded when asked for: the library's search takes longer than all else here."""
    return importlib.import_module("backupd.destination.further_stores")


def _opener(scheme: str) -> Opener:
    built_in = _BUILT_IN.get(scheme)
    if built_in is not None:
        module, _, name = built_in.partition(":")
        opener: Opener = getattr(importlib.import_module(module), name)
        return opener
    added: Opener | None = _further().find(scheme)
    if added is not None:
        return added
    raise UsageError(
        f"{scheme}: is no store that is known here", hint=f"known are a path and {', '.join(schemes()) or 'no other'}"
    )
