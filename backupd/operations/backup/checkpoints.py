"""Checkpoints of a run: what is stored becomes reachable, so that the next run goes on from there (DESIGN 8.1)."""

from __future__ import annotations

from backupd.cache.file_cache import FileCacheWriter
from backupd.operations.backup.part import Part
from backupd.operations.backup.parts import Parts
from backupd.operations.backup.session import LOOK_SECONDS, POST_SECONDS
from backupd.operations.backup.storing import Storing
from backupd.operations.backup.summary import Draft
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.context import JobContext
from backupd.sizes import MIB
from backupd.snapshot.records import Checkpoint
from backupd.tree.entry import UNFINISHED

STORED_BYTES = 512 * MIB
SECONDS = 300
INDEX_CHUNKS = 100_000
_SLOW_SECONDS = 10.0
"""How long the others wait at a checkpoint for the slowest of several destinations."""
_LAST_SECONDS = 2.0
"""The same where the run stops, which has ten seconds for all."""


class Checkpoints:
    """Makes them when they are due. Every 10 minutes the session is announced anyway, also while the run is paused."""

    walk: TreeWalk
    cache: FileCacheWriter

    def __init__(self, storing: Storing, parts: Parts, draft: Draft, context: JobContext) -> None:
        self._storing, self._parts = storing, parts
        self._draft, self._context, self._clock = draft, context, context.clock
        self._patience_seconds = _SLOW_SECONDS
        self._stored_bytes = 0
        self._at = self._posted_at = self._looked_at = self._clock.monotonic()

    def turn(self) -> None:
        """Make one if it is due, and wait here while the run is paused: nothing is read or sealed meanwhile.

        Never within a drain. Raises the stop that was asked for, the destination's error.
        """
        self._parts.look_at_space(self._storing.engine)
        self.make_if_due()
        self._context.wait_while_paused(self._make, self._post_if_due)

    def make_if_due(self) -> None:
        """Make one each 512 MiB stored or 5 minutes in which something was stored."""
        self.publish_if_due()
        stored = self._storing.engine.lanes.stored_bytes
        now = self._clock.monotonic()
        is_large = stored - self._stored_bytes >= STORED_BYTES
        if is_large or (now - self._at >= SECONDS and stored > self._stored_bytes):
            self._make()
        else:
            self._post_if_due()

    def _post_if_due(self) -> None:
        now = self._clock.monotonic()
        if now - self._posted_at >= POST_SECONDS:
            self._parts.each(self._parts.ready, Part.post, self._patience_seconds)
            self._posted_at = self._looked_at = now
        elif now - self._looked_at >= LOOK_SECONDS:
            self._parts.each(self._parts.ready, Part.post_where_awaited, self._patience_seconds)
            self._looked_at = now

    def publish_if_due(self) -> None:
        """Name safe blocks in an index object before their chunks take much memory."""
        if self._storing.engine.lanes.safe_chunks >= INDEX_CHUNKS:
            self._publish_safe()

    def _publish_safe(self) -> None:
        ready = self._parts.ready
        safe = {id(part): part.take_safe() for part in ready}
        self._parts.each(ready, lambda part: part.publish(safe[id(part)]), self._patience_seconds)
        self._storing.engine.forget(block for blocks in safe.values() for block in blocks)

    def make_last(self) -> None:
        """The checkpoint of a run that stops, for the partial snapshot that it leaves."""
        self._storing.flush()
        self._patience_seconds = _LAST_SECONDS
        self._make()

    def _make(self) -> None:
        self._storing.engine.drain(self._publish)
        self._stored_bytes = self._storing.engine.lanes.stored_bytes
        self._at = self._posted_at = self._looked_at = self._clock.monotonic()

    def _publish(self) -> None:
        engine = self._storing.engine
        root = self._partial_root()
        engine.flush_trees()
        self._publish_safe()
        pieces = (build.loose_pieces() for build in list(self.walk.open.values()))
        cache_bytes = self.cache.checkpoint(pieces, root)
        new_bytes = engine.new_bytes
        checkpoint = Checkpoint(root, self._storing.tally.seen, self._storing.tally.seen_bytes)
        # Who is behind has not all that the root reaches: its last checkpoint stands.
        idle = [part for part in self._parts.ready if part.is_idle]
        drafts = {
            id(part): self._draft.snapshot(root, new_bytes, part.stored_bytes, is_complete=False) for part in idle
        }
        self._parts.each(
            idle, lambda part: part.checkpoint(checkpoint, drafts[id(part)], cache_bytes), self._patience_seconds
        )

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
