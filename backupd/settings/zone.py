"""The time zone that times are shown and understood in (FEATURES 1.7)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backupd.errors import UsageError

_LOCAL_TIME = "/etc/localtime"
_MARK = "zoneinfo/"


def find_zone(name: str | None, environ: Mapping[str, str]) -> tzinfo:
    """The zone of that IANA name; without one TZ's, else the system's, else UTC.

    Raises UsageError for a name that no zone has; a bad TZ counts as absent.
    """
    if name is not None:
        found = _named(name)
        if found is None:
            raise UsageError(f"'{name}' is no time zone", hint="write a name as Europe/Berlin or UTC")
        return found
    given = environ.get("TZ", "").removeprefix(":")
    return (_named(given.rpartition(_MARK)[2]) if given else None) or _of_system() or UTC


def is_zone(name: str) -> bool:
    """Whether a zone has that name here."""
    return _named(name) is not None


def zone_or_own(name: str | None, environ: Mapping[str, str]) -> tzinfo:
    """The same, and as without a name for one that no zone has, or has any more: what runs by it has to go on."""
    try:
        return find_zone(name, environ)
    except UsageError:
        return find_zone(None, environ)


def _of_system() -> tzinfo | None:
    target = os.path.realpath(_LOCAL_TIME)
    if _MARK in target and (found := _named(target.rpartition(_MARK)[2])):
        return found
    try:
        with open(_LOCAL_TIME, "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return None


def _named(name: str) -> tzinfo | None:
    # Without any zone data on the machine UTC is still UTC.
    if name in ("UTC", "Etc/UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
