"""What a migration has to do with the history of its set, and what it came to."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from backupd.errors import BackupError, DamageError
from backupd.operations.context import JobContext
from backupd.operations.migrate.surveying import Left, Planned
from backupd.rules import moments
from backupd.sizes import format_bytes
from backupd.snapshot.naming import snapshot_id_text
from backupd.snapshot.records import Snapshot

_DAMAGE_HINT = "bkctl check says what is hit, and --repair heals it; then migrate again"


class HistoryReport:
    """Of one place; filled in step by step."""

    def __init__(self) -> None:
        self.planned = Planned()
        self.rewritten: list[tuple[Snapshot, bytes]] = []
        """Old snapshots, and the ids of those that stand in for them."""
        self.left: list[Left] = []
        self.read_bytes = self.stored_bytes = 0

    def tell_plan(self, context: JobContext, place: str) -> None:
        """Before anything is stored."""
        planned = self.planned
        for message in planned.unread:
            context.warn(f"{message}; it stays as it is")
        if planned.chosen:
            files = "1 file" if planned.files == 1 else f"{planned.files:,} files"
            context.tell(
                "information",
                f"{place}: to be written anew for files that were cut or named otherwise: "
                f"{_snapshots(len(planned.chosen))}; {files} ({format_bytes(planned.bytes)}) to be read there, and as "
                "much to be stored at most",
            )

    def leave(self, context: JobContext, left: Left) -> None:
        """A snapshot stays as it is."""
        self.left.append(left)
        context.warn(f"snapshot {snapshot_id_text(left.at.snapshot.id)[:9]} stays as it is: {left.reason}")

    def error(self) -> BackupError | None:
        """Where snapshots can't be read whole."""
        damaged = [one for one in self.left if one.is_damaged]
        if not damaged:
            return None
        return DamageError(
            f"{_snapshots(len(damaged))} can't be read whole and stay as they are: {damaged[0].reason}",
            hint=_DAMAGE_HINT,
            context={"snapshots": [snapshot_id_text(one.at.snapshot.id) for one in damaged]},
        )

    def document(self, zone: tzinfo) -> dict[str, Any]:
        """As a part of the result."""
        planned = self.planned
        return {
            "planned": {"snapshots": len(planned.chosen), "files": planned.files, "bytes": planned.bytes},
            "rewritten": [
                {
                    "old": snapshot_id_text(old.id),
                    "new": snapshot_id_text(new_id),
                    "time": moments.rfc3339(old.started_ns, zone),
                }
                for old, new_id in self.rewritten
            ],
            "left": [
                {"snapshot": snapshot_id_text(one.at.snapshot.id), "reason": one.reason, "damaged": one.is_damaged}
                for one in self.left
            ],
            "read_bytes": self.read_bytes,
            "stored_bytes": self.stored_bytes,
        }


def _snapshots(count: int) -> str:
    return "1 older snapshot" if count == 1 else f"{count} older snapshots"
