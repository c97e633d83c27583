"""What a freeing did, and what it has to leave for later."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.repository.live_chunks import BlockUse


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
    """`session`, `set` or `store`."""
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
        self.deleted_blocks = self.deleted_bytes = 0
        self.copied_bytes = self.stored_bytes = 0
        """Read of blocks that were written anew, and written."""
        self.rewritten_blocks = 0
        self.dropped_partials = self.removed_snapshots = self.removed_indexes = self.ended_sessions = 0
        self.removed_drops = 0
        self.waiting: list[Waiting] = []
        self.planned_bytes = 0
        """What can be freed, where nothing is done."""
        self.put_off_blocks = 0

    @property
    def freed_bytes(self) -> int:
        """What the store got back."""
        return self.deleted_bytes - self.stored_bytes

    def result(self) -> dict[str, Any]:
        """As output shows it."""
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
            "waiting": [msgspec.structs.asdict(one) for one in self.waiting],
            "planned_bytes": self.planned_bytes,
        }


def live_of(uses: dict[bytes, BlockUse]) -> int:
    """What blocks with just what is needed would take."""
    return sum(use.live_bytes for use in uses.values())
