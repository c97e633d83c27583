"""What to do where something stands already: the policy, and the questions it leads to."""

from __future__ import annotations

import os
import stat as modes

from backupd.errors import TargetError
from backupd.model.orders import RestoreOrder
from backupd.model.results import shown
from backupd.operations.context import JobContext
from backupd.operations.restore.resuming import Note
from backupd.rules import moments
from backupd.target.existing import Verdict, judge, look
from backupd.target.kept import granularity_ns
from backupd.target.owners import OwnerMap
from backupd.tree.entry import Entry, Kind


class Decider:
    """Judges single entries and asks where the answer is the user's."""

    def __init__(self, order: RestoreOrder, context: JobContext, owners: OwnerMap, note: Note | None) -> None:
        self._order, self._context, self._owners, self._note = order, context, owners, note
        self._granularity: dict[int, int] = {}
        self._replaces_all = False

    def judge(self, directory_fd: int, name: bytes, entry: Entry) -> Verdict:
        """What is to be done, NEWER where that is to be asked. Raises TargetError, TargetFullError."""
        existing = look(directory_fd, name)
        if existing is None:
            return Verdict.CREATE
        stat = existing[0]
        owner = self._owners.resolve(entry.uid, entry.gid)
        step_ns = self._step_ns(directory_fd)
        verdict = judge(existing, entry, self._order.overwrite, owner, step_ns)
        if verdict in (Verdict.NEWER, Verdict.SKIP) and self._note is not None and self._note.is_unfinished(stat):
            return Verdict.REPLACE
        if self._note is not None and entry.kind == Kind.FILE and self._note.is_doubtful(stat, directory_fd):
            # Under `never` what looks the same is skipped like all else.
            seems = judge(existing, entry, "if-changed", owner, step_ns) if verdict == Verdict.SKIP else verdict
            if seems == Verdict.SAME:
                return Verdict.REPLACE
        if verdict == Verdict.REPLACE and entry.kind == Kind.DIRECTORY and not modes.S_ISDIR(stat.st_mode):
            return self._in_the_way(stat, entry)
        return verdict

    def decide(self, directory_fd: int, directory: bytes, name: bytes, entry: Entry) -> Verdict:
        """The same with the question answered: CREATE, SAME, REPLACE or SKIP. directory: shown to the user."""
        verdict = self.judge(directory_fd, name, entry)
        if verdict != Verdict.NEWER:
            return verdict
        if self._replaces_all:
            return Verdict.REPLACE
        stat = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        zone = self._context.zone
        path = shown(directory.rstrip(b"/") + b"/" + name)
        here, there = moments.show(stat.st_mtime_ns, zone), moments.show(entry.mtime_ns, zone)
        question = f"{path} is of {here}, newer than {there} in the snapshot. Replace it?"
        answer = self._context.ask(question, "one_by_one")
        self._replaces_all = answer == "all"
        return Verdict.REPLACE if answer in ("yes", "all") else Verdict.SKIP

    def _in_the_way(self, stat: os.stat_result, entry: Entry) -> Verdict:
        """A file or symlink where a directory is due: as precious as one where a file is due."""
        if self._order.overwrite == "always" or stat.st_mtime_ns <= entry.mtime_ns:
            return Verdict.REPLACE
        return Verdict.SKIP if self._order.overwrite == "if-newer" else Verdict.NEWER

    def _step_ns(self, directory_fd: int) -> int:
        if self._order.dry_run:
            return 1
        device = os.fstat(directory_fd).st_dev
        step = self._granularity.get(device)
        if step is None:
            try:
                step = granularity_ns(directory_fd)
            except TargetError:
                # Nothing can be created there: what should be will say so itself.
                step = 1
            self._granularity[device] = step
        return step
