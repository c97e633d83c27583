"""What a snapshot needs and the new place lacks: found by its trees, brought as sealed segments, placed as they are."""

from __future__ import annotations

from typing import NamedTuple

from backupd.cache.index_tables import IndexTables
from backupd.errors import ChunkLostError, DamageError
from backupd.model import events
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.session import Publishing, RunningSession
from backupd.operations.backup.space import SpaceGuard
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, load_place_index
from backupd.operations.replicate.blame import blame, told_of
from backupd.operations.replicate.report import Report
from backupd.repository.copied_blocks import CopiedBlocks
from backupd.repository.reader import ChunkReader
from backupd.repository.sealed_fetching import SealedFetcher
from backupd.repository.tree_check import Hit, TreeCheck
from backupd.snapshot.records import Snapshot
from backupd.tree.reaching import TreeReach

_WINDOW_CHUNKS = 8192
"""So many lacking chunks are looked up and brought together, block by block."""
_UNPUBLISHED_CHUNKS = 100_000


class Loss(NamedTuple):
    """Why a snapshot can't be copied, and which of its paths that hits."""

    message: str
    hits: list[Hit]


class Ticker:
    """Asked between all steps: is the job to end, to wait, to announce its session again, to tell where it stands?"""

    def __init__(self, context: JobContext, session: RunningSession, report: Report, guard: SpaceGuard) -> None:
        """guard: of the place that is copied to."""
        self._context, self._report, self._guard = context, report, guard
        self._posts = Posts(session, context.clock)
        self.blocks: CopiedBlocks | None = None
        self.is_stopping = False
        """Nothing but the end of what is under way is waited for."""

    def turn(self) -> None:
        """Raises the stop that was asked for, the error of the place that is copied to."""
        self._post_if_due()
        if self.is_stopping:
            return
        context = self._context
        context.cancel.check()
        if self.blocks is not None:
            with told_of(self._report.to_name):
                self._guard.look_at_copy(self.blocks.stored_bytes, self.blocks.unsafe_bytes)
        context.wait_while_paused(tick=self._post_if_due)
        context.progress(self._progress)

    def _post_if_due(self) -> None:
        with told_of(self._report.to_name):
            self._posts.post_if_due()

    def _progress(self, elapsed: float) -> events.Progress:
        report = self._report
        stored = report.stored_bytes + (self.blocks.stored_bytes if self.blocks is not None else 0)
        return events.Progress(
            step="replicate",
            snapshots_done=report.done_count,
            snapshots_total=report.wanted_count,
            bytes_done=report.fetched_bytes,
            bytes_stored=stored,
            elapsed_seconds=elapsed,
        )


class ContentCopy:
    """Copies the content of one snapshot after the other; `begin` each."""

    _blocks: CopiedBlocks
    _publishing: Publishing
    _ticker: Ticker

    def __init__(
        self, context: JobContext, old: OpenPlace, new: OpenPlace, tables: IndexTables, report: Report
    ) -> None:
        """tables: of the new place's index. Raises BackupError of the old place."""
        self._context, self._old, self._report, self._tables = context, old, report, tables
        self._index = load_place_index(old)
        self._segments = old.segments()
        self._reader = ChunkReader(self._segments, self._index.tables)
        self._fetcher = SealedFetcher(old.repository.place, old.setup(), self._index.tables, old.healed.note)
        self._new_reader = ChunkReader(new.segments(), tables)
        self._reach = TreeReach(self._load, set())
        self._proved: set[bytes] = set()
        self._has_reloaded = False
        self._told_bytes = 0

    def close(self) -> None:
        """End threads, close tables."""
        self._fetcher.close()
        self._index.tables.close()

    def begin(self, blocks: CopiedBlocks, publishing: Publishing, ticker: Ticker) -> None:
        """The next snapshot goes into these blocks."""
        self._blocks, self._publishing, self._ticker = blocks, publishing, ticker
        ticker.blocks = blocks

    def copy(self, snapshot: Snapshot, base: bytes | None, *, is_proving: bool) -> Loss | None:
        """Bring all that is lacking; what can't be had of it.

        base: root of a snapshot of which all is at the new place. is_proving: it is the one copied last.
        """
        proved = self._proved if is_proving else set()
        lost = self._bring(snapshot, base, proved)
        if lost and not self._has_reloaded:
            # A block may have gone to another place since the index was read (DESIGN 8.4).
            self._has_reloaded = True
            self._reload()
            lost = self._bring(snapshot, base, proved)
        return self._loss(snapshot, lost) if lost else None

    def finish(self) -> None:
        """Have all that was placed acknowledged, and named in the index. Raises the new place's error."""
        with told_of(self._report.to_name):
            self._blocks.finish()
            self._publish()

    def keep_proof(self) -> None:
        """The snapshot copied last stands: what was walked of it is there."""
        self._proved = self._reach.walked

    def _bring(self, snapshot: Snapshot, base: bytes | None, proved: set[bytes]) -> dict[bytes, str]:
        """Reasons by chunk for all that no place gives; the empty id: of a tree that breaks the format."""
        self._reach = TreeReach(self._load, proved)
        lost: dict[bytes, str] = {}
        pending: dict[bytes, None] = {}
        try:
            for ids in self._reach.chunks(snapshot.root, base):
                self._ticker.turn()
                self._note_lacking(ids, pending, lost)
                if len(pending) >= _WINDOW_CHUNKS:
                    self._copy_segments(pending, lost)
        except DamageError as error:
            lost.setdefault(b"", error.message)
        self._copy_segments(pending, lost)
        return lost

    def _note_lacking(self, ids: bytes, pending: dict[bytes, None], lost: dict[bytes, str]) -> None:
        known = self._tables.has_many(ids)
        for at, is_known in enumerate(known):
            chunk_id = ids[32 * at : 32 * at + 32]
            if not is_known and chunk_id not in self._blocks.placed and chunk_id not in lost:
                pending[chunk_id] = None

    def _copy_segments(self, pending: dict[bytes, None], lost: dict[bytes, str]) -> None:
        """Bring what is pending, which is empty then."""
        blocks, report = self._blocks, self._report
        wanted = [chunk_id for chunk_id in pending if chunk_id not in blocks.placed]
        pending.clear()
        if not wanted:
            return
        segments = self._fetcher.bring(wanted, lost)
        while True:
            self._ticker.turn()
            with told_of(report.from_name):
                segment = next(segments, None)
            report.fetched_bytes += self._fetcher.fetched_bytes - self._told_bytes
            self._told_bytes = self._fetcher.fetched_bytes
            if segment is None:
                break
            with told_of(report.to_name):
                blocks.add(segment)
                if len(blocks.placed) >= _UNPUBLISHED_CHUNKS:
                    self._publish()

    def _publish(self) -> None:
        """Name what is safe in an index object. Raises the new place's error."""
        self._publishing.publish_safe(self._blocks)

    def _load(self, node: bytes) -> bytes:
        """A node from the old place, else from the new one. Raises DamageError of the old one."""
        try:
            with told_of(self._report.from_name):
                return self._reader.load(node)
        except ChunkLostError as error:
            try:
                with told_of(self._report.to_name):
                    return self._new_reader.load(node)
            except DamageError:
                raise error from None

    def _reload(self) -> None:
        with told_of(self._report.from_name):
            self._index.tables.close()
            self._index = load_place_index(self._old)
            self._reader = ChunkReader(self._segments, self._index.tables)
            self._fetcher.use(self._index.tables)

    def _loss(self, snapshot: Snapshot, lost: dict[bytes, str]) -> Loss:
        """What is lost, and all paths of the snapshot that need it."""
        self._context.tell("information", "find the files that need what is lost", verbosity=1)
        has_many = _Without(lost)
        check = TreeCheck(self._load, has_many, self._index.tables)
        hits: list[Hit] = []
        for hit in check.walk(snapshot.root):
            self._ticker.turn()
            if hit is not None:
                hits.append(hit)
        count = len(lost.keys() - {b""})
        text = f"{count} {'chunk is' if count == 1 else 'chunks are'} lost: " if count else ""
        error = DamageError(text + next(iter(lost.values())))
        blame(error, self._report.from_name)
        return Loss(error.message, hits)


class _Without:
    """Answers that all chunks are there but those lost."""

    def __init__(self, lost: dict[bytes, str]) -> None:
        self._lost = lost

    def __call__(self, ids: bytes) -> bytearray:
        return bytearray(ids[at : at + 32] not in self._lost for at in range(0, len(ids), 32))
