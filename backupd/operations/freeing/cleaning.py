"""One generation after the other: candidates, the wait for writers, the second look, the list, the deleting (8.3)."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress

from backupd.errors import DamageError, ObjectExistsError, StoppedError
from backupd.model import events
from backupd.operations.context import JobContext
from backupd.operations.freeing.compacting import Compaction
from backupd.operations.freeing.deleting import Deleting
from backupd.operations.freeing.locked import LockedBlocks
from backupd.operations.freeing.report import Report, Waiting
from backupd.operations.freeing.sessions import Sessions
from backupd.operations.freeing.settling import settling_until
from backupd.operations.freeing.surveying import Survey
from backupd.operations.freeing.targeting import Targeting
from backupd.operations.places import OpenPlace
from backupd.repository import reserve
from backupd.repository.live_chunks import LiveChunks
from backupd.repository.looking import Look
from backupd.rules import space_plan
from backupd.rules.space_plan import SpacePlan, Use
from backupd.seal.header import ObjectKind
from backupd.sizes import MIB
from backupd.snapshot import naming
from backupd.snapshot.records import BlockList, Snapshot
from backupd.store_errors import BlocksLostError

PATIENCE_SECONDS = 60.0
"""So long writers are waited for; what they hold back then is freed by the next freeing."""
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_GENERATIONS_MOST = 5
_BLOCKS_MOST = 200_000
"""Of a list: an object is 17 MiB at most."""
_COVERS_FROM = 8
"""From so many closed lists on a new one says what they said, and they go."""
_SPARE_BYTES = 64 * MIB


class Cleaner:
    """At one place, of which it is a writer."""

    def __init__(
        self, context: JobContext, place: OpenPlace, report: Report, known: Mapping[str, Snapshot] | None = None
    ) -> None:
        """known: snapshots that were read before, by name; what they say never changes."""
        self._context, self._place, self._records, self._report = context, place, place.records, report
        self._survey = Survey(context, place, report, self._begin, self.tick, known)
        self._sessions = Sessions(context, place)
        self._locks = LockedBlocks(context, place, report, self.tick)
        self._deleting = Deleting(context, place, report, self._locks, self.tick)
        self._seen_path = os.path.join(place.cache, "gc.seen")
        self._step = "look"
        self._is_sole = False
        self.wanted_bytes = 0
        """So much is to be given back if it can be, whatever has to be written anew for it; 0: what is worth it."""

    @property
    def snapshots(self) -> dict[str, Snapshot]:
        """As they were read, by name."""
        return self._survey.snapshots

    def tick(self) -> None:
        """Between all steps. Raises the stop that was asked for."""
        self._deleting.note_ended()
        self._context.cancel.check()
        self._context.wait_while_paused()
        self._context.progress(
            lambda elapsed: events.Progress(
                step=self._step,
                bytes_done=self._report.deleted_bytes,
                bytes_total=self._report.planned_bytes or None,
                bytes_stored=self._report.stored_bytes,
                elapsed_seconds=elapsed,
            )
        )

    def show(self, dropped: Collection[str]) -> None:
        """Only say what could be given free. dropped: names of snapshots that would go first."""
        self._survey.dropped = frozenset(dropped)
        look, marks = self._survey.look()
        try:
            planned = self._planned(look, marks)
            self._report.planned_bytes = planned.freed_bytes
        finally:
            look.index.tables.close()

    def note_locked(self, dropped: Collection[str]) -> None:
        """Tell what of a plan the store would retain. dropped: as of `show`."""
        if self._locks.is_locking:
            planned_bytes = self._report.planned_bytes
            self.show(dropped)
            self._report.planned_bytes = planned_bytes

    def weigh(self, targeting: Targeting) -> None:
        """Have the snapshots weighed, of which some may go for a target."""
        self._survey.weigh(targeting)

    def run(self) -> None:
        """All generations, but for the end of the last deleting: see `end`.

        Raises DamageError and others for what can't be read: then nothing more is deleted.
        """
        self.refuse_second_cleaner()
        self._report.ended_sessions += self._sessions.end_own() + self._sessions.forget_taken()
        for _ in range(_GENERATIONS_MOST):
            if not self._generation():
                break
        if not self._survey.was_marked:
            # Held back before the first look: what is stored there is told all the same.
            look, _ = self._survey.look()
            look.index.tables.close()
            self._deleting.delete(look.gc.deleted, look.blocks)

    def end(self) -> None:
        """Wait until all is deleted. Raises DestinationError, and the stop that was asked for."""
        if self._deleting.is_under_way:
            self._context.step(self._step)
        self._deleting.end()

    def close(self) -> None:
        """After an error: what is not deleted yet is left to the next freeing."""
        self._deleting.stop()

    def _generation(self) -> bool:
        """Whether another one may free more."""
        # What the last one began to delete is free space for this one.
        self._deleting.end()
        gc = self._records.gc_state()
        if gc.open_lists:
            # Begun here before, or by another cleaner: it is ended as it stands.
            return self._close(gc.open_lists[0])
        look, marks = self._survey.look(drops=True)
        try:
            # What a cleaner that was killed had no time to delete.
            self._deleting.delete(look.gc.deleted, look.blocks)
            if look.gc.open_lists:
                # Another cleaner has begun it since: two lists are never open at once.
                return True
            planned = self._planned(look, marks)
            self._report.planned_bytes = max(self._report.planned_bytes, planned.freed_bytes)
            if not planned.dead and not planned.rewritten:
                self._forget(look)
                return False
            if planned.rewritten and not self._compact(look, marks, planned.rewritten):
                return True
            n = look.gc.newest + 1
            blocks = [use.block_id for use in (*planned.dead, *planned.rewritten)]
            self._propose(n, blocks[:_BLOCKS_MOST])
        finally:
            look.index.tables.close()
        is_more = planned.put_off > 0 or len(blocks) > _BLOCKS_MOST
        return self._close(n) and is_more

    def _compact(self, look: Look, marks: LiveChunks, uses: list[Use]) -> bool:
        """Copy what is needed of these blocks; False where another cleaner took one of them away meanwhile."""
        self._begin("copy what is needed of blocks that are mostly dead")
        compaction = Compaction(
            self._context, self._place, look, marks, self._report, self.tick, is_thorough=self.wanted_bytes > 0
        )
        try:
            compaction.run(uses)
        except (DamageError, BlocksLostError):
            if not self._is_passed(look):
                raise
            return False
        finally:
            compaction.close()
        return True

    def refuse_second_cleaner(self) -> None:
        """Where two may create one name, one host alone frees space: somebody has to say which (DESIGN 8.5)."""
        if self._is_sole:
            return
        # What the store can do is known for sure once something was created.
        reserve.prove(self._records.place)
        self._is_sole = self._records.is_exact
        if self._is_sole:
            return
        short = self._place.repository.text_id[:9]
        question = (
            f"{self._place.whole.shown} does not say which of two writers was first: only one host may free space "
            "there. Is this the only one that does?"
        )
        if self._context.ask(question, "typed", short) != short:
            raise StoppedError("not confirmed; nothing was changed")
        self._is_sole = True

    def _is_passed(self, look: Look) -> bool:
        """Whether another cleaner went on since that look: what is gone may be what it deleted, and is no damage."""
        now = self._records.gc_state()
        return now.absent != look.gc.absent or now.deleted != look.gc.deleted

    def _planned(self, look: Look, marks: LiveChunks) -> SpacePlan:
        known = self._survey.known(look, marks)
        free = self._records.place.free_bytes()
        room = max(0, free - _SPARE_BYTES) if free is not None else None
        block_bytes = self._place.repository.keyring.configuration.block_bytes
        wanted = self.wanted_bytes - self._report.freed_bytes
        planned = self._locks.leave_out(known, lambda uses: space_plan.plan(uses, block_bytes, room, wanted))
        self._report.put_off_blocks = planned.put_off
        return planned

    def _propose(self, n: int, blocks: list[bytes]) -> None:
        """Begin generation n; where another one has begun it, that stands."""
        self._begin("ask writers to go by what is to be deleted")
        with suppress(ObjectExistsError):
            self._records.put(ObjectKind.CANDIDATES, naming.gc_name(n, "candidates"), BlockList(n, sorted(blocks)))

    def _close(self, n: int) -> bool:
        """End generation n; False where something holds it back."""
        report, records = self._report, self._records
        standing = records.get(ObjectKind.CANDIDATES, naming.gc_name(n, "candidates"), BlockList)
        if not records.is_exact and not self._is_settled(n):
            return False
        waiting = self._wait(n)
        if waiting:
            report.waiting += waiting
            return False
        look, marks = self._survey.look()
        try:
            needed = {use.block_id for use in marks.uses().values() if use.live_chunks}
        finally:
            look.index.tables.close()
        wanted = set(standing.blocks) - look.kept - needed
        name = naming.gc_name(n, "deleted")
        covers = [one for one in look.gc.closed_lists if one != n] if self._covers(look) else []
        gone = look.gc.deleted if covers else set()
        try:
            records.put(ObjectKind.DELETED, name, BlockList(n, sorted(wanted | gone), covers))
        except ObjectExistsError:
            covers = []
        final = records.get(ObjectKind.DELETED, name, BlockList)
        self._begin("delete blocks that nobody needs")
        self._deleting.begin(look.gc.deleted.union(final.blocks), look.blocks, sum(look.index.sizes.values()))
        self._forget_covered(covers)
        self._forget(look)
        return True

    def _covers(self, look: Look) -> bool:
        """Whether the new list is to say what the closed ones said: they are many, and nobody lags behind."""
        is_small = len(look.gc.deleted) < _BLOCKS_MOST
        return self._records.is_exact and is_small and look.gc.read_lists >= _COVERS_FROM

    def _forget_covered(self, covers: list[int]) -> None:
        for n in covers:
            # Its `.deleted` stays: a name is never free again.
            self._records.place.delete(naming.gc_name(n, "candidates"))

    def _wait(self, n: int) -> list[Waiting]:
        """What still holds back generation n when our patience is over."""
        clock = self._context.clock
        end = clock.monotonic() + PATIENCE_SECONDS
        pause_seconds = _PAUSE_SECONDS
        while True:
            waiting = self._sessions.waiting_for(n)
            waiting = self._sessions.end_silent(waiting) if waiting else []
            if not waiting or clock.monotonic() >= end:
                return [self._sessions.told(one) for one in waiting]
            self._begin("wait for writers")
            self._rest(min(pause_seconds, end - clock.monotonic()))
            # Each look is a request for each session; writers look twice a minute.
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _rest(self, seconds: float) -> None:
        pause, end = threading.Event(), self._context.clock.monotonic() + seconds
        while self._context.clock.monotonic() < end:
            self.tick()
            pause.wait(_PAUSE_SECONDS)

    def _is_settled(self, n: int) -> bool:
        """Whether 48 hours have passed since this host first saw generation n."""
        key = naming.gc_name(n, "candidates")
        until = settling_until(self._context, self._seen_path, key)
        if until is None:
            return True
        reason = "this store does not say which of two writers was first, so it is given two days to settle"
        self._report.waiting.append(Waiting("store", key, reason, until))
        return False

    def _forget(self, look: Look) -> None:
        """What counts for nothing any more: announcements of ended sessions, objects of dropped snapshots."""
        self._report.ended_sessions += self._sessions.forget_ended(look.sessions, look.listed, look.void)
        self._deleting.remove_void(look)

    def _begin(self, step: str) -> None:
        if step != self._step:
            self._step = step
            self._context.step(step)
