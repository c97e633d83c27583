"""What a freeing deletes: blocks that a closed list names, and snapshot objects whose names are void."""

from __future__ import annotations

from collections.abc import Callable, Collection

from backupd.block.layout import block_name
from backupd.operations.context import JobContext
from backupd.operations.freeing.locked import LockedBlocks
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace
from backupd.repository.deleting import Deletions, delete_each
from backupd.repository.looking import Look
from backupd.sizes import MIB
from backupd.store_errors import ObjectLockedError

_SPARE_BYTES = 64 * MIB


class Deleting:
    """Of one freeing at one place."""

    def __init__(
        self, context: JobContext, place: OpenPlace, report: Report, locks: LockedBlocks, tick: Callable[[], None]
    ) -> None:
        """locks: told of what the store refuses to delete. tick: called after each block."""
        self._context, self._place, self._report = context, place.records.place, report
        self._locks, self._tick = locks, tick
        self._under_way: Deletions | None = None
        self._named: dict[str, bytes] = {}
        self._sizes: dict[bytes, int] = {}

    def begin(self, blocks: Collection[bytes], there: dict[bytes, int], meanwhile_bytes: int) -> None:
        """Have what of these blocks lies there deleted, until `end`. there: sizes by block.

        What is done meanwhile must go by the closed list that names them, as if they were gone: so it stays right where
        this is killed before the last one is. meanwhile_bytes: written then; where there is no room for that, and where
        the store does not say, all is deleted at once.
        """
        self.end()
        self._sizes = {block_id: there[block_id] for block_id in there.keys() & blocks}
        self._named = {block_name(block_id): block_id for block_id in self._sizes}
        self._under_way = Deletions(self._place, self._named, self._context.cancel.check)
        free = self._place.free_bytes()
        if free is None or free < meanwhile_bytes + _SPARE_BYTES:
            self.end()

    def end(self) -> None:
        """Wait for what was begun, and count it. Raises DestinationError, and the stop that was asked for."""
        try:
            for name, locked in self._under_way.ends() if self._under_way is not None else ():
                self._note(name, locked)
                self._tick()
        finally:
            self.stop()

    def stop(self) -> None:
        """Leave what was not begun: the next freeing deletes it. What came to its end is counted."""
        deletions, self._under_way = self._under_way, None
        for name, locked in deletions.stop() if deletions is not None else ():
            self._note(name, locked)

    def note_ended(self) -> None:
        """Count what came to its end by now, while something else is done."""
        for name, locked in self._under_way.ended_by_now() if self._under_way is not None else ():
            self._note(name, locked)

    @property
    def is_under_way(self) -> bool:
        """Whether something is left to wait for."""
        return self._under_way is not None and not self._under_way.is_over

    def _note(self, name: str, locked: ObjectLockedError | None) -> None:
        block_id = self._named[name]
        if locked is not None:
            self._locks.refused(block_id, self._sizes[block_id], locked)
        else:
            self._report.deleted_blocks += 1
            self._report.deleted_bytes += self._sizes[block_id]

    def delete(self, blocks: Collection[bytes], there: dict[bytes, int]) -> None:
        """Delete what of these blocks lies there, as `begin` and `end`."""
        self.begin(blocks, there, 0)
        self.end()

    def remove_void(self, look: Look) -> None:
        """Dropped snapshots that were the base of a session when they were dropped, and are of none now."""
        bases = {base for posted in look.sessions for base in posted.said.bases}
        for _, locked in delete_each(self._place, look.listed & look.void - bases, self._context.cancel.check):
            # A locked one stays void, and goes with a later freeing.
            self._report.removed_snapshots += locked is None
            self._tick()
