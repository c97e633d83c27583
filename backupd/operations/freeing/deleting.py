"""What a freeing deletes: blocks that a closed list names, and snapshot objects whose names are void."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from backupd.block.layout import block_name
from backupd.operations.context import JobContext
from backupd.operations.freeing.locked import LockedBlocks
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace
from backupd.repository.looking import Look
from backupd.store_errors import ObjectLockedError

_AT_ONCE = 8


class Deleting:
    """Of one freeing at one place."""

    def __init__(
        self, context: JobContext, place: OpenPlace, report: Report, locks: LockedBlocks, tick: Callable[[], None]
    ) -> None:
        """locks: told of what the store refuses to delete. tick: called after each block."""
        self._context, self._place, self._report = context, place.records.place, report
        self._locks, self._tick = locks, tick

    def delete(self, blocks: Collection[bytes], there: dict[bytes, int]) -> None:
        """Delete what of these blocks lies there. there: sizes by block."""
        place = self._place
        count = _AT_ONCE if place.traits.parallel_calls else 1

        def delete(block_id: bytes) -> tuple[bytes, ObjectLockedError | None]:
            self._context.cancel.check()
            try:
                place.delete(block_name(block_id))
            except ObjectLockedError as error:
                return block_id, error
            return block_id, None

        with ThreadPoolExecutor(count, "deleter") as pool:
            for block_id, locked in pool.map(delete, there.keys() & blocks):
                if locked is not None:
                    self._locks.refused(block_id, there[block_id], locked)
                else:
                    self._report.deleted_blocks += 1
                    self._report.deleted_bytes += there[block_id]
                self._tick()

    def remove_void(self, look: Look) -> None:
        """Dropped snapshots that were the base of a session when they were dropped, and are of none now."""
        bases = {base for posted in look.sessions for base in posted.said.bases}
        for name in look.listed & look.void - bases:
            # A locked one stays void, and goes with a later freeing.
            with suppress(ObjectLockedError):
                self._place.delete(name)
                self._report.removed_snapshots += 1
