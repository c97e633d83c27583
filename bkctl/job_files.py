"""States of a job's files, fetched page by page as they come."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from backupd.errors import UsageError
from backupd.model.api import FilesPage
from backupd.model.files import FileState
from backupd.model.jobs import JobView
from bkctl.daemon_client import DaemonClient

_PAGE = 1000


class JobFiles:
    """What is new of one job's files since the last look."""

    def __init__(self, client: DaemonClient, job: JobView, states: str = "") -> None:
        """states: only these, with commas between; empty: all. Raises UsageError for a job that is no backup."""
        if job.kind != "backup":
            raise UsageError(
                f"job {job.id[:9]} is a {job.kind}; only backups keep the states of their files",
                hint=f"bkctl job log {job.id[:9]} names the files that it had to say something about",
            )
        self._client, self._base, self._states = client, f"/v1/jobs/{job.id}/files", states
        self._after = 0
        self._running: list[bytes] = []
        self.more_waiting = self.not_kept = 0
        """At the last look."""

    def look(self, pages: int | None = None, *, waiting: bool = False) -> Iterator[FileState]:
        """States since the last look, at last files that began to be read meanwhile, and those that wait if wanted.

        pages: so many at most.
        Raises the daemon's error, DaemonUnreachableError.
        """
        page: FilesPage | None = None
        while page is None or (not page.is_end and pages != 0):
            query = urlencode({"after": self._after, "limit": _PAGE, "states": self._states})
            page = self._client.get(f"{self._base}?{query}", FilesPage)
            pages = pages - 1 if pages is not None else None
            self._after = page.next
            self.not_kept = max(self.not_kept, page.not_kept)
            yield from page.files
        yield from (FileState(path=path, state="running") for path in page.running if path not in self._running)
        self._running, self.more_waiting = page.running, page.more_waiting
        yield from (FileState(path=path, state="waiting") for path in page.waiting if waiting)
