"""What a check found, and how its result tells it."""

from __future__ import annotations

from typing import Any

from backupd.errors import BackupError, DamageError, NewerVersionError, RollbackError
from backupd.model.results import path_fields
from backupd.operations.check_commands import Commands
from backupd.operations.check_losses import Losses
from backupd.repository.object_check import ObjectProblem
from backupd.repository.tree_check import Hit
from backupd.repository.ways_out import way_out

KEPT_HITS = 1000


class Findings:
    """Problems, and the files that they hit."""

    def __init__(self) -> None:
        self.problems: list[ObjectProblem] = []
        self.hits: list[dict[str, Any]] = []
        self.hit_count = 0
        self.recorded_chunks = self.recorded_blocks = 0
        """Places that this check recorded as bad."""
        self.skipped: dict[str, BackupError] = {}
        """Sets that a job is running on, by name."""
        self.was_repaired = False
        """Whether what could be healed was healed."""
        self.losses = Losses()
        """What is hit, by snapshot."""
        self.undecided = ""
        """What is to be given up as lost when somebody says so; empty: nothing."""
        self.decided_by = ""
        """The command that says so."""
        self.outdated: BackupError | None = None
        """Why what was decided was not carried out."""
        self._last_hit: tuple[str, bytes] | None = None

    def add(self, name: str, code: str, message: str) -> None:
        """Add a problem; a second one of the same object and message is none."""
        problem = ObjectProblem(name, code, message.removeprefix(name).lstrip(": "))
        if problem not in self.problems:
            self.problems.append(problem)

    def hit(self, snapshot: str, hit: Hit) -> None:
        """Count a file; one that is hit several times in a row counts once."""
        if self._last_hit == (snapshot, hit.path):
            return
        self._last_hit = (snapshot, hit.path)
        self.hit_count += 1
        if len(self.hits) < KEPT_HITS:
            more = {"message": hit.message or "its entries can't be listed"} if hit.is_directory else {}
            self.hits.append({"snapshot": snapshot, **path_fields(hit.path), **more})

    def forget_hits(self) -> None:
        """The trees are walked again."""
        self.hits, self.hit_count, self._last_hit = [], 0, None
        self.losses.forget()

    def error(self, place: str, commands: Commands) -> BackupError | None:
        """What the result's error is, None when all is well. commands: that go on from here."""
        if self.outdated is not None:
            return self.outdated
        if not self.problems:
            return next(iter(self.skipped.values()), None)
        codes = {problem.code for problem in self.problems}
        count = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        if codes == {RollbackError.code}:
            return RollbackError(
                self.problems[0].message,
                hint="ask who has access to the place; if it was you, accept it with: "
                f"{commands.check} --accept-rollback",
            )
        if codes == {NewerVersionError.code}:
            return NewerVersionError(f"{count}: {self.problems[0].message}", hint="update this program")
        undecided = f"; {self.undecided}" if self.undecided else ""
        return DamageError(f"{count} in {place}; {self._reach()}{undecided}", hint=self._hint(commands))

    def _reach(self) -> str:
        if not self.hit_count:
            return "no file is hit, all snapshots can be restored"
        files = "1 file is hit" if self.hit_count == 1 else f"{self.hit_count} files are hit, counted in each snapshot"
        return f"{files}, everything else can be restored"

    def _hint(self, commands: Commands) -> str:
        hints = [f"give it up: {self.decided_by}"] if self.decided_by else []
        if any(problem.name.startswith("index") for problem in self.problems):
            hints.append(f"make the index anew: {commands.check} --rebuild-index")
        hints += dict.fromkeys(way for one in self.problems if (way := way_out(one.name, commands.check)))
        again = f"the next `{commands.backup}` stores what is lost again where the source still has it"
        if self.recorded_blocks or self.recorded_chunks:
            hints.append(f"the damage was recorded: {again}")
        elif self.hit_count:
            hints.append(again)
        if self.hit_count and not self.was_repaired:
            hints.append(f"what its parity or another destination has, this heals: {commands.check} --repair")
        return "; ".join(hints) or "copy what is damaged from another destination of this repository, if there is one"
