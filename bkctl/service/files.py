"""Files that an installation writes: what changes is known before, and what failed is taken back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from backupd.errors import AccessError, BackupError

_MOST_BYTES = 1 << 20


def read_files(paths: list[str]) -> dict[str, bytes]:
    """Those that are there. Raises AccessError."""
    found: dict[str, bytes] = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                found[path] = file.read(_MOST_BYTES)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise AccessError(f"can't read {path}: {error.strerror}") from error
    return found


def differences(former: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> dict[str, dict[str, str | None]]:
    """Path -> {from, to}, texts; None: no such file."""
    return {
        path: {"from": _text(former.get(path)), "to": _text(wanted.get(path))}
        for path in sorted({*former, *wanted})
        if former.get(path) != wanted.get(path)
    }


def bring(former: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> None:
    """Have the files be as wanted, and none else of them be there. Raises BackupError; all is as before then."""
    try:
        for path in sorted(former.keys() - wanted.keys()):
            os.unlink(path)
            with suppress(OSError):
                # A directory of drop-ins goes with the last of them.
                os.rmdir(os.path.dirname(path))
        for path, data in sorted(wanted.items()):
            if former.get(path) != data:
                _write(path, data)
    except OSError as error:
        take_back(former, wanted)
        raise AccessError(
            f"can't write {error.filename}: {error.strerror}", hint="nothing was installed; is it your own to write?"
        ) from error


def take_back(former: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> None:
    """Have the files be as they were, as far as that can be."""
    for path in sorted(wanted.keys() - former.keys()):
        with suppress(OSError):
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
    for path, data in former.items():
        with suppress(OSError):
            _write(path, data)


def _write(path: str, data: bytes) -> None:
    """A file that appears whole, readable by all: it holds no secrets."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    written = f"{path}.{os.getpid()}.part"
    with open(written, "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(written, path)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def others_can_write(path: str) -> str | None:
    """The first of a path and the directories above it that somebody other than root can write to; None: no one."""
    here = os.path.realpath(path)
    while True:
        try:
            found = os.stat(here)
        except OSError as error:
            raise BackupError(f"can't look at {here}: {error.strerror}") from error
        # A directory like /tmp, in which nobody removes what is another's, is safe for what is root's.
        is_open = found.st_mode & 0o002 or (found.st_mode & 0o020 and found.st_gid != 0)
        if found.st_uid != 0 or (is_open and not found.st_mode & 0o1000):
            return here
        if here == "/":
            return None
        here = os.path.dirname(here)
