"""What a backup run counts, and the problems it meets."""

from __future__ import annotations

from collections.abc import Callable

from backupd.model.results import ByteCounts, FileCounts, Problem, ProblemKind

KEPT_PROBLEMS = 1000


class Tally:
    """Counters of one run; the coordinator's thread alone changes them."""

    def __init__(self, tell: Callable[[Problem], None], warn: Callable[[str], None]) -> None:
        """tell: of a problem. warn: of what the whole run is to know."""
        self._tell, self.warn = tell, warn
        self.seen = self.new = self.changed = self.same = self.gone = self.left_out = 0
        self.directories = 0
        self.seen_bytes = self.read_bytes = self.kept_bytes = 0
        """In the source; read in this run; of files taken over unread."""
        self.problem_count = 0
        self.problems: list[Problem] = []
        self.links_outside = 0
        self.current = b""
        self.example = b""
        """A file that is stored, for the restore command that is shown."""
        self.uids: set[int] = set()
        self.gids: set[int] = set()

    def problem(self, path: bytes, kind: ProblemKind, message: str) -> None:
        """Count a problem and tell it."""
        found = Problem(path=path, kind=kind, message=message)
        self.problem_count += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(found)
        self._tell(found)

    def file_counts(self) -> FileCounts:
        """For the result."""
        return FileCounts(
            seen=self.seen,
            new=self.new,
            changed=self.changed,
            same=self.same,
            gone=self.gone,
            left_out=self.left_out,
        )

    def byte_counts(self, new_bytes: int) -> ByteCounts:
        """For the result."""
        return ByteCounts(seen=self.seen_bytes, read=self.read_bytes, new=new_bytes)
