"""Stores again what damaged blocks held: found by the trees, brought from wherever it is whole, named by the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backupd.cache.index_tables import IndexTables
from backupd.errors import DamageError, DestinationError
from backupd.model import events
from backupd.operations.backup.space import SpaceGuard
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.repair.source_files import NAME, SourceFiles
from backupd.operations.repair.sources import RepairSource, RepairSources
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.bad_places import BadPlaces
from backupd.repository.copied_blocks import CopiedBlocks
from backupd.repository.tree_check import TreeCheck

_WINDOW_CHUNKS = 8192
_UNPUBLISHED_CHUNKS = 100_000


class Healing:
    """At one place, of which it is a writer. One thread calls everything here."""

    def __init__(
        self,
        context: JobContext,
        place: OpenPlace,
        tables: IndexTables,
        sources: RepairSources,
        damaged: set[bytes],
        gone: set[bytes],
    ) -> None:
        """place: a writer's. damaged: blocks that are given up. gone: those that were given free."""
        self._context, self._place, self._tables, self._sources = context, place, tables, sources
        self._damaged, self._gone = damaged, gone
        self._guard = SpaceGuard(None, None, place, tables, context.clock)
        # A block that is sent and not named is an orphan, which the next freeing finds: nothing has to be journalled.
        self._blocks = CopiedBlocks(place.repository, lambda _: None, self._tick)
        self._generation = 0
        self._pending: dict[bytes, None] = {}
        self._asked: set[bytes] = set()
        """Chunks that were looked for: what was not brought then can't be had."""
        self._given: set[bytes] = set()
        self._from_files = 0

    def run(self, snapshots: Sequence[SnapshotAt], readable: set[bytes]) -> None:
        """Store again what these snapshots need of damaged blocks, and all that readable ones hold.

        Raises DestinationError, DestinationFullError among them: what was published until then stays.
        """
        try:
            self._generation = self._place.records.gc_state().generation
        except DamageError:
            # It only saves work; 0 is always true.
            self._generation = 0
        self._guard.begin_copy()
        self._mark()
        for block_id in sorted(readable):
            for frame in self._tables.frames_of(block_id):
                self._want(frame.ids)
        trees = TreeCheck(self._load, self._noted, self._tables)
        for at in snapshots:
            for _ in trees.walk(at.snapshot.root):
                self._tick()
                if len(self._pending) >= _WINDOW_CHUNKS:
                    self._bring()
        self._bring()
        self._bring_from_files(snapshots)
        self._blocks.finish()
        self._publish()

    @property
    def new_blocks(self) -> set[bytes]:
        """Blocks that were stored."""
        return set(self._blocks.sizes)

    def retired(self, bad: BadPlaces) -> BadPlaces:
        """Places in damaged blocks of which another place gives the chunk now: nobody is to need them any more.

        bad: all that is known to be bad now, new blocks among them.
        """
        bad.mark(self._tables, self._damaged | self._gone)
        found = BadPlaces()
        for block_id in self._damaged:
            ids = b"".join(frame.ids for frame in self._tables.frames_of(block_id))
            present = self._tables.has_many(ids)
            if ids and all(present):
                found.add_block(block_id)
                continue
            kept = [ids[32 * at : 32 * at + 32] for at, is_there in enumerate(present) if is_there]
            found.add_chunks(block_id, b"".join(kept))
        return found

    def result(self) -> dict[str, Any]:
        """What was stored again, and from where it came."""
        used = [(source.name, source.given_chunks) for source in self._sources.used()]
        used += [(NAME, self._from_files)] if self._from_files else []
        return {
            "chunks": len(self._given),
            "new_blocks": len(self._blocks.sizes),
            "stored_bytes": self._blocks.stored_bytes,
            "sources": [{"place": name, "chunks": count} for name, count in used],
        }

    def close(self) -> None:
        """End threads; what is open is given up."""
        self._blocks.close()

    # What is wanted

    def _mark(self) -> None:
        """A damaged block is left with all its chunks: else it stays for the good ones, and its parity is used up."""
        self._tables.absent_blocks = self._damaged | self._gone
        self._tables.absent_places = set()

    def _load(self, node: bytes) -> bytes:
        self._want(node)
        error: DamageError | None = None
        for source in self._sources.all():
            try:
                return source.load(node)
            except DamageError as damage:
                error = error or damage
            except DestinationError as failure:
                self._sources.give_up(source, failure)
        raise error or DamageError(f"nobody gives the node {node.hex()[:16]}")

    def _noted(self, ids: bytes) -> bytearray:
        """As if all were there: what is lost is told by the check that follows."""
        self._want(ids)
        return bytearray(b"\1" * (len(ids) // 32))

    def _want(self, ids: bytes) -> None:
        for at, is_there in enumerate(self._tables.has_many(ids)):
            chunk_id = ids[32 * at : 32 * at + 32]
            if not is_there and chunk_id not in self._asked:
                self._pending[chunk_id] = None

    # What is brought

    def _bring(self) -> None:
        wanted = [chunk_id for chunk_id in self._pending if chunk_id not in self._blocks.placed]
        self._pending.clear()
        self._asked.update(wanted)
        for source in self._sources.all():
            if wanted:
                self._bring_from(source, wanted)
                wanted = [chunk_id for chunk_id in wanted if chunk_id not in self._given]
        if len(self._blocks.placed) >= _UNPUBLISHED_CHUNKS:
            self._publish()

    def _bring_from(self, source: RepairSource, wanted: Sequence[bytes]) -> None:
        """Raises what ended the place itself; a sibling that fails is asked no more."""
        left = set(wanted)
        segments = source.bring(wanted)
        while True:
            self._tick()
            try:
                segment = next(segments, None)
            except DestinationError as error:
                self._sources.give_up(source, error)
                return
            if segment is None:
                return
            self._blocks.add(segment)
            ids = segment.ids
            fresh = left.intersection(ids[at : at + 32] for at in range(0, len(ids), 32))
            left -= fresh
            self._given |= fresh
            source.given_chunks += len(fresh)

    def _bring_from_files(self, snapshots: Sequence[SnapshotAt]) -> None:
        """What no place gives may still lie where it was backed up from."""
        lost = {chunk_id for chunk_id in self._asked if chunk_id not in self._given}
        if not lost:
            return
        files = SourceFiles(self._context, self._place, self._load, self._tick)
        try:
            here = files.of_this_host(snapshots)
            if here:
                self._context.tell("information", "look for what is lost in the source files", verbosity=1)
            trees = TreeCheck(self._load, lambda ids: _not_in(lost, ids), self._tables)
            for at in here:
                for hit in trees.walk(at.snapshot.root):
                    self._tick()
                    for segment in files.give(at.snapshot, hit, lost) if hit is not None else ():
                        self._blocks.add(segment)
            for segment in files.flush():
                self._blocks.add(segment)
        finally:
            files.close()
            self._given |= files.given
            self._from_files = len(files.given)

    def _publish(self) -> None:
        if self._blocks.publish(self._tables, self._generation, self._context.warn):
            self._sources.look_again()

    def _tick(self) -> None:
        self._context.cancel.check()
        self._guard.look_at_copy(self._blocks.stored_bytes, self._blocks.unsafe_bytes)
        self._context.wait_while_paused()
        self._context.progress(
            lambda elapsed: events.Progress(
                step="repair",
                bytes_done=self._sources.fetched_bytes,
                bytes_stored=self._blocks.stored_bytes,
                elapsed_seconds=elapsed,
            )
        )


def _not_in(lost: set[bytes], ids: bytes) -> bytearray:
    return bytearray(ids[at : at + 32] not in lost for at in range(0, len(ids), 32))
