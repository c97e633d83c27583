"""What a backup run counts, and the problems it meets."""

from __future__ import annotations

from collections.abc import Callable

from backupd.model.files import FileStateName
from backupd.model.results import ByteCounts, FileCounts, Problem, ProblemKind
from backupd.operations.backup.file_states import FileStates

KEPT_PROBLEMS = 1000


class Tally:
    """Counters of one run; the coordinator's thread alone changes them."""

    def __init__(self, tell: Callable[[Problem], None], warn: Callable[[str], None], states: FileStates) -> None:
        """tell: of a problem. warn: of what the whole run is to know."""
        self._tell, self.warn, self.states = tell, warn, states
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
        self.stale_files = self.stale_bytes = 0
        """What a migration reads again though it did not change, as far as was known when it began."""
        self.uids: set[int] = set()
        self.gids: set[int] = set()

    def problem(self, path: bytes, kind: ProblemKind, message: str) -> None:
        """Count a problem and tell it."""
        found = Problem(path=path, kind=kind, message=message)
        self.problem_count += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(found)
        self._tell(found)

    def count(self, former: bytes, encoded: bytes) -> bool:
        """Count a file by its entries, before (empty: there was none) and now; whether they are the same."""
        if not former:
            self.new += 1
        elif former == encoded:
            self.same += 1
        else:
            self.changed += 1
        return former == encoded

    def state(self, directory: bytes, name: bytes, state: FileStateName, reason: str = "") -> None:
        """Keep the state of a file where states are kept; name: empty for the directory itself."""
        if self.states.is_kept:
            self.states.add(directory.rstrip(b"/") + b"/" + name if name else directory, state, reason)

    def unchanged(self, directory: bytes, files: int) -> None:
        """Files of a directory are as the last run left them; none was looked at alone."""
        if self.states.is_kept and files:
            self.states.add(directory.rstrip(b"/") + b"/", "unchanged", files=files)

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
