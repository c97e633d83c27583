"""Looking before writing: what would be done, what is newer than the snapshot, what the snapshot does not hold."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable
from typing import Any

from backupd.errors import DamageError, TargetError
from backupd.model.results import path_fields
from backupd.operations.restore.deciding import Decider
from backupd.target.directories import Directories
from backupd.target.existing import Verdict
from backupd.target.unmatched import IsSpared, list_unmatched
from backupd.tree.entry import Entry

MOST_STEPS = 100_000
_ACTIONS = {
    Verdict.CREATE: "create",
    Verdict.REPLACE: "replace",
    Verdict.SKIP: "skip",
    Verdict.NEWER: "ask",
}

FullPath = Callable[[bytes], bytes]


class Survey:
    """A visitor of the walk that changes nothing. Paths are relative to the target."""

    def __init__(
        self, directories: Directories | None, decider: Decider, is_spared: IsSpared | None, full_path: FullPath | None
    ) -> None:
        """Set up.

        directories: None where the target does not exist yet. is_spared: None where nothing is to be deleted.
        full_path: makes the paths of steps; None: no steps are kept.
        """
        self._directories, self._decider, self._is_spared = directories, decider, is_spared
        self._full_path = full_path
        self._exists = [directories is not None]
        self._names: list[set[bytes]] = [set()]
        self._is_passage = [True]
        self.file_count = self.byte_count = self.same_count = 0
        self.newer: list[bytes] = []
        self.unmatched: list[tuple[bytes, bytes]] = []
        """(directory, name) of what the snapshot does not hold."""
        self.steps: list[dict[str, Any]] = []
        self.more_steps = 0
        self.problems: list[tuple[bytes, str, bool]] = []
        """Path, message, whether it is damage."""

    def enter(self, path: bytes, entry: Entry, is_passage: bool) -> bool:
        """Look at what stands where a directory is due."""
        parent, _, name = path.rpartition(b"/")
        self._names[-1].add(name)
        exists = False
        if self._directories is not None and self._exists[-1]:
            try:
                verdict = self._decider.judge(self._directories.open(parent), name, entry)
                if verdict == Verdict.NEWER:
                    self.newer.append(path)
                if verdict != Verdict.CREATE:
                    exists = self._opens(path)
                if not exists:
                    self._step(_ACTIONS.get(verdict, "replace"), path)
            except TargetError as error:
                self.problems.append((path, error.message, False))
        else:
            self._step("create", path)
        self._exists.append(exists)
        self._names.append(set())
        self._is_passage.append(is_passage)
        return True

    def leaf(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """Look at what stands where an entry is due."""
        self.file_count += 1
        self.byte_count += entry.size
        verdict = Verdict.CREATE
        path = directory + b"/" + name if directory else name
        if self._directories is not None and self._exists[-1]:
            if self._is_spared is not None:
                self._names[-1].add(name)
            try:
                verdict = self._decider.judge(self._directories.open(directory), name, entry)
            except TargetError as error:
                self.problems.append((path, error.message, False))
        if verdict == Verdict.NEWER:
            self.newer.append(path)
        if verdict == Verdict.SAME:
            self.same_count += 1
        else:
            self._step(_ACTIONS[verdict], path)

    def withheld(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """What is not given is no reason to delete what stands in its place."""
        self._names[-1].add(name)
        path = directory + b"/" + name if directory else name
        self.problems.append((path, "you could not have read it when it was backed up", False))

    def leave(self, path: bytes) -> None:
        """Compare the names of a directory."""
        exists, names, is_passage = self._exists.pop(), self._names.pop(), self._is_passage.pop()
        if self._is_spared is None or self._directories is None or not exists or is_passage:
            return
        try:
            directory_fd = self._directories.open(path)
            for name in list_unmatched(directory_fd, names):
                below = path + b"/" + name
                is_directory = modes.S_ISDIR(os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode)
                if not self._is_spared(below, is_directory):
                    self.unmatched.append((path, name))
                    self._step("delete", below)
        except FileNotFoundError:
            return
        except TargetError as error:
            self.problems.append((path, error.message, False))

    def damaged(self, path: bytes, error: DamageError) -> None:
        """What is not known can't be compared: nothing in that directory counts as unmatched."""
        self._is_passage[-1] = True
        self.problems.append((path, error.message, True))

    def _opens(self, path: bytes) -> bool:
        try:
            if self._directories is not None:
                self._directories.open(path)
            return self._directories is not None
        except TargetError:
            return False

    def _step(self, action: str, path: bytes) -> None:
        if self._full_path is None:
            return
        if len(self.steps) < MOST_STEPS:
            self.steps.append({"action": action, **path_fields(self._full_path(path))})
        else:
            self.more_steps += 1
