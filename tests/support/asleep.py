"""Records between whose steps something happens."""

from __future__ import annotations

from collections.abc import Callable

from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.snapshot.records import Record


class Asleep(Records):
    """Something happens right before, or right after, the next record is created."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def put(self, kind: ObjectKind, name: str, record: Record) -> None:
        """As ever."""
        before, after = self.before, self.after
        self.before = self.after = None
        if before is not None:
            before()
        super().put(kind, name, record)
        if after is not None:
            after()
