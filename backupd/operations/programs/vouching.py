"""Whether a program may be run with the daemon's rights: nobody else could have put another one in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

from backupd.command_errors import CommandRefusedError

_OTHERS_WRITE = 0o022
_MOST_LINKS = 40


def vouch(path: str, owners: Collection[int]) -> None:
    """Raises CommandRefusedError unless a program is only in the hands of its owners.

    It and all that leads there, symbolic links and directories up to `/`, belong to one of the owners and can't be
    written by anybody else; a directory may be where it is sticky.
    """
    try:
        _walk(path, owners)
    except FileNotFoundError as error:
        raise CommandRefusedError(f"{path} is not there", hint="is it installed?") from error
    except (OSError, ValueError) as error:
        raise CommandRefusedError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _walk(path: str, owners: Collection[int]) -> None:
    left = path.split("/")
    here, links = "/", 0
    _check_directory(here, os.lstat(here), owners)
    while left:
        name = left.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        entry = os.path.join(here, name)
        found = os.lstat(entry)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise CommandRefusedError(f"{path}: too many symbolic links")
            _check_owner(entry, found, owners)
            target = os.readlink(entry)
            left = [*target.split("/"), *left]
            here = "/" if target.startswith("/") else here
        elif any(word not in ("", ".") for word in left):
            if not stat.S_ISDIR(found.st_mode):
                raise CommandRefusedError(f"{entry} is no directory")
            _check_directory(entry, found, owners)
            here = entry
        else:
            _check_program(entry, found, owners)
            return
    raise CommandRefusedError(f"{path} is no program", hint="name the file itself")


def _check_program(path: str, found: os.stat_result, owners: Collection[int]) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CommandRefusedError(f"{path} is no program", hint="name the file itself")
    _check_owner(path, found, owners)
    if found.st_mode & _OTHERS_WRITE:
        raise CommandRefusedError(f"others than its owner may write to {path}", hint=f"chmod go-w {path}")
    if not found.st_mode & 0o111:
        raise CommandRefusedError(f"{path} is not executable", hint=f"chmod +x {path}")


def _check_directory(path: str, found: os.stat_result, owners: Collection[int]) -> None:
    _check_owner(path, found, owners)
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        message = f"others than its owner may write to the directory {path}, and so put another program there"
        raise CommandRefusedError(message, hint=f"chmod go-w {path}, or keep the program elsewhere")


def _check_owner(path: str, found: os.stat_result, owners: Collection[int]) -> None:
    if found.st_uid not in owners:
        names = " nor ".join("root" if uid == 0 else f"to uid {uid}" for uid in sorted(set(owners)))
        raise CommandRefusedError(f"{path} belongs to uid {found.st_uid}, not to {names}", hint="chown it")
