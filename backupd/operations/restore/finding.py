"""Where chunks lie: looked up many at a time, and looked for elsewhere when a place did not give one."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.cache.index_table import Place
from backupd.destination.contract import Destination
from backupd.errors import DestinationUnreachableError
from backupd.operations.restore.planning import TaskPlan
from backupd.repository.identity import TWINS
from backupd.repository.reader import ChunkPlaces

_ID_BYTES = 32


class ChunkFinder:
    """Answers with the best place of each chunk that was not found bad in this run."""

    def __init__(self, tables: ChunkPlaces, place: Destination) -> None:
        """place: sees the repository's folder."""
        self._tables, self._place = tables, place
        self._tried: dict[bytes, list[Place]] = {}
        self._others: dict[bytes, Place | None] = {}
        self._reasons: dict[bytes, str] = {}
        self._is_mended = False
        """Whether the index says more than at first: a table of this host misled, or something came to it."""
        self._again: set[bytes] = set()
        """Chunks that were tried anew since it last did."""

    def find(self, ids: bytes) -> list[Place | None]:
        """A place of each chunk; None: none is left. ids: 32 bytes a chunk."""
        if not ids:
            return []
        places = self._tables.find_many(ids, trying=True)
        if None in places and self._is_more():
            places = self._tables.find_many(ids, trying=True)
        if self._others:
            for at in range(len(places)):
                chunk_id = ids[at * _ID_BYTES : (at + 1) * _ID_BYTES]
                if chunk_id in self._others:
                    places[at] = self._others[chunk_id]
        return places

    def try_elsewhere(self, task: TaskPlan, lost: bytes, reason: str) -> bool:
        """Note that a task did not get these chunks; whether each has another place.

        Raises DestinationUnreachableError when it is the whole repository that is gone.
        """
        if not any(self._place.size(twin) is not None for twin in TWINS):
            raise DestinationUnreachableError(
                f"{self._place.shown}: the repository is gone", hint="is the disk still mounted?"
            )
        if self._note_bad(task, lost, reason):
            return True
        return self._try_again(lost)

    def _try_again(self, lost: bytes) -> bool:
        """Each chunk once more where the index says more now; tasks may have been under way with the old places."""
        if not self._is_more() and not self._is_mended:
            return False
        again = {lost[at : at + _ID_BYTES] for at in range(0, len(lost), _ID_BYTES)} - self._again
        self._again |= again
        for chunk_id in again:
            self._tried.pop(chunk_id, None)
            self._others.pop(chunk_id, None)
        return bool(again) and None not in self.find(lost)

    def _is_more(self) -> bool:
        """Whether the index says more than when it was last asked."""
        if not self._tables.recheck():
            return False
        self._is_mended = True
        self._again.clear()
        return True

    def _note_bad(self, task: TaskPlan, lost: bytes, reason: str) -> bool:
        is_left = True
        for at in range(0, len(lost), _ID_BYTES):
            chunk_id = lost[at : at + _ID_BYTES]
            tried = self._tried.setdefault(chunk_id, [])
            tried += [segment.place for segment in task.segments if chunk_id in segment.slots]
            gone = {(place.block_id, place.offset) for place in tried}
            others = (p for p in self._tables.places(chunk_id) if (p.block_id, p.offset) not in gone)
            self._others[chunk_id] = next(others, None)
            self._reasons[chunk_id] = reason
            is_left = is_left and self._others[chunk_id] is not None
        return is_left

    def explain(self, ids: bytes, places: Sequence[Place | None]) -> str:
        """Why chunks without a place are lost."""
        for at, place in enumerate(places):
            if place is None:
                chunk_id = ids[at * _ID_BYTES : (at + 1) * _ID_BYTES]
                return self._reasons.get(chunk_id, f"no index object names its chunk {chunk_id.hex()}")
        return ""
