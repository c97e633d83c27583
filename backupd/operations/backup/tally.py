"""What a backup run counts, and the problems it meets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from backupd.model.events import Severity
from backupd.model.files import FileStateName
from backupd.model.results import ByteCounts, FileCounts, Problem, ProblemKind
from backupd.operations.backup.file_states import FileStates
from backupd.rules.tolerance import Tolerances
from backupd.tree import entry as entries

KEPT_PROBLEMS = 1000


class Tally:
    """Counters of one run; the coordinator's thread alone changes them."""

    def __init__(
        self,
        tell: Callable[[Problem, Severity], None],
        warn: Callable[[str], None],
        states: FileStates,
        tolerances: Tolerances | None = None,
    ) -> None:
        """tell: of a problem. warn: of what the whole run is to know."""
        self._tell, self.warn, self.states = tell, warn, states
        self._tolerances = tolerances if tolerances is not None else Tolerances()
        self.seen = self.new = self.changed = self.same = self.gone = self.left_out = 0
        self.attributes = self.failed = 0
        """Among `changed` those whose content is as it was; what is not stored, for it could not be read."""
        self.new_file_bytes = self.changed_file_bytes = self.attributes_file_bytes = 0
        self.gone_file_bytes = self.failed_file_bytes = 0
        """Sizes of these files, as the walk saw them; of those that are gone, as they were stored."""
        self.directories = 0
        self.seen_bytes = self.read_bytes = self.kept_bytes = 0
        """In the source; read in this run; of files taken over unread."""
        self.problem_count = self.flagged = 0
        """What is to be looked at, and how much of that makes no difference to how the run ends."""
        self.first_flagged: Problem | None = None
        self.kinds: Counter[ProblemKind] = Counter()
        self.tolerated: Counter[ProblemKind] = Counter()
        """Beside the problems: what the set has said to be well."""
        self.problems: list[Problem] = []
        self.links_outside = 0
        self.has_loose_links = False
        """Whether names went of files that may have others where nobody looked."""
        self.current = b""
        self.example = b""
        """A file that is stored, for the restore command that is shown."""
        self.stale_files = self.stale_bytes = 0
        """What a migration reads again though it did not change, as far as was known when it began."""
        self.uids: set[int] = set()
        self.gids: set[int] = set()

    def problem(self, path: bytes, kind: ProblemKind, message: str) -> None:
        """Count a problem and tell it, as the set's rules have it."""
        found = Problem(path=path, kind=kind, message=message)
        tolerance = self._tolerances.of(path, kind) if kind in ("changed", "vanished", "unreadable") else None
        if tolerance == "ok":
            self.tolerated[kind] += 1
            self._tell(found, "information")
            return
        if tolerance == "warn":
            self.flagged += 1
            self.first_flagged = self.first_flagged or found
        self.problem_count += 1
        self.kinds[kind] += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(found)
        self._tell(found, "warning")

    @property
    def beyond(self) -> int:
        """Problems by which the run does not end well."""
        return self.problem_count - self.flagged

    def count(self, former: bytes, encoded: bytes, byte_count: int) -> bool:
        """Count a file by its entries, before (empty: there was none) and now; whether they are the same.

        byte_count: its size. A first backup comes here once a file, so only changed files are decoded.
        """
        if former == encoded:
            self.same += 1
            return True
        if not former:
            self.new += 1
            self.new_file_bytes += byte_count
            return False
        self.changed += 1
        self.changed_file_bytes += byte_count
        if _content(entries.decode(former)) == _content(entries.decode(encoded)):
            self.attributes += 1
            self.attributes_file_bytes += byte_count
        return False

    def lose(self, files: int, byte_count: int) -> None:
        """Count files that are in the source no more."""
        self.gone += files
        self.gone_file_bytes += byte_count

    def fail(self, path: bytes, name: bytes, reason: str, byte_count: int = 0) -> None:
        """Count what is not stored, and keep its state; its problem is told apart. name: as of `state`."""
        self.failed += 1
        self.failed_file_bytes += byte_count
        self.state(path, name, "failed", reason)

    def state(self, directory: bytes, name: bytes, state: FileStateName, reason: str = "") -> None:
        """Keep the state of a file where states are kept; name: empty for the directory itself."""
        if self.states.is_kept:
            self.states.add(directory.rstrip(b"/") + b"/" + name if name else directory, state, reason)

    def take_over(self, directory: bytes, below: int, files: int, byte_count: int) -> None:
        """Count a directory with all below it that nobody looked at, for nothing changed there."""
        self.directories += below
        self.seen += files
        self.seen_bytes += byte_count
        self.same += files
        self.kept_bytes += byte_count
        self.unchanged(directory, files)

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
            attributes=self.attributes,
            failed=self.failed,
        )

    def byte_counts(self, new_bytes: int) -> ByteCounts:
        """For the result."""
        return ByteCounts(
            seen=self.seen_bytes,
            read=self.read_bytes,
            new=new_bytes,
            new_files=self.new_file_bytes,
            changed_files=self.changed_file_bytes,
            attributes_files=self.attributes_file_bytes,
            gone_files=self.gone_file_bytes,
            failed_files=self.failed_file_bytes,
        )


def _content(entry: entries.Entry) -> tuple[object, ...]:
    """What of an entry is content."""
    extents = entry.extra.extents if entry.extra is not None else None
    return (entry.kind, entry.size, entry.content, extents)
