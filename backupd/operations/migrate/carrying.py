"""Blocks that are not as they are wanted, on their way into new ones; then they are retired (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from backupd.cache.index_tables import IndexTables
from backupd.index.layout import BlockRow
from backupd.operations.backup.session import Publishing
from backupd.operations.context import JobContext
from backupd.operations.migrate.report import Report
from backupd.operations.places import OpenPlace
from backupd.operations.ticker import Ticker
from backupd.repository.block_facts import Wanted
from backupd.repository.copied_blocks import CopiedBlocks, SealedSegment
from backupd.repository.repacking import Repacker
from backupd.repository.sealed_fetching import SealedFetcher
from backupd.sizes import MIB
from backupd.snapshot.records import Damage

_WINDOW_CHUNKS = 8192
_PUBLISH_BYTES = 512 * MIB
_PUBLISH_CHUNKS = 100_000
_RETIRED_BLOCKS = 100_000
"""Of a record: an object is 4 MiB at most."""
_COPIED_FROM = 0.5
"""A segment that may stay as it is sealed is copied whole where so much of it is wanted."""


class Carrying:
    """At one place, of which it is a writer. One thread calls everything here."""

    def __init__(
        self,
        context: JobContext,
        place: OpenPlace,
        tables: IndexTables,
        publishing: Publishing,
        ticker: Ticker,
        wanted: Wanted,
        report: Report,
    ) -> None:
        """tables: what is absent for writing is marked."""
        self._context, self._place, self._tables, self._publishing = context, place, tables, publishing
        self._ticker, self._wanted, self._report = ticker, wanted, report
        self._fetcher = SealedFetcher(place.repository.place, place.setup(), tables, place.healed.note)
        self._blocks = ticker.blocks = CopiedBlocks(place.repository, publishing.announce, ticker.turn)
        self._repackers: dict[tuple[int, str], Repacker] = {}
        self._taken: set[bytes] = set()
        """Chunks on their way into new blocks."""
        self._carried: list[BlockRow] = []
        """Blocks all of which was given to new ones that may not be safe yet."""
        self._published_bytes = 0

    def run(self, rows: Sequence[BlockRow]) -> None:
        """Store anew what these blocks hold, then retire those.

        Raises what ends the sending, and what `turn` of the ticker raises: what was named in the index stays so.
        """
        # What they hold counts as lacking, unless it has another place: so a run goes on where one was killed.
        self._tables.retired_blocks |= {row.block_id for row in rows}
        for window in self._windows(rows):
            self._carry(window)
            stored = self._blocks.stored_bytes
            if stored - self._published_bytes >= _PUBLISH_BYTES or len(self._blocks.placed) >= _PUBLISH_CHUNKS:
                self._publish()
        self.finish()

    def finish(self) -> None:
        """Send what is open, name it, retire what nobody needs then."""
        self._flush()
        self._blocks.finish()
        self._publish()
        self._retire()

    def close(self) -> None:
        """End threads; what is open is given up."""
        self._fetcher.close()
        self._blocks.close()
        for repacker in self._repackers.values():
            repacker.close()
        self._report.stored_bytes += self._blocks.stored_bytes
        self._report.fetched_bytes += self._fetcher.fetched_bytes

    @property
    def sizes(self) -> dict[bytes, int]:
        """Of all blocks that were stored."""
        return self._blocks.sizes

    def _windows(self, rows: Sequence[BlockRow]) -> Iterator[list[tuple[BlockRow, list[bytes]]]]:
        """Blocks with the ids of their chunks, a few at a time."""
        window: list[tuple[BlockRow, list[bytes]]] = []
        count = 0
        for row in sorted(rows, key=lambda row: row.content):
            ids = self._ids_of(row.block_id)
            window.append((row, ids))
            count += len(ids)
            if count >= _WINDOW_CHUNKS:
                yield window
                window, count = [], 0
        if window:
            yield window

    def _ids_of(self, block_id: bytes) -> list[bytes]:
        joined = b"".join(frame.ids for frame in self._tables.frames_of(block_id))
        return list(dict.fromkeys(joined[at : at + 32] for at in range(0, len(joined), 32)))

    def _carry(self, window: Sequence[tuple[BlockRow, list[bytes]]]) -> None:
        ids = list(dict.fromkeys(chunk_id for _, of_block in window for chunk_id in of_block))
        is_there = self._tables.has_many(b"".join(ids))
        lacking = [one for one, there in zip(ids, is_there, strict=True) if not there and one not in self._taken]
        wanted = set(lacking)
        lost: dict[bytes, str] = {}
        for segment in self._fetcher.bring(lacking, lost):
            self._ticker.turn()
            self._take(segment, wanted)
        self._report.lost |= lost
        for row, _ in window:
            self._carried.append(row)
            self._ticker.done_bytes += row.size_bytes

    def _take(self, segment: SealedSegment, lacking: Collection[bytes]) -> None:
        ids = [segment.ids[at : at + 32] for at in range(0, len(segment.ids), 32)]
        needed = {one for one in ids if one in lacking and one not in self._taken}
        if not needed:
            return
        self._taken |= needed
        if self._wanted.takes(segment.frame) and len(needed) >= _COPIED_FROM * len(ids):
            self._blocks.add(segment)
            return
        kind = (segment.content, self._wanted.level_for(segment.frame))
        repacker = self._repackers.get(kind)
        if repacker is None:
            repacker = self._repackers[kind] = Repacker(self._place.setup(), kind[1], segment.content)
        tries_again = not self._wanted.is_compressed_well(segment.frame)
        for sealed in repacker.add(segment, needed.__contains__, tries_again=tries_again):
            self._blocks.add(sealed)

    def _flush(self) -> None:
        for repacker in self._repackers.values():
            for sealed in repacker.flush():
                self._blocks.add(sealed)

    def _publish(self) -> None:
        """Name what is safe."""
        self._flush()
        self._publishing.publish_safe(self._blocks)
        self._published_bytes = self._blocks.stored_bytes
        self._taken &= self._blocks.placed

    def _retire(self) -> None:
        """Those old blocks all of whose chunks lie elsewhere now. At the end, for every run reads each record of it.

        Where it is killed before, the next migration finds them so, and fetches nothing for them.
        """
        context = self._context
        done = [row.block_id for row in self._carried if self._is_elsewhere(row.block_id)]
        self._carried = []
        for start in range(0, len(done), _RETIRED_BLOCKS):
            places: list[tuple[bytes, bytes | None]] = [(one, b"") for one in done[start : start + _RETIRED_BLOCKS]]
            record = Damage(context.clock.now_ns(), bytes.fromhex(context.host.host_id), places)
            self._place.records.report_damage(record)
        self._report.retired.update(done)

    def _is_elsewhere(self, block_id: bytes) -> bool:
        return all(self._tables.has_many(b"".join(self._ids_of(block_id))))
