"""Where the states of a job's files lie in the daemon's state, and how they are read."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection

from backupd.cache.file_states import FileStatesPart, forget_oldest, read_file_states
from backupd.errors import BackupError
from backupd.model.files import FileStateName, KeptStates
from backupd.settings.directories import ensure

_log = logging.getLogger("backupd.jobs")


class JobFiles:
    """One file a job in `files` below the state directory; those of the jobs longest ago go when there are too many."""

    def __init__(self, state: str) -> None:
        self._directory = os.path.join(state, "files")

    def begin(self, job_id: str, destination: str) -> KeptStates | None:
        """What a job process is told; None where nothing can be kept, which fails no job."""
        try:
            forget_oldest(ensure(self._directory))
        except (BackupError, OSError) as error:
            _log.warning("states of files are not kept: %s", error)
            return None
        return KeptStates(path=self._path(job_id), destination=destination)

    def read(self, job_id: str, after: int, wanted: Collection[FileStateName], most: int) -> FileStatesPart:
        """A page. Raises AccessError, StateError."""
        return read_file_states(self._path(job_id), after, wanted, most)

    def forget(self, jobs: Collection[str]) -> None:
        """Remove the states of these jobs' files."""
        for job_id in jobs:
            try:
                os.unlink(self._path(job_id))
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("states of files of job %s are not removed: %s", job_id, error)

    def _path(self, job_id: str) -> str:
        return os.path.join(self._directory, job_id)
