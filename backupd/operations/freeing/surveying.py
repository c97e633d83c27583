"""What a freeing goes by: all that stands at the place, what of it is needed, and what of the blocks that leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from backupd.errors import DamageError
from backupd.operations.context import JobContext
from backupd.operations.freeing.old_partials import drop_old_partials
from backupd.operations.freeing.report import Report
from backupd.operations.freeing.targeting import Targeting
from backupd.operations.freeing.walking import AreaCount, RootWalk, VersionCount, WalkedTrees, in_order
from backupd.operations.places import OpenPlace
from backupd.repository.live_chunks import LiveChunks
from backupd.repository.looking import Look, Looking
from backupd.repository.reader import ChunkReader, SegmentReader
from backupd.rules.space_plan import Use
from backupd.settings.directories import ensure
from backupd.snapshot.records import Snapshot

_LOOKS = 3

Mark = Callable[[Look, LiveChunks], DamageError | None]
"""Marks all that is needed, or says why that can't be done."""


class Survey:
    """Of one place, any number of times; trees that were walked once are not read again."""

    def __init__(
        self,
        context: JobContext,
        place: OpenPlace,
        report: Report,
        step: Callable[[str], None],
        tick: Callable[[], None],
        known: Mapping[str, Snapshot] | None = None,
    ) -> None:
        """step: told what is done now. tick: called between all steps. known: as of `Looking`."""
        self._context, self._place, self._report = context, place, report
        self._step, self._tick = step, tick
        self._looking = Looking(place.records, ensure(os.path.join(place.cache, "index")), tick, known)
        self._versions, self._trees = VersionCount(), WalkedTrees()
        self.dropped: frozenset[str] = frozenset()
        """Names of snapshots that are taken for dropped."""
        self.was_marked = False
        """Whether all that is needed was marked once, and what is held was counted."""

    @property
    def snapshots(self) -> dict[str, Snapshot]:
        """As they were read, by name."""
        return self._looking.snapshots

    def look(self, *, drops: bool = False, mark: Mark | None = None) -> tuple[Look, LiveChunks]:
        """All that stands there, and what is needed of it. The caller closes the tables.

        drops: partial snapshots that are too old are dropped first. mark: walks the snapshots, None: by their sets.
        Raises DamageError and others for what can't be read.
        """
        self._step("look at snapshots, index and blocks")
        parity = self._place.repository.keyring.configuration.parity
        for number in range(_LOOKS):
            look = self._look_and_drop() if drops else self._looking.look()
            try:
                look.mark_absent()
                marks = LiveChunks(look.index.tables, look.grade, parity, look.bad.chunks.keys())
                lost = (mark or self._mark)(look, marks)
            except BaseException:
                look.index.tables.close()
                raise
            if lost is None:
                return look, marks
            look.index.tables.close()
            # A snapshot may be newer than the index that was read before it.
            if number == _LOOKS - 1:
                raise lost
        raise AssertionError("the last look returned or raised")

    def weigh(self, targeting: Targeting) -> None:
        """Have the snapshots weighed, of which some may go for a target."""
        look, _ = self.look(mark=lambda look, marks: self._weigh(targeting, look, marks))
        look.index.tables.close()

    def known(self, look: Look, marks: LiveChunks) -> list[Use]:
        """Blocks that may go, and how much of each is needed."""
        uses = marks.uses()
        kept = look.kept
        known = [
            Use(use.block_id, look.blocks[use.block_id], use.live_bytes, use.content)
            for use in uses.values()
            if use.block_id in look.blocks and use.block_id not in kept and use.block_id not in look.gc.absent
        ]
        # What no index object names is nobody's, or a running writer's, who will say so.
        orphans = look.blocks.keys() - uses.keys() - kept - look.gc.absent
        return known + [Use(block_id, look.blocks[block_id], 0, 1) for block_id in orphans]

    def _look_and_drop(self) -> Look:
        look = self._looking.look()
        try:
            dropped = drop_old_partials(self._context, self._place.records, look)
        except BaseException:
            look.index.tables.close()
            raise
        if not dropped:
            return look
        look.index.tables.close()
        self._report.dropped_partials += dropped
        return self._looking.look()

    def _mark(self, look: Look, marks: LiveChunks) -> DamageError | None:
        """Mark all that the roots reach; why that can't be done. What is held is counted, too."""
        self._step("walk the snapshots")
        reader = self._reader(look)

        def load(node: bytes) -> bytes:
            self._tick()
            return reader.load(node)

        walk = RootWalk(marks, reader.load, self._tick, self._trees)
        roots = {name: one for name, one in look.snapshots.items() if name not in self.dropped}
        areas = AreaCount(roots, look.void)
        try:
            for one in in_order(roots, look.void):
                areas.add(one, walk.mark(one), lambda old, new: self._versions.beyond(old, new, load))
        except DamageError as error:
            return error
        self._note(look, areas)
        self.was_marked = True
        return None

    def _weigh(self, targeting: Targeting, look: Look, marks: LiveChunks) -> DamageError | None:
        """Mark all that the roots reach in the order in which they would go, the last one first."""
        self._step("walk the snapshots")
        areas = AreaCount(look.snapshots, look.void)
        try:
            walk = RootWalk(marks, self._reader(look).load, self._tick, self._trees)
            targeting.walk(look, walk, areas)
        except DamageError as error:
            return error
        targeting.dead_bytes = sum(use.dead_bytes for use in self.known(look, marks))
        self._note(look, areas)
        return None

    def _reader(self, look: Look) -> ChunkReader:
        return ChunkReader(SegmentReader(self._place.repository.place, self._place.setup()), look.index.tables)

    def _note(self, look: Look, areas: AreaCount) -> None:
        report = self._report
        report.note_areas(areas.sets(), areas.of)
        report.before.stored_bytes = report.before.stored_bytes or (
            sum(look.blocks.values()) + report.deleted_bytes - report.stored_bytes
        )
