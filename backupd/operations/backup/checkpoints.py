"""Checkpoints of a run: what is stored becomes reachable, so that the next run goes on from there (DESIGN 8.1)."""

from __future__ import annotations

from backupd.cache.file_cache import FileCacheWriter
from backupd.operations.backup.session import Publishing, RunningSession
from backupd.operations.backup.space import SpaceGuard
from backupd.operations.backup.storing import Storing
from backupd.operations.backup.summary import Draft
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.context import JobContext
from backupd.sizes import MIB
from backupd.snapshot.records import Checkpoint, Snapshot
from backupd.tree.entry import UNFINISHED

STORED_BYTES = 512 * MIB
SECONDS = 300
INDEX_CHUNKS = 100_000
POST_SECONDS = 600


class Checkpoints:
    """Makes them when they are due. Every 10 minutes the session is announced anyway, also while the run is paused."""

    walk: TreeWalk
    cache: FileCacheWriter

    def __init__(
        self,
        storing: Storing,
        session: RunningSession,
        publishing: Publishing,
        draft: Draft,
        context: JobContext,
        space: SpaceGuard,
    ) -> None:
        self.space = space
        self._storing, self._session, self._publishing = storing, session, publishing
        self._draft, self._context, self._clock = draft, context, context.clock
        self._stored_bytes = 0
        self._at = self._posted_at = self._clock.monotonic()
        self._snapshot: Snapshot | None = None

    def turn(self) -> None:
        """Make one if it is due, and wait here while the run is paused: nothing is read or sealed meanwhile.

        Never within a drain. Raises the stop that was asked for, the destination's error.
        """
        self.space.look(self._storing.engine)
        self.make_if_due()
        self._context.wait_while_paused(self._make, self._post_if_due)

    def make_if_due(self) -> None:
        """Make one each 512 MiB stored or 5 minutes in which something was stored."""
        self.publish_if_due()
        stored = self._storing.engine.blocks.stored_bytes
        now = self._clock.monotonic()
        is_large = stored - self._stored_bytes >= STORED_BYTES
        if is_large or (now - self._at >= SECONDS and stored > self._stored_bytes):
            self._make()
        else:
            self._post_if_due()

    def _post_if_due(self) -> None:
        now = self._clock.monotonic()
        if now - self._posted_at >= POST_SECONDS:
            self._session.post(self._clock.now_ns())
            self._posted_at = now

    def publish_if_due(self) -> None:
        """Name safe blocks in an index object before their chunks take much memory."""
        if self._storing.engine.blocks.safe_chunks >= INDEX_CHUNKS:
            self._publish_safe()

    def _publish_safe(self) -> None:
        engine = self._storing.engine
        safe = engine.blocks.take_safe()
        self._publishing.publish(safe)
        engine.claims.forget(segment.ids for block in safe for segment in block.segments)

    def make_last(self) -> Snapshot:
        """The checkpoint of a run that stops, as the partial snapshot that it leaves."""
        self._storing.flush()
        self._make()
        if self._snapshot is None:
            raise AssertionError("a checkpoint makes a snapshot")
        return self._snapshot

    def _make(self) -> None:
        self._storing.engine.drain(self._publish)
        self._stored_bytes = self._storing.engine.blocks.stored_bytes
        self._at = self._posted_at = self._clock.monotonic()

    def _publish(self) -> None:
        engine = self._storing.engine
        root = self._partial_root()
        engine.flush_trees()
        self._publish_safe()
        cache_bytes = self.cache.checkpoint(build.loose_pieces() for build in list(self.walk.open.values()))
        snapshot = self._draft.snapshot(root, is_complete=False, engine=self._storing.engine)
        self._snapshot = snapshot
        files, size = self._storing.tally.seen, self._storing.tally.seen_bytes
        n = self._session.post(self._clock.now_ns(), Checkpoint(root, files, size), snapshot)
        self._publishing.checkpoint(n, cache_bytes)

    def _partial_root(self) -> bytes:
        """Nodes of all open directories, those below before those above; gives the top one's id."""
        children: dict[int, dict[bytes, bytes]] = {}
        if self.walk.root is not None and self.walk.root.node:
            return self.walk.root.node
        node = b""
        for build in reversed(list(self.walk.open.values())):
            node = build.partial_node(children.pop(id(build), {}))
            if build.parent is not None and build.stat is not None:
                name = build.path.rpartition(b"/")[2]
                siblings = children.setdefault(id(build.parent), {})
                siblings[name] = build.encode_self(node, name, UNFINISHED)
        return node
