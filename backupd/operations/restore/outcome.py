"""What a restore counts, the problems it meets, and what it tells in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backupd.errors import BackupError, DamageError, RestoreLossError
from backupd.model import events
from backupd.model.results import Problem, ProblemKind, path_fields
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace

FIRST_PROBLEMS = 20
KEPT_NAMES = 1000


class Outcome:
    """Counters of one restore; the coordinator's thread alone changes them."""

    def __init__(
        self, context: JobContext, target: bytes, place: OpenPlace, on_progress: Callable[[], None]
    ) -> None:
        """place: that is read. on_progress: called often, as a sign of life."""
        self.healed, self._check = place.healed, f"bkctl check {place.from_words}"
        self._context, self._target, self._on_progress = context, target.rstrip(b"/"), on_progress
        self.restored = self.same = self.skipped = self.failed = self.deleted = 0
        self.restored_bytes = self.fetched_bytes = self.read_back_bytes = 0
        self.is_read_back = False
        self.done_files = self.done_bytes = 0
        """Dealt with in any way, for the progress."""
        self.total_files: int | None = None
        self.total_bytes: int | None = None
        self.changed_count = 0
        """Files whose bytes may mix two states."""
        self.problem_count = 0
        self.damaged: list[Problem] = []
        self._first: list[Problem] = []
        self._began_at = context.elapsed_seconds

    def full_path(self, path: bytes) -> bytes:
        """The path on this machine of one below the target."""
        return self._target + b"/" + path

    def fail(self, path: bytes, kind: ProblemKind, message: str) -> None:
        """Count an entry that was not written as it should be."""
        self.failed += 1
        self.note(path, kind, message)

    def note(self, path: bytes, kind: ProblemKind, message: str) -> None:
        """Count a problem, as of an entry that was written but lost something."""
        problem = Problem(path=self.full_path(path), kind=kind, message=message)
        self.problem_count += 1
        is_damage = kind == "damaged"
        if is_damage and len(self.damaged) < KEPT_NAMES:
            self.damaged.append(problem)
        if len(self._first) < FIRST_PROBLEMS:
            self._first.append(problem)
        severity: events.Severity = "error" if is_damage else "warning"
        self._context.tell(severity, message, path=problem.path, verbosity=0 if is_damage else 1)

    def progress(self, path: bytes) -> None:
        """Tell how far the restore is, waiting while it is paused; path: what was written last. Raises StoppedError."""
        self._on_progress()
        self._context.progress(lambda elapsed: self._progress(elapsed, path))
        self._context.wait_while_paused(tick=self._on_progress)

    def problems(self) -> dict[str, Any]:
        """For the result."""
        first = [{**path_fields(p.path), "kind": p.kind, "message": p.message} for p in self._first]
        return {"count": self.problem_count, "first": first}

    def counts(self) -> dict[str, Any]:
        """For the result."""
        files = {
            "restored": self.restored,
            "same": self.same,
            "skipped": self.skipped,
            "failed": self.failed,
            "deleted": self.deleted,
        }
        sizes = {"restored": self.restored_bytes, "fetched": self.fetched_bytes}
        verified = {"verified": {"bytes": self.read_back_bytes}} if self.is_read_back else {}
        return {"files": files, "bytes": sizes, **verified}

    def error(self) -> BackupError | None:
        """The error that goes with the result; None when all is well."""
        if self.damaged:
            count = len(self.damaged)
            return DamageError(
                f"{count} {'entry is' if count == 1 else 'entries are'} damaged and not restored whole; all else is",
                hint=f"an older snapshot may hold them whole: --as-of; `{self._check}` says what is hit",
                context={"damaged": [path_fields(p.path)["path"] for p in self.damaged[:100]]},
            )
        if self.problem_count:
            count = self.problem_count
            return RestoreLossError(
                f"{count} {'entry was' if count == 1 else 'entries were'} not written or lost metadata",
                hint="-v names each; all else is restored",
            )
        return None

    def _progress(self, elapsed: float, path: bytes) -> events.Progress:
        return events.Progress(
            step="restore",
            files_done=self.done_files,
            files_total=max(self.total_files, self.done_files) if self.total_files is not None else None,
            bytes_done=self.done_bytes,
            bytes_total=max(self.total_bytes, self.done_bytes) if self.total_bytes is not None else None,
            current=self.full_path(path),
            eta_seconds=self._eta(elapsed),
            elapsed_seconds=elapsed,
        )

    def _eta(self, elapsed: float) -> float | None:
        if not self.total_bytes or not self.total_files or not self.done_files:
            return None
        done = max(self.done_bytes / self.total_bytes, 0.0) / 2 + min(1.0, self.done_files / self.total_files) / 2
        return (elapsed - self._began_at) * (1 / min(1.0, done) - 1) if done > 0 else None
