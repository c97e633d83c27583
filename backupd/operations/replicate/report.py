"""What a replication came to, as its result tells it."""

from __future__ import annotations

from typing import Any

from backupd.errors import BackupError, DamageError
from backupd.model import events
from backupd.model.results import path_fields
from backupd.operations.context import JobContext, error_fields
from backupd.operations.snapshots import identify
from backupd.repository.tree_check import Hit
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.store_errors import BlocksLostError, StoredAgainError

_MOST_FILES = 100
"""Named of each snapshot that can't be copied; all are counted."""


class Report:
    """Counts, and what could not be done."""

    def __init__(self, context: JobContext, from_name: str, to_name: str) -> None:
        self._context, self.from_name, self.to_name = context, from_name, to_name
        self.repository = ""
        self.is_made = False
        """Whether the repository was not yet at the new place."""
        self.wanted_count = self.there_count = self.partial_count = 0
        self.copied: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []
        self.skipped: dict[str, BackupError] = {}
        """Sets that a job is running on, by name."""
        self.lost: BlocksLostError | None = None
        """What became of blocks that were copied once more."""
        self.stored_bytes = self.fetched_bytes = 0
        self.held_bytes: int | None = None
        """What the repository takes at the new place; None: nothing was missing there, so nobody counted."""

    def has_copied(self, snapshot: Snapshot) -> bool:
        """Whether this job brought it there."""
        return naming.snapshot_id_text(snapshot.id) in {one["id"] for one in self.copied}

    @property
    def done_count(self) -> int:
        """Snapshots of which it is known what became of them."""
        return self.there_count + len(self.copied) + len(self.failed)

    def add_copied(self, snapshot: Snapshot) -> None:
        """A snapshot stands at the new place."""
        self.copied.append(identify(snapshot, self._context.zone))

    def add_lost(self, snapshot: Snapshot, message: str, hits: list[Hit]) -> None:
        """A snapshot can't be copied: what it needs is lost at the old place."""
        named = identify(snapshot, self._context.zone)
        paths = list(dict.fromkeys(hit.path for hit in hits))
        self._fail({**named, "message": message, "files": paths[:_MOST_FILES], "files_count": len(paths)})
        where = f": {path_fields(paths[0])['path']}" + f" and {len(paths) - 1} more" * bool(paths[1:]) if paths else ""
        self._context.warn(f"{named['short']} of {named['time']} was not copied: {message}{where}")

    def add_unreadable(self, name: str, message: str) -> None:
        """A snapshot's own object can't be read at the old place."""
        self._fail({"id": None, "short": None, "message": message, "files": [], "files_count": 0})
        self._context.warn(f"{name} was not copied: {message}")

    def _fail(self, entry: dict[str, Any]) -> None:
        self.failed.append({**entry, "files": [path_fields(path) for path in entry["files"]]})

    def end(self, error: BackupError | None) -> events.Done:
        """The end of the job. error: what kept it from going on."""
        error = error or self._error()
        return events.Done(
            exit_code=error.exit_code if error is not None else 0,
            result=self._result(),
            warnings=self._context.warnings,
            error=error_fields(error) if error is not None else None,
        )

    def _error(self) -> BackupError | None:
        if self.failed:
            are = "1 snapshot is" if len(self.failed) == 1 else f"{len(self.failed)} snapshots are"
            return DamageError(
                f"{are} damaged at {self.from_name} and not copied; {len(self.copied)} were copied",
                hint="bkctl check --crc at that place says what is hit; when it is healed there, run this again",
                context={"destination": self.from_name, "snapshots": [one["id"] for one in self.failed]},
            )
        if self.skipped:
            return next(iter(self.skipped.values()))
        return StoredAgainError.after(self.lost.message) if self.lost is not None else None

    def _result(self) -> dict[str, Any]:
        return {
            "from": self.from_name,
            "to": self.to_name,
            "repository": self.repository,
            "created": self.is_made,
            "snapshots": {
                "copied": len(self.copied),
                "there": self.there_count,
                "failed": len(self.failed),
                "partial": self.partial_count,
            },
            "bytes": {"copied": self.stored_bytes, "fetched": self.fetched_bytes, "held": self.held_bytes},
            "seconds": round(self._context.elapsed_seconds, 3),
            "copied": self.copied,
            "failed": self.failed,
            "skipped": [{"set": name, "reason": error.message} for name, error in self.skipped.items()],
        }
