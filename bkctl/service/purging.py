"""What `uninstall --purge` removes, and what forbids it."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from backupd.errors import AccessError, BackupError, ConflictError
from backupd.model.api import DestinationList, SetList
from backupd.model.places import is_url
from backupd.model.secret_references import SecretReference
from bkctl.daemon_client import DaemonClient
from bkctl.service.mount_points import mount_points_in
from bkctl.service.scope import Scope
from bkctl.service.unit_credentials import credential_files

_PATH_IN_WORD = re.compile(r"/[^\s'\"=:;,|&<>()`]*")
_PROVED = "# proved: yes"
_REPOSITORY = frozenset({"once.json", "repository.json", "repository.json.2"})
"""Files by which a repository is known; one twin may be lost."""
_KEY_BEGINS = b"# A key of backupd."
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Known:
    """What a daemon knows of things that a purge must not cost."""

    places: list[str] = field(default_factory=list)
    """Of all destinations."""
    password_files: Sequence[tuple[str, str]] = ()
    """Name of a set, and a file that the password of its repositories comes from."""


def known_to(client: DaemonClient) -> Known:
    """Ask the daemon. Raises BackupError."""
    destinations = client.get("/v1/destinations", DestinationList).destinations
    sets = [one.text for one in client.get("/v1/sets", SetList).sets]
    files = [(one.name, file) for one in sets if one.password is not None for file in _files_of(one.password)]
    return Known([one.text.place for one in destinations], files)


def _files_of(secret: SecretReference) -> list[str]:
    """Paths that a secret may come from: its file, or what its command names, in a word or as one."""
    named = [secret.file] if secret.file is not None else []
    for word in secret.command or ():
        at = word.find("/")
        named += [word[at:]] * (at >= 0) + _PATH_IN_WORD.findall(word)
    return list(dict.fromkeys(named))


def directories(scope: Scope) -> list[str]:
    """The daemon's own directories that are there, each once; one in another goes with that."""
    there = [path for path in scope.directories() if os.path.isdir(path)]
    tops: dict[str, str] = {}
    for path in there:
        tops.setdefault(os.path.realpath(path), path)
    return [path for real, path in tops.items() if not any(real != top and _lies_in(real, top) for top in tops)]


def refuse_loss(scope: Scope, known: Known) -> None:
    """Raises ConflictError where the purge would cost data, AccessError where that can't be seen.

    A key that nobody proved may have no copy, nor may a password; a backup in one of the directories would go, too.
    """
    unproved = sorted(_unproved(scope.keys()))
    if unproved:
        raise ConflictError(
            f"nobody proved a copy of {', '.join(unproved)}: without it nobody reads that backup again",
            hint="print and prove each key: bkctl key sheet SET, bkctl key prove SET; or remove the .key files by hand",
        )
    for path in scope.directories():
        if os.path.islink(path):
            raise ConflictError(f"{path} is a link to {os.path.realpath(path)}", hint="remove the link first")
    for directory in directories(scope):
        above = os.path.realpath(directory)
        # A walk sees no bind mount of the same file system, and rmtree would empty what is mounted there.
        for point in mount_points_in(directory):
            raise ConflictError(f"something is mounted on {point}", hint="unmount it first")
        if os.path.ismount(directory):
            raise ConflictError(f"something is mounted on {directory}", hint="unmount it first")
        for place in known.places:
            if not is_url(place) and _lies_in(place, above):
                raise ConflictError(
                    f"the destination {place} lies in {directory}", hint="move it away first: data is never removed"
                )
        for name, file in credential_files(scope):
            if os.path.exists(file) and _lies_in(file, above):
                raise ConflictError(
                    f"the service's credential {name} lies in {file}, and may be its only copy",
                    hint="move the file away first",
                )
        for name, file in known.password_files:
            if os.path.exists(file) and _lies_in(file, above):
                raise ConflictError(
                    f"the password of {name} lies in {file}: without it nobody reads that backup again",
                    hint="move the file away first",
                )
        _refuse_below(directory, scope.keys())


def _lies_in(path: str, above: str) -> bool:
    """Whether it really lies in a real directory, or is it."""
    return os.path.commonpath([above, os.path.realpath(path)]) == above


def _refuse_below(directory: str, keys: str) -> None:
    """Look at all that lies in a directory. Raises ConflictError, AccessError for what can't be looked at."""
    for here, folders, names in os.walk(directory, onerror=_not_listed):
        if any(os.path.ismount(os.path.join(here, name)) for name in folders):
            raise ConflictError(f"something is mounted below {here}", hint="unmount it first")
        # One that no daemon lists any more, or that `once` made.
        if not _REPOSITORY.isdisjoint(names):
            raise ConflictError(f"a repository lies in {here}", hint="move it away first: data is never removed")
        if os.path.realpath(here) != os.path.realpath(keys):
            for path in (os.path.join(here, name) for name in names):
                if _is_key(path):
                    raise ConflictError(
                        f"{path} holds a key, and may be its only copy", hint="move the file away first"
                    )


def _is_key(path: str) -> bool:
    """Whether a file begins as one with a key does. Raises AccessError."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(64).removeprefix(_BOM).startswith(_KEY_BEGINS)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise AccessError(
            f"can't read {path}: {error.strerror}", hint="it may hold a key: look, or move it away"
        ) from error


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
