"""A note that a restore was begun, so that the next one knows the files it left unfinished.

A killed restore leaves a few files under their names with a time stamp of now, which look newer than the snapshot's.
They have mode 0600 until they are finished, are the caller's own, and were last changed after that restore began.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes

from blake3 import blake3

from backupd import durable_io
from backupd.operations.context import JobContext
from backupd.settings.directories import ensure, translated

_SLACK_NS = 1_000_000_000
"""File systems stamp with a clock that lags some milliseconds behind."""


class Note:
    """One restore of one snapshot to one target by this user."""

    def __init__(self, context: JobContext, repository_id: bytes, snapshot_id: bytes, target: bytes) -> None:
        name = blake3(repository_id + snapshot_id + os.path.realpath(target)).hexdigest(16)
        directory = os.path.join(context.directories.state, "restores")
        self._path = os.path.join(directory, name)
        self._directory = directory
        self._now_ns = context.clock.now_ns()
        self._since_ns = self._read()

    def begin(self) -> None:
        """Write it down, unless an earlier one that did not end stands there."""
        if self._since_ns is None:
            ensure(self._directory)
            try:
                durable_io.replace(self._path, [str(self._now_ns).encode()])
            except OSError as error:
                raise translated(error, self._path) from error

    def end(self) -> None:
        """The restore came to its end: nothing is unfinished."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def is_unfinished(self, stat: os.stat_result) -> bool:
        """Whether what stands in the target is a file that an earlier restore did not finish."""
        return (
            self._since_ns is not None
            and stat.st_mode == modes.S_IFREG | 0o600
            and stat.st_uid == os.geteuid()
            and stat.st_mtime_ns >= self._since_ns - _SLACK_NS
        )

    def _read(self) -> int | None:
        try:
            with open(self._path, "rb") as file:
                return int(file.read(32))
        except (OSError, ValueError):
            return None
