"""The walk that restores: directories are made as they come, entries judged and handed on, metadata set last."""

from __future__ import annotations

import msgspec

from backupd.errors import DamageError, TargetError
from backupd.model import work
from backupd.model.orders import Overwrite
from backupd.operations.restore.choosing import node_of
from backupd.operations.restore.deciding import Decider
from backupd.operations.restore.links import HardLinks
from backupd.operations.restore.outcome import Outcome
from backupd.operations.restore.wishes import full_xattrs
from backupd.operations.restore.writing import Writing
from backupd.repository.file_writing import wanted_of
from backupd.target.attributes import apply
from backupd.target.directories import Directories
from backupd.target.existing import Verdict
from backupd.target.owners import OwnerMap
from backupd.target.placing import remove_leftovers
from backupd.tree import entry as entries
from backupd.tree.entry import CHANGED, UNFINISHED, Entry
from backupd.tree.nodes import Load, find_entry

_ACTIONS = {Verdict.CREATE: work.CREATE, Verdict.REPLACE: work.REPLACE, Verdict.SAME: work.REFRESH}


class _Made(msgspec.Struct, frozen=True, gc=False):
    """A directory that gets its metadata in the end."""

    path: bytes
    entry: bytes
    is_new: bool
    is_passage: bool


class Restoring:
    """A visitor of the walk; `finish` comes after it."""

    def __init__(
        self,
        writing: Writing,
        links: HardLinks,
        directories: Directories,
        decider: Decider,
        overwrite: Overwrite,
        outcome: Outcome,
        load: Load,
    ) -> None:
        self._writing, self._links, self._directories, self._decider = writing, links, directories, decider
        self._keeps_directories = overwrite == "never"
        self._outcome, self._load = outcome, load
        self._is_new = [False]
        """Of the directories that are open in the walk: whether they were made by this run."""
        self._to_finish: list[_Made] = []

    def enter(self, path: bytes, entry: Entry, is_passage: bool) -> bool:
        """Make a directory, or take the one that stands there."""
        try:
            is_new = self._make(path, is_passage or self._keeps_directories, entry)
        except TargetError as error:
            self._outcome.fail(path, "unwritable", f"{error.message}; nothing below it is restored")
            return False
        if is_new is None:
            self._outcome.skipped += 1
            return False
        self._is_new.append(is_new)
        if is_new or not (is_passage or self._keeps_directories):
            self._to_finish.append(_Made(path, entries.encode(entry), is_new, is_passage))
        return True

    def leaf(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """Judge an entry and hand it on."""
        action = work.CREATE
        if not self._is_new[-1]:
            try:
                directory_fd = self._directories.open(directory)
                shown_directory = self._outcome.full_path(directory)
                verdict = self._decider.decide(directory_fd, shown_directory, name, entry)
            except TargetError as error:
                self._outcome.fail(_join(directory, name), "unwritable", error.message)
                return
            if verdict == Verdict.SKIP:
                self._outcome.skipped += 1
                self._outcome.done_files += 1
                self._outcome.done_bytes += entry.size
                return
            action = _ACTIONS[verdict]
        extra = entry.extra
        if extra is not None:
            if extra.state & UNFINISHED:
                self._outcome.fail(_join(directory, name), "skipped", "only its first part is in the partial snapshot")
                return
            if extra.state & CHANGED:
                self._outcome.changed_count += 1
            group = extra.hard_link
            if group is not None and not self._links.is_first(group, directory, name, entry.kind):
                self._links.add(group, directory, name, entry, action)
                return
        self._writing.add(directory, name, entry, action)

    def withheld(self, directory: bytes, name: bytes, entry: Entry) -> None:
        """Tell of what is not given."""
        self._outcome.fail(_join(directory, name), "skipped", "you could not have read it when it was backed up")

    def leave(self, path: bytes) -> None:
        """All of a directory was seen."""
        self._is_new.pop()

    def damaged(self, path: bytes, error: DamageError) -> None:
        """Tell of entries that can't be listed."""
        self._outcome.fail(path, "damaged", f"not all of its entries can be read: {error.message}")

    def finish(self, owners: OwnerMap) -> None:
        """Give directories their metadata, the deepest first. Raises TargetFullError."""
        for made in reversed(self._to_finish):
            entry, path = entries.decode(made.entry), made.path
            xattrs, lost = full_xattrs(entry, self._load)
            if lost:
                self._outcome.note(path, "damaged", lost)
            try:
                losses = apply(self._directories.open(path), wanted_of(entry, xattrs, owners), made.is_new)
            except TargetError as error:
                losses = [error.message]
            # What leads to the restored, as /home of root to a user's files, was never asked for.
            if losses and not made.is_passage:
                self._outcome.note(path, "metadata", "; ".join(losses))

    def _make(self, path: bytes, is_kept: bool, entry: Entry) -> bool | None:
        """Whether the directory is new; None: the user wants what stands in its place. Raises TargetError.

        is_kept: one that is there already stays as it is.
        """
        directories = self._directories
        if self._is_new[-1]:
            return directories.make(path)[1]
        if is_kept:
            try:
                directories.open(path)
                return False
            except TargetError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
            return directories.make(path)[1]
        parent, _, name = path.rpartition(b"/")
        verdict = self._decider.decide(directories.open(parent), self._outcome.full_path(parent), name, entry)
        if verdict == Verdict.SKIP:
            return None
        fd, is_new = directories.make(path, replace=verdict == Verdict.REPLACE)
        if not is_new:
            remove_leftovers(fd, _NamesOf(entry, self._load))
        return is_new


class _NamesOf:
    """The names in a directory of the snapshot, for the few that look like temporary ones."""

    def __init__(self, entry: Entry, load: Load) -> None:
        self._node, self._load = node_of(entry), load

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, bytes) and find_entry(self._node, name, self._load) is not None
        except DamageError:
            return True


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name
