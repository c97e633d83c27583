"""What a freeing did, and what it has to leave for later."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.model.areas import SetAreas, Statistics


class Held(msgspec.Struct):
    """What snapshots hold at the place, by stored bytes."""

    data_bytes: int = 0
    """Of the newest complete snapshot of each set."""
    retention_bytes: int = 0
    """What only older ones need besides."""
    stored_bytes: int = 0
    """All blocks."""

    def document(self) -> dict[str, int]:
        """For results."""
        return {
            "data_bytes": self.data_bytes,
            "retention_bytes": self.retention_bytes,
            "stored_bytes": self.stored_bytes,
        }


class Waiting(msgspec.Struct, frozen=True):
    """What holds back a part of the freeing."""

    what: str
    """`session`, `set`, `store` or `lock`."""
    id: str
    reason: str
    until: str | None = None
    """RFC 3339, where that is known."""
    set_id: str | None = None
    host_id: str | None = None


class Report:
    """Filled in step by step; goes on over several generations."""

    def __init__(self) -> None:
        self.before = Held()
        self.after = Held()
        self.sets: list[SetAreas] = []
        """As the last look found them."""
        self.of = ""
        self.deleted_blocks = self.deleted_bytes = 0
        self.copied_bytes = self.stored_bytes = 0
        """Read of blocks that were written anew, and written."""
        self.rewritten_blocks = 0
        self.dropped_partials = self.removed_snapshots = self.removed_indexes = self.ended_sessions = 0
        self.removed_drops = 0
        self.waiting: list[Waiting] = []
        self.locked: Waiting | None = None
        """Blocks that the store retains."""
        self.planned_bytes = 0
        """What can be freed, where nothing is done."""
        self.put_off_blocks = 0

    def note_areas(self, sets: list[SetAreas], of: str) -> None:
        """What a look found of snapshots with this digest; the first one, and the last one, are told."""
        held = Held(sum(one.data.stored_bytes for one in sets), sum(one.retention.stored_bytes for one in sets))
        self.sets, self.of, self.after = sets, of, held
        if not self.before.stored_bytes:
            self.before.data_bytes, self.before.retention_bytes = held.data_bytes, held.retention_bytes

    def statistics(self, repository: str, as_of_ns: int) -> Statistics:
        """What is stored now, for who keeps figures."""
        stored_bytes = self.after.stored_bytes
        found = Statistics(repository=repository, as_of_ns=as_of_ns, stored_bytes=stored_bytes, sets=self.sets)
        return msgspec.structs.replace(found, of=self.of)

    @property
    def freed_bytes(self) -> int:
        """What the store got back."""
        return self.deleted_bytes - self.stored_bytes

    def result(self) -> dict[str, Any]:
        """As output shows it."""
        held = [self.locked] if self.locked is not None else []
        return {
            "freed_bytes": self.freed_bytes,
            "deleted": {"blocks": self.deleted_blocks, "bytes": self.deleted_bytes},
            "rewritten": {
                "blocks": self.rewritten_blocks,
                "read_bytes": self.copied_bytes,
                "stored_bytes": self.stored_bytes,
                "put_off": self.put_off_blocks,
            },
            "removed": {
                "partial_snapshots": self.dropped_partials,
                "snapshots": self.removed_snapshots,
                "index_objects": self.removed_indexes,
                "sessions": self.ended_sessions,
                "drop_records": self.removed_drops,
            },
            "before": self.before.document(),
            "after": self.after.document(),
            "waiting": [msgspec.structs.asdict(one) for one in (*self.waiting, *held)],
            "planned_bytes": self.planned_bytes,
        }
