"""Hard links: the first name of a group is written like any entry, the others are linked to it in the end."""

from __future__ import annotations

import msgspec

from backupd.errors import TargetError
from backupd.model import work
from backupd.operations.restore.outcome import Outcome
from backupd.operations.restore.writing import Writing
from backupd.target.directories import Directories
from backupd.target.nodes import HARD_LINK_LOST, link
from backupd.tree.entry import Entry


class _Later(msgspec.Struct, frozen=True):
    directory: bytes
    name: bytes
    entry: Entry
    action: int

    @property
    def path(self) -> bytes:
        return self.directory + b"/" + self.name if self.directory else self.name


class HardLinks:
    """Names of groups that this restore met."""

    def __init__(self, writing: Writing, directories: Directories, outcome: Outcome) -> None:
        self._writing, self._directories, self._outcome = writing, directories, outcome
        self._first: dict[bytes, tuple[bytes, bytes]] = {}
        self._kinds: dict[bytes, int] = {}
        self._later: dict[bytes, list[_Later]] = {}

    def is_first(self, group: bytes, directory: bytes, name: bytes, kind: int) -> bool:
        """Whether this name is to be written itself: it is the group's first, or contradicts it."""
        if group in self._first:
            return self._kinds[group] != kind
        self._first[group] = directory, name
        self._kinds[group] = kind
        return True

    def add(self, group: bytes, directory: bytes, name: bytes, entry: Entry, action: int) -> None:
        """A further name."""
        self._later.setdefault(group, []).append(_Later(directory, name, entry, action))

    def finish(self) -> None:
        """Make all further names; all first ones are written or have failed. Raises TargetFullError."""
        while self._later:
            for group in list(self._later):
                if self._writing.has_failed(group):
                    # What kept the first name from being written may not hold for the next.
                    self._promote(group)
                else:
                    for later in self._later.pop(group):
                        self._link(group, later)
            self._writing.drain()

    def _promote(self, group: bytes) -> None:
        first, *rest = self._later.pop(group)
        self._first[group] = first.directory, first.name
        if rest:
            self._later[group] = rest
        self._writing.add(first.directory, first.name, first.entry, first.action)

    def _link(self, group: bytes, later: _Later) -> None:
        first_directory, first_name = self._first[group]
        outcome = self._outcome
        try:
            first_fd = self._directories.open(first_directory)
            directory_fd = self._directories.open(later.directory)
            is_linked = link((first_fd, first_name), directory_fd, later.name, later.action != work.CREATE)
        except TargetError as error:
            outcome.fail(later.path, "unwritable", error.message)
            return
        if not is_linked:
            outcome.note(later.path, "metadata", HARD_LINK_LOST)
            self._writing.add(later.directory, later.name, later.entry, later.action)
            return
        outcome.done_files += 1
        outcome.done_bytes += later.entry.size
        if later.action == work.REFRESH:
            outcome.same += 1
        else:
            outcome.restored += 1
