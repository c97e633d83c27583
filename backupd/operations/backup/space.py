"""How much a run may store: quotas, and what is free at the destination (FEATURES 4.7; docs/operations.md, Space).

Looked at before anything is sent, and while the run stores. What ends a run there leaves its partial snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from backupd.cache.index_tables import IndexTables
from backupd.clock import Clock
from backupd.errors import BackupError, DestinationError, DestinationFullError
from backupd.model.quotas import SpaceLimits
from backupd.model.work import RegionTask, StreamTask
from backupd.operations.context import error_fields
from backupd.operations.places import OpenPlace
from backupd.repository.blocks import BlockWriter
from backupd.repository.engine import StoreEngine
from backupd.repository.workforce import default_count
from backupd.sizes import MIB, format_bytes
from backupd.store_errors import QuotaError

END_BYTES = 8 * MIB
"""What ending takes at most: an index object of 100,000 chunks, nodes of open directories, checkpoint, snapshot."""
_STEP_BYTES = 16 * MIB
"""The most that a worker reads before it asks which of it is lacking: two steps, or a file."""
_RISK_BYTES = 2 * _STEP_BYTES
"""What a worker may add between two looks, and from the last one to its end."""
_LOOK_BYTES = 512 * MIB
_LOOK_SECONDS = 60.0
_WARN_PERCENT = (95, 80)


def stored_in(tables: IndexTables) -> dict[bytes, int]:
    """Size of every block that an index names and no list of freed ones."""
    return {row.block_id: row.size_bytes for row in tables.blocks() if row.block_id not in tables.absent_blocks}


def warning_of(whose: str, used_bytes: int, quota_bytes: int) -> str | None:
    """What is told of a quota of which 80 or 95 % are used."""
    percent = 100 * used_bytes // quota_bytes
    if percent < min(_WARN_PERCENT):
        return None
    left = max(0, quota_bytes - used_bytes)
    reached = next(level for level in _WARN_PERCENT if percent >= level)
    return f"{whose}: over {reached} % of {format_bytes(quota_bytes)} are used, {format_bytes(left)} are left"


class SpaceGuard:
    """Of one run at one destination."""

    def __init__(
        self, limits: SpaceLimits | None, workers: int | None, place: OpenPlace, tables: IndexTables, clock: Clock
    ) -> None:
        """workers: None: one a core."""
        self._limits, self._place, self._tables, self._clock = limits, place, tables, clock
        self._risk_bytes = (workers or default_count()) * _RISK_BYTES
        self._engine: StoreEngine | None = None
        self._held_bytes = 0
        """What the repository's blocks took when the engine began."""
        self._free_bytes: int | None = None
        self._free_at_begin = 0
        self._stored_at_look = 0
        self._looked_at = 0.0
        self._ended_by: BackupError | None = None

    def refuse(self, last_stored_bytes: Callable[[], list[int]]) -> None:
        """Before anything is sent. Raises QuotaError, DestinationFullError.

        last_stored_bytes: of the set's last runs; asked for only where it matters.
        """
        held = self._count_held()
        for whose, hint, used, quota in self.quotas(held):
            if used >= quota:
                raise _reached(whose, hint, used, quota, held)
        free = self._find_free()
        self._free_at_begin = free or 0
        if free is None:
            return
        if free < END_BYTES:
            raise self._full(f"has {format_bytes(free)} left, and a run takes {format_bytes(END_BYTES)} to end well")
        last = last_stored_bytes()
        if last and min(last) + END_BYTES > free:
            raise self._full(
                f"has {format_bytes(free)} left, and each of the last {len(last)} runs stored"
                f" {format_bytes(min(last))} or more"
            )

    def look(self, engine: StoreEngine, blocks: BlockWriter) -> None:
        """Between two pieces of work, never within a drain. Raises QuotaError, DestinationFullError to end the run.

        blocks: on their way to the destination.
        """
        if engine is not self._engine:
            self._engine = engine
            self._held_bytes = self._count_held() - blocks.stored_bytes
            self._look_at_free(0)
        certain = blocks.stored_bytes + blocks.unsafe_bytes
        ratio = min(1.0, certain / blocks.placed_bytes) if blocks.placed_bytes else 1.0
        likely = int(ratio * max(0, engine.new_bytes - blocks.placed_bytes))
        to_come = _Pending(engine, ratio)
        held = self._held_bytes + certain + likely
        for whose, hint, used, quota in self.quotas(held):
            risk = min(self._risk_bytes, quota // 8)
            if used > quota or (used + risk > quota and used + to_come.capped(risk) > quota):
                self._ended_by = _reached(whose, hint, used, quota, held)
                raise self._ended_by
        if self._free_bytes is not None:
            self._look_again_if_due(blocks.stored_bytes, blocks.block_bytes)
            self._see_whether_it_ends_well(blocks, likely, to_come)

    def begin_copy(self) -> None:
        """Before a snapshot's segments are copied."""
        self._held_bytes = self._count_held()
        self._look_at_free(0)

    def look_at_copy(self, stored_bytes: int, unsafe_bytes: int) -> None:
        """Between two segments of a copy, of which so much is stored and on its way.

        Raises QuotaError, DestinationFullError.
        """
        held = self._held_bytes + stored_bytes + unsafe_bytes
        for whose, hint, used, quota in self.quotas(held):
            if used > quota:
                raise _reached(whose, hint, used, quota, held)
        if self._free_bytes is not None:
            self._look_again_if_due(stored_bytes, unsafe_bytes)
            if self._free_bytes - (stored_bytes - self._stored_at_look) - unsafe_bytes < END_BYTES:
                raise self._full("is almost full")

    def _see_whether_it_ends_well(self, blocks: BlockWriter, likely: int, to_come: _Pending) -> None:
        stored, unsafe = blocks.stored_bytes, blocks.unsafe_bytes
        for is_certain in (False, True):
            if is_certain:
                self._look_at_free(stored)
            if self._free_bytes is None:
                return
            free = self._free_bytes - (stored - self._stored_at_look)
            # On a small disk less is risked: who has little space there stores no large files either.
            risk = min(self._risk_bytes, self._free_at_begin // 3)
            left = free - unsafe - likely - END_BYTES
            if left >= risk or left >= to_come.capped(risk):
                return
        self._ended_by = self._full("is almost full")
        raise self._ended_by

    def is_end(self, error: BackupError) -> bool:
        """Whether it is what `look` ended the run with: there is room for all that a run leaves at its end."""
        return error is self._ended_by

    def warnings(self, held_bytes: int) -> list[str]:
        """What is told at the end of a run of quotas that are nearly used up."""
        found = (warning_of(whose, used, quota) for whose, _, used, quota in self.quotas(held_bytes))
        return [text for text in found if text is not None]

    def _count_held(self) -> int:
        return sum(stored_in(self._tables).values()) if self._limits is not None else 0

    def quotas(self, held_bytes: int) -> list[tuple[str, str, int, int]]:
        """Of each quota: whose it is, the command that raises it, used and allowed bytes."""
        limits = self._limits
        if limits is None:
            return []
        found: list[tuple[str, str, int, int]] = []
        name, at = limits.set_name, limits.destination
        if limits.set_quota_bytes is not None:
            command = f"bkctl set edit {name} --quota SIZE"
            found.append((f"quota of {name} at {at}", command, held_bytes, limits.set_quota_bytes))
        if limits.destination_quota_bytes is not None:
            command = f"bkctl destination edit {at} --quota SIZE"
            used = held_bytes + limits.others_bytes
            found.append((f"quota of {at}", command, used, limits.destination_quota_bytes))
        return found

    def _find_free(self) -> int | None:
        """A store that can't tell now may still take what is stored."""
        try:
            return self._place.whole.free_bytes()
        except DestinationError:
            return None

    def _look_again_if_due(self, stored_bytes: int, block_bytes: int) -> None:
        since = stored_bytes - self._stored_at_look
        due = min(_LOOK_BYTES, max(block_bytes, (self._free_bytes or 0) // 8))
        if since >= due or (since and self._clock.monotonic() - self._looked_at >= _LOOK_SECONDS):
            self._look_at_free(stored_bytes)

    def _look_at_free(self, stored_bytes: int) -> None:
        self._free_bytes = self._find_free()
        self._stored_at_look, self._looked_at = stored_bytes, self._clock.monotonic()

    def _full(self, text: str) -> DestinationFullError:
        return DestinationFullError(
            f"{self._place.whole.shown} {text}",
            hint="make space there; what is stored stays, and the next run goes on from it",
        )


class _Pending:
    """What is about to be read; counted only where it matters."""

    def __init__(self, engine: StoreEngine, ratio: float) -> None:
        self._engine, self._ratio = engine, ratio

    def capped(self, most: int) -> int:
        """About how many bytes it takes stored, `most` or less."""
        total = 0
        for assigned in self._engine.under_way:
            task = assigned.task
            if isinstance(task, RegionTask):
                total += max(0, task.end - task.start - assigned.delivered_bytes)
            elif isinstance(task, StreamTask):
                # Nobody knows; what is measured while it is stored says when it is too much.
                continue
            elif not assigned.steps:
                total += sum(file.size for file in task.files)
            if total * self._ratio >= most:
                return most
        return int(total * self._ratio)


def mark_failed(result: dict[str, object], error: BackupError) -> None:
    """Say in a run's result that it has no complete snapshot at the destination."""
    for run in result["runs"] if isinstance(result["runs"], list) else []:
        for entry in run["destinations"]:
            entry.update(verdict="failed", error=error_fields(error))


def _reached(whose: str, hint: str, used_bytes: int, quota_bytes: int, held_bytes: int) -> QuotaError:
    return QuotaError(
        f"the {whose} is reached: {format_bytes(used_bytes)} of {format_bytes(quota_bytes)}",
        hint=f"raise it ({hint}), or drop snapshots and free their space; what is stored stays",
        context={"quota_bytes": quota_bytes, "used_bytes": used_bytes, "held_bytes": held_bytes},
    )
