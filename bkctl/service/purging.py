"""What `uninstall --purge` removes, and what forbids it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from backupd.errors import AccessError, BackupError, ConflictError
from backupd.model.places import is_url
from bkctl.service.mount_points import mount_points_in
from bkctl.service.scope import Scope

_PROVED = "# proved: yes"
_REPOSITORY = frozenset({"once.json", "repository.json", "repository.json.2"})
"""Files by which a repository is known; one twin may be lost."""


def directories(scope: Scope) -> list[str]:
    """The daemon's own directories that are there."""
    return [path for path in scope.directories() if os.path.isdir(path)]


def refuse_loss(scope: Scope, places: Sequence[str]) -> None:
    """Raises ConflictError where the purge would cost data. places: of all destinations that the daemon knows.

    A key that nobody proved may have no copy; a backup in one of the directories would go with them.
    """
    unproved = sorted(_unproved(scope.keys()))
    if unproved:
        raise ConflictError(
            f"nobody proved a copy of {', '.join(unproved)}: without it nobody reads that backup again",
            hint="print and prove each key: bkctl key sheet SET, bkctl key prove SET; or remove the .key files by hand",
        )
    for directory in directories(scope):
        above = os.path.realpath(directory)
        # A walk sees no bind mount of the same file system, and rmtree would empty what is mounted there.
        for point in mount_points_in(directory):
            if point != above:
                raise ConflictError(f"something is mounted on {point}", hint="unmount it first")
        for place in places:
            if not is_url(place) and os.path.commonpath([above, os.path.realpath(place)]) == above:
                raise ConflictError(
                    f"the destination {place} lies in {directory}", hint="move it away first: data is never removed"
                )
        _refuse_below(directory)


def _refuse_below(directory: str) -> None:
    """Look at all that lies in a directory. Raises ConflictError, AccessError for what can't be looked at."""
    for here, folders, names in os.walk(directory, onerror=_not_listed):
        if any(os.path.ismount(os.path.join(here, name)) for name in folders):
            raise ConflictError(f"something is mounted below {here}", hint="unmount it first")
        # One that no daemon lists any more, or that `once` made.
        if not _REPOSITORY.isdisjoint(names):
            raise ConflictError(f"a repository lies in {here}", hint="move it away first: data is never removed")


def _not_listed(error: OSError) -> None:
    """Raises AccessError, but not for what the daemon itself removed in the meantime."""
    if not isinstance(error, FileNotFoundError):
        raise AccessError(
            f"can't list {error.filename}: {error.strerror}", hint="what lies there may be a backup: look, or move it"
        ) from error


def _unproved(keys: str) -> list[str]:
    """Files of keys whose copy nobody typed in."""
    found = []
    try:
        names = os.listdir(keys)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackupError(f"can't read {keys}: {error.strerror}") from error
    for name in names:
        path = os.path.join(keys, name)
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                is_proved = any(line.strip() == _PROVED for line in file)
        except OSError as error:
            raise BackupError(f"can't read {path}: {error.strerror}") from error
        if not is_proved:
            found.append(path)
    return found


def purge(scope: Scope) -> list[str]:
    """Remove the directories; those that went. Raises BackupError with what is left."""
    gone = []
    for path in directories(scope):
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise BackupError(
                f"can't remove {error.filename or path}: {error.strerror}",
                hint="the service is gone; remove the rest by hand",
            ) from error
        gone.append(path)
    return gone
