"""What is needed of blocks that are mostly dead, in new blocks: named by an index object before the old ones may go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backupd.errors import DamageError
from backupd.operations.context import JobContext
from backupd.operations.freeing.report import Report
from backupd.operations.places import OpenPlace
from backupd.repository.copied_blocks import CopiedBlocks, SealedSegment
from backupd.repository.live_chunks import LiveChunks
from backupd.repository.looking import Look
from backupd.repository.repacking import Repacker
from backupd.repository.sealed_fetching import SealedFetcher
from backupd.rules.space_plan import Use

_WINDOW_CHUNKS = 8192
_UNPUBLISHED_CHUNKS = 100_000
_MOST_DEAD = 0.1
"""A segment is sealed anew where a larger part of its bytes is needed by nobody, else it is copied as it is."""
_MOST_UNNEEDED = 0.02
"""The same by number of chunks, which is what plans go by: of copies with more, each freeing would make others."""


class Compaction:
    """Of one generation. One thread calls everything here."""

    def __init__(
        self,
        context: JobContext,
        place: OpenPlace,
        look: Look,
        marks: LiveChunks,
        report: Report,
        tick: Callable[[], None],
    ) -> None:
        """place: a writer's. tick: called between all steps."""
        self._context, self._place, self._look, self._marks, self._report = context, place, look, marks, report
        self._tick = tick
        self._fetcher = SealedFetcher(place.repository.place, place.setup(), look.index.tables)
        # A block that is sent and not named is an orphan, which the next freeing finds: nothing has to be journalled.
        self._blocks = CopiedBlocks(place.repository, lambda _: None, tick)
        self._repackers: dict[int, Repacker] = {}
        self._copied: set[bytes] = set()

    def run(self, uses: Sequence[Use]) -> None:
        """Copy what is needed of these blocks. Raises DamageError for what can't be had, DestinationError."""
        pending: list[bytes] = []
        count = 0
        for use in sorted(uses, key=lambda use: (use.content, use.block_id)):
            for ids in self._marks.ids_in(use.block_id):
                pending.append(ids)
                count += len(ids) // 32
                if count >= _WINDOW_CHUNKS:
                    self._copy(pending)
                    pending, count = [], 0
        self._copy(pending)
        for repacker in self._repackers.values():
            self._add(repacker.flush())
        self._blocks.finish()
        self._publish()
        self._report.rewritten_blocks += len(uses)

    def close(self) -> None:
        """End threads; what is open is given up."""
        self._fetcher.close()
        self._blocks.close()
        self._report.copied_bytes += self._fetcher.fetched_bytes
        self._report.stored_bytes += self._blocks.stored_bytes
        for repacker in self._repackers.values():
            repacker.close()

    def _copy(self, pending: Sequence[bytes]) -> None:
        joined = b"".join(pending)
        ids = [joined[at : at + 32] for at in range(0, len(joined), 32)]
        # All that is needed of a segment is in one window.
        wanted = set(ids) - self._copied
        lost: dict[bytes, str] = {}
        for segment in self._fetcher.bring([chunk_id for chunk_id in ids if chunk_id in wanted], lost):
            self._tick()
            self._take(segment, wanted)
            if len(self._blocks.placed) >= _UNPUBLISHED_CHUNKS:
                self._publish()
        for chunk_id, message in lost.items():
            raise DamageError(
                f"chunk {chunk_id.hex()[:16]} of a block that is partly needed can't be read: {message}",
                hint="nothing was given free; bkctl check --crc finds all that is damaged",
            )

    def _take(self, segment: SealedSegment, wanted: set[bytes]) -> None:
        ids = segment.ids
        needed = {ids[at : at + 32] for at in range(0, len(ids), 32)} & wanted - self._copied
        self._copied |= needed
        is_needed_by_number = len(needed) >= (1 - _MOST_UNNEEDED) * (len(ids) // 32)
        if is_needed_by_number and _live_share(segment, needed) >= 1 - _MOST_DEAD:
            self._blocks.add(segment)
            return
        repacker = self._repackers.get(segment.content)
        if repacker is None:
            repacker = self._repackers[segment.content] = Repacker(self._place.setup(), "normal", segment.content)
        self._add(repacker.add(segment, needed.__contains__))

    def _add(self, segments: Iterator[SealedSegment]) -> None:
        for segment in segments:
            self._blocks.add(segment)

    def _publish(self) -> None:
        self._blocks.publish(self._look.index.tables, self._look.gc.generation, self._context.warn)


def _live_share(segment: SealedSegment, needed: set[bytes]) -> float:
    """The part of a segment's bytes that is needed."""
    if segment.opened is None:
        raise AssertionError("a fetched segment was opened")
    lengths = segment.opened.lengths
    live: int = sum(length for at, length in enumerate(lengths) if segment.ids[32 * at : 32 * at + 32] in needed)
    total: int = sum(lengths)
    return live / max(1, total)
