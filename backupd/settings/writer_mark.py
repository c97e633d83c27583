"""Marks of running writers: a killed one's mark says which temporary files at a place were its own (DESIGN 3, tmp/)."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from types import TracebackType

from backupd import durable_io
from backupd.settings.directories import ensure
from backupd.state_errors import translated


class WriterMark:
    """A locked file `<state>/writers/<place>-<tag>` while this writer runs."""

    def __init__(self, state: str, place_tag: str, tag: str) -> None:
        """place_tag: tells places apart. tag: begins the names of this writer's temporary files there."""
        self._directory, self._prefix = os.path.join(state, "writers"), place_tag + "-"
        self._path = os.path.join(self._directory, self._prefix + tag)
        self._fd = -1
        self._is_kept = False

    def __enter__(self) -> WriterMark:
        """Make the mark, on the disk when this returns. Raises StateFullError, AccessError."""
        ensure(self._directory)
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            durable_io.sync_directory(self._directory)
        except OSError as error:
            raise translated(error, self._path) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the mark: nothing of this writer is left behind. One that can't be removed is the next writer's."""
        os.close(self._fd)
        if not self._is_kept:
            with suppress(OSError):
                os.unlink(self._path)

    def keep(self) -> None:
        """The place failed and may hold temporary files of this writer: the next one removes them by this mark."""
        self._is_kept = True

    def dead_tags(self) -> list[str]:
        """Tags of writers at this place whose process is gone; `forget` them when their files are removed."""
        tags: list[str] = []
        try:
            for name in sorted(os.listdir(self._directory)):
                path = os.path.join(self._directory, name)
                if name.startswith(self._prefix) and path != self._path and _is_free(path):
                    tags.append(name.removeprefix(self._prefix))
        except OSError as error:
            raise translated(error, self._directory) from error
        return tags

    def forget(self, tag: str) -> None:
        """Remove a dead writer's mark; one that can't be removed is the next writer's."""
        with suppress(OSError):
            os.unlink(os.path.join(self._directory, self._prefix + tag))


def _is_free(path: str) -> bool:
    """Whether nobody holds the lock of a file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
