"""What a freeing deletes: blocks that a closed list names, and snapshot objects whose names are void."""

from __future__ import annotations

from collections.abc import Callable, Collection

from backupd.block.layout import block_name
from backupd.operations.context import JobContext
from backupd.operations.freeing.locked import LockedBlocks
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace
from backupd.repository.deleting import delete_each
from backupd.repository.looking import Look


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
        named = {block_name(block_id): block_id for block_id in there.keys() & blocks}
        for name, locked in delete_each(self._place, named, self._context.cancel.check):
            size_bytes = there[named[name]]
            if locked is not None:
                self._locks.refused(named[name], size_bytes, locked)
            else:
                self._report.deleted_blocks += 1
                self._report.deleted_bytes += size_bytes
            self._tick()

    def remove_void(self, look: Look) -> None:
        """Dropped snapshots that were the base of a session when they were dropped, and are of none now."""
        bases = {base for posted in look.sessions for base in posted.said.bases}
        for _, locked in delete_each(self._place, look.listed & look.void - bases, self._context.cancel.check):
            # A locked one stays void, and goes with a later freeing.
            self._report.removed_snapshots += locked is None
