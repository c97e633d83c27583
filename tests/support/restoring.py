"""A machine that has backed up a directory, for tests that bring it back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backupd.model.filters import FilterWords
from backupd.model.orders import BackupOrder, FilterWord, Limits, RestoreOrder, Selection
from tests.support.machine import Machine, Outcome

SECOND = 1_000_000_000
OLD_NS = 1_600_000_000 * SECOND + 123_456_789

NO_WORDS = FilterWords()


@dataclass
class Kept:
    """A source, the place that holds its backups, and where they are restored to."""

    above: Path
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        """Make the directories."""
        self.machine = Machine(self.above / "machine")
        self.source = self.above / "source"
        self.place = self.above / "place"
        self.target = self.above / "target"
        self.source.mkdir(exist_ok=True)

    @property
    def restored(self) -> Path:
        """Where the source lies below the target."""
        return self.target / str(self.source)[1:]

    def write(self, name: str, data: bytes, age_ns: int = 0) -> Path:
        """A file of the source, old enough not to be in motion."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(OLD_NS - age_ns, OLD_NS - age_ns))
        return path

    def back_up(
        self, filters: Iterable[FilterWord] = (), *, parity: int | None = None, filter_words: FilterWords = NO_WORDS
    ) -> Outcome:
        """Back the source up. parity: of a new repository."""
        order = BackupOrder(
            place=str(self.place), sources=[os.fsencode(self.source)], set_name="documents", filters=list(filters),
            limits=Limits(jobs=2, polite=False), parity=parity, filter_words=filter_words,
        )  # fmt: skip
        outcome = self.machine.run(order)
        assert outcome.done.exit_code == 0, outcome.result
        return outcome

    def order(self, *names: str, **given: Any) -> RestoreOrder:
        """An order to restore these names of the source, or all, to the target."""
        selection = Selection(
            set_name="documents",
            paths=[os.fsencode(self.source / name) for name in names],
            as_of=given.pop("as_of", "latest"),
            incomplete=given.pop("incomplete", False),
        )
        given.setdefault("to", os.fsencode(self.target))
        given.setdefault("limits", Limits(jobs=2))
        return RestoreOrder(place=str(self.place), selection=selection, time_zone="UTC", **given)

    def restore(self, *names: str, **given: Any) -> Outcome:
        """Carry that out. Raises BackupError."""
        return self.machine.run(self.order(*names, **given))


def files(outcome: Outcome) -> dict[str, int]:
    """The counts of a result that are not zero."""
    return {name: count for name, count in outcome.result["files"].items() if count}
