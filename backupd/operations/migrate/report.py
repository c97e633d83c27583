"""What a migration has to do, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from backupd.errors import BackupError, DamageError
from backupd.index.layout import BlockRow
from backupd.model import events
from backupd.model.migration_words import LACKING
from backupd.operations.context import JobContext, error_fields
from backupd.operations.migrate.history_report import HistoryReport
from backupd.sizes import format_bytes


class Report:
    """Of one place; filled in step by step."""

    def __init__(self) -> None:
        self.lacking: dict[bytes, tuple[BlockRow, list[str]]] = {}
        """Blocks that are not as they are wanted, and what they lack."""
        self.held_bytes = 0
        """All blocks."""
        self.retired: set[bytes] = set()
        """Of the lacking ones those that nobody needs any more."""
        self.stored_bytes = self.fetched_bytes = 0
        self.lost: dict[bytes, str] = {}
        """Chunks that can't be read, and why."""
        self.history = HistoryReport()

    @property
    def planned_bytes(self) -> int:
        """Of the lacking blocks."""
        return sum(row.size_bytes for row, _ in self.lacking.values())

    def tell_plan(self, context: JobContext, place: str) -> None:
        """Before anything is stored."""
        if not self.lacking:
            if self.history.planned.chosen:
                return
            context.tell("information", f"{place}: all is stored as the set wants it")
            return
        reasons = "; ".join(f"{format_bytes(size)} {LACKING[reason]}" for reason, size in self._by_reason().items())
        context.tell(
            "information",
            f"{place}: {_blocks(len(self.lacking))} ({format_bytes(self.planned_bytes)} of "
            f"{format_bytes(self.held_bytes)}) are to be stored anew: {reasons}",
        )

    def end(self, context: JobContext, *, is_dry: bool) -> events.Done:
        """The end of the job."""
        error = self._error() if self.lost else self.history.error()
        return events.Done(
            exit_code=error.exit_code if error is not None else 0,
            result=self._result(context, is_dry=is_dry) | {"seconds": round(context.elapsed_seconds, 3)},
            warnings=context.warnings,
            error=error_fields(error) if error is not None else None,
        )

    def _error(self) -> BackupError:
        count = len(self.lost)
        chunks = "1 chunk" if count == 1 else f"{count} chunks"
        return DamageError(
            f"{chunks} can't be read, so the blocks that hold them stay as they are: {next(iter(self.lost.values()))}",
            hint="bkctl check says what is hit, and --repair heals it; then migrate again",
            context={"chunks": count},
        )

    def _result(self, context: JobContext, *, is_dry: bool) -> dict[str, Any]:
        done = [row for block_id, (row, _) in self.lacking.items() if block_id in self.retired]
        left = [row for block_id, (row, _) in self.lacking.items() if block_id not in self.retired]
        return {
            "dry_run": is_dry,
            "held_bytes": self.held_bytes,
            "planned": {"blocks": len(self.lacking), "bytes": self.planned_bytes, "reasons": self._by_reason()},
            "migrated": _sums(done),
            "left": _sums(left),
            "stored_bytes": self.stored_bytes,
            "fetched_bytes": self.fetched_bytes,
            "lost_chunks": len(self.lost),
            "history": self.history.document(context.zone),
        }

    def _by_reason(self) -> Mapping[str, int]:
        """Bytes of blocks by what they lack; one may lack several."""
        found: Counter[str] = Counter()
        for row, reasons in self.lacking.values():
            found.update(dict.fromkeys(reasons, row.size_bytes))
        return dict(found)


def _sums(rows: list[BlockRow]) -> dict[str, int]:
    return {"blocks": len(rows), "bytes": sum(row.size_bytes for row in rows)}


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"
