"""The programs that make snapshots: found, run in time, heard within bounds, and what they say put into errors."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, NamedTuple, Protocol

from backupd.cancel import Cancel
from backupd.clock import Clock
from backupd.command_errors import (
    CommandRefusedError,
    FsSnapshotError,
    FsSnapshotProgramError,
    FsSnapshotRightError,
)
from backupd.model.results import shown
from backupd.operations.programs.accounts import SEARCH_PATH
from backupd.operations.programs.groups import signal_group
from backupd.operations.programs.vouching import vouch

_SECONDS = 300.0
_MOST_BYTES = 8 << 20
_MOST_SAID = 500
_TURN_SECONDS = 0.1
_GRACE_SECONDS = 5.0
"""For a program under way when the job is cancelled."""
_NEVER_KILLED = ("lvcreate", "lvremove")
"""Killed in its course, one leaves the volume suspended: whoever writes to it hangs."""
_PACKAGES = {
    "btrfs": "btrfs-progs",
    "zfs": "zfsutils-linux (Debian), zfs (OpenZFS's own repository)",
    "lvs": "lvm2",
    "lvcreate": "lvm2",
    "lvremove": "lvm2",
}
_RIGHT_WORDS = (b"operation not permitted", b"permission denied", b"must be root", b"requires root", b"not privileged")
_SPACE_WORDS = (b"no space left", b"insufficient free space", b"out of space", b"quota exceeded")
_RIGHT_HINT = "have root do it; a service wants `bkctl daemon install --with fs-snapshots`"
OR_LIVE = "or have files read as they are: --fs-snapshot-fallback live"
"""What always helps, at the end of a hint."""


class Ended(NamedTuple):
    """How a program ended, and what it wrote."""

    exit: int
    output: bytes
    errors: bytes


class Programs(Protocol):
    """Runs programs."""

    def run(self, words: Sequence[str | bytes]) -> Ended:
        """Run one to its end, whatever that is. Raises FsSnapshotError."""
        ...


class SystemPrograms:
    """Those that are installed."""

    def __init__(
        self, environment: Mapping[str, str], clock: Clock, cancel: Cancel | None = None, seconds: float = _SECONDS
    ) -> None:
        """environment: where PATH may be. seconds: for each, then it is ended; soon after a job is cancelled, too."""
        self._path, self._seconds = f"{environment.get('PATH', '')}:{SEARCH_PATH}".lstrip(":"), seconds
        self._clock, self._cancel = clock, cancel

    def run(self, words: Sequence[str | bytes]) -> Ended:
        """Run one to its end, whatever that is. Raises FsSnapshotError."""
        name = os.fsdecode(words[0])
        found = shutil.which(name, path=self._path)
        if found is None:
            package = _PACKAGES.get(name)
            hint = f"install {package}" if package else "is it in backupd's PATH?"
            raise FsSnapshotProgramError(f"{name} is not installed", hint=hint)
        try:
            vouch(found, {0, os.geteuid()})
        except CommandRefusedError as error:
            raise FsSnapshotProgramError(error.message, hint=error.hint) from error
        environment = {"PATH": self._path, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    [found, *words[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    cwd="/",
                    env=environment,
                    process_group=0,
                )
            except (OSError, ValueError) as error:
                raise FsSnapshotError(f"{name} can't be run: {getattr(error, 'strerror', None) or error}") from error
            self._wait(process, name, output)
            return Ended(process.returncode, _read(output, name), _read(errors, name)[-_MOST_SAID:])

    def _wait(self, process: subprocess.Popen[bytes], name: str, output: IO[bytes]) -> None:
        end = self._clock.monotonic() + self._seconds
        is_cancelled = False
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TURN_SECONDS)
                return
            now = self._clock.monotonic()
            if not is_cancelled and self._cancel is not None and self._cancel.is_requested:
                end, is_cancelled = min(end, now + _GRACE_SECONDS), True
            if now >= end or os.fstat(output.fileno()).st_size > _MOST_BYTES:
                is_asked = name in _NEVER_KILLED
                signal_group(process.pid, None, signal.SIGTERM if is_asked else signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    if process.wait(_GRACE_SECONDS if is_asked else 1) == 0:
                        return
                raise FsSnapshotError(
                    f"{name} did not come to its end in time",
                    hint="does the disk answer? what it began is removed at the next run",
                )


def _read(file: IO[bytes], name: str) -> bytes:
    file.seek(0)
    read = file.read(_MOST_BYTES + 1)
    if len(read) > _MOST_BYTES:
        raise FsSnapshotError(f"{name} says more than anybody could want to know")
    return read


def done(programs: Programs, what: str, words: Sequence[str | bytes]) -> bytes:
    """Run one that has to end well; its output. what: is not done else. Raises FsSnapshotError."""
    ended = programs.run(words)
    if ended.exit == 0:
        return ended.output
    raise failure(what, os.fsdecode(words[0]), ended)


def failure(what: str, name: str, ended: Ended) -> FsSnapshotError:
    """The error of a program that failed."""
    lines = [line.strip() for line in ended.errors.splitlines() if line.strip()]
    said = shown(lines[-1]) if lines else f"it ended with exit {ended.exit}"
    lower = ended.errors.lower()
    if any(word in lower for word in _RIGHT_WORDS):
        return FsSnapshotRightError(f"{what}: {name}: {said}", hint=_RIGHT_HINT)
    if any(word in lower for word in _SPACE_WORDS):
        return FsSnapshotError(f"{what}: {name}: {said}", hint=f"make space there, {OR_LIVE}")
    return FsSnapshotError(f"{what}: {name}: {said}")


def no_right(what: str) -> FsSnapshotRightError:
    """The error where it is plain beforehand that the right is missing."""
    return FsSnapshotRightError(what, hint=_RIGHT_HINT)
