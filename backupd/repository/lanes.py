"""The destinations of one storing run: each lacks other chunks, is as fast as it is, and fails alone (DESIGN 5)."""

from __future__ import annotations

import mmap
import socket
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from backupd.block.assembler import FinishedBlock
from backupd.cache.index_tables import IndexTables
from backupd.cancel import Cancel
from backupd.clock import Clock
from backupd.errors import (
    BackupError,
    ConflictError,
    DamageError,
    DestinationError,
    NewerVersionError,
    StoppedError,
    UsageError,
)
from backupd.model.sets import CONCURRENT
from backupd.model.work import Sealed
from backupd.repository.blocks import BlockWriter, FreeRing
from backupd.repository.opening import OpenRepository
from backupd.repository.spool import Spool
from backupd.repository.uploader import Announce, Uploader
from backupd.store_errors import StoreSlowError

_FROM_RING_MOST = 2
"""Blocks that a destination of several may have waiting in the ring; the others go by its spool."""
_SLOW_SECONDS = 30.0
_PATIENCE_SECONDS = 5.0
"""How long the others wait, workers and all, until the slowest of several destinations has what was sent to it."""
_LAST_PATIENCE_SECONDS = 2.0
OF_A_LANE = (DestinationError, DamageError, ConflictError, NewerVersionError, StoppedError)
"""What one destination may do to itself. All else, as a full state directory, ends the whole run."""


class LaneTarget(msgspec.Struct, frozen=True):
    """What a lane leads to."""

    repository: OpenRepository
    tables: IndexTables
    announce: Announce
    """Called on a thread of the uploader before a block is sent."""
    cancel: Cancel
    """Ends what the store waits for."""
    spool: Spool | None = None
    """None: nothing waits for this destination but in the ring."""


class Lane:
    """One destination's part of a storing run: what it lacks, blocks on their way to it, why it came to an end."""

    def __init__(
        self, bit: int, target: LaneTarget, memory: mmap.mmap, wake: socket.socket, free_ring: FreeRing
    ) -> None:
        self.bit, self.target = bit, target
        self._uploader = Uploader(target.repository.place, self._announce, wake)
        self.blocks = BlockWriter(target.repository, memory, self._send, free_ring)
        self._spool = target.spool
        self._waiting: deque[FinishedBlock] = deque()
        self.stuck_since: float | None = None
        """Since when its spool has been too small for what waits, while others could go on."""
        self.error: BackupError | None = None
        """Why nothing more is sent."""
        self._may_be_read = True
        """Whether a thread may still read from the ring."""
        self._bit_of_known = bytes([bit]) + bytes(255)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open, waits, or is under way."""
        return not self.blocks.has_open and not self._waiting and not self._uploader.under_way

    @property
    def is_stuck(self) -> bool:
        """Whether something waits that has no room in its spool."""
        return bool(self._waiting)

    def lacking(self, ids: bytes) -> bytearray:
        """Its bit for each chunk (32 bytes an id) that it lacks."""
        return self.target.tables.has_many(ids).translate(self._bit_of_known)

    def collect(self) -> None:
        """Take in what was sent. Raises what ended the sending."""
        for block, is_safe in self._uploader.take_ended():
            if self._spool is not None:
                self._spool.forget(block)
            self.blocks.sent(block, is_safe=is_safe and self.error is None)
        if self.error is None and self._uploader.error is not None:
            raise self._uploader.error
        self._pass_on()

    def end(self, error: BackupError) -> None:
        """Nothing more is sent; what is under way is nobody's any more, but leaves the ring only when it has ended."""
        self.error = error
        self._uploader.end(error)
        self.target.cancel.request(StoppedError("its part of the run has ended"))
        for block in self._waiting:
            self.blocks.sent(block, is_safe=False)
        self._waiting.clear()
        self.blocks.drop_open()

    def close(self, *, is_alone: bool) -> None:
        """End its threads. Where there are others, what still waits is not sent, and nobody waits for what hangs."""
        self._may_be_read = not is_alone and not self.is_idle
        if self._may_be_read:
            self._uploader.end(StoppedError("the run has ended"))
        self._uploader.close(0.0 if self._may_be_read else None)

    def release(self) -> None:
        """Let go of the ring's memory, unless a thread may still read there."""
        if not self._may_be_read:
            self.blocks.release()

    def _announce(self, block: FinishedBlock) -> None:
        """On a thread of the uploader, before a block is sent."""
        if self._spool is not None:
            self._spool.check(block)
        self.target.announce(block)

    def _send(self, block: FinishedBlock) -> None:
        self._waiting.append(block)
        self._pass_on()

    def _pass_on(self) -> None:
        """Hand over what waits, as far as ring and spool allow."""
        while self._waiting and self.error is None:
            block = self._waiting[0]
            if self._spool is not None and self._uploader.under_way >= _FROM_RING_MOST:
                if not self._spool.keep(block):
                    return
                self.blocks.leave_ring(block)
            self._waiting.popleft()
            self._uploader.send(block)


class Lanes:
    """All destinations of a run. One that fails ends alone; the last one takes the run along."""

    def __init__(
        self,
        targets: Sequence[LaneTarget],
        memory: mmap.mmap,
        wake: socket.socket,
        free_ring: FreeRing,
        clock: Clock,
    ) -> None:
        if len(targets) > CONCURRENT[-1]:
            raise UsageError(f"{len(targets)} destinations at once", hint=f"{CONCURRENT[-1]} at most")
        self._free_ring, self._clock = free_ring, clock
        self._patience_seconds = _PATIENCE_SECONDS
        self._is_hurrying = False
        self._left: list[Lane] = []
        """Waited for in vain while the run stops."""
        self._held: dict[tuple[int, int], int] = {}
        self.all = [
            Lane(1 << number, target, memory, wake, self._leave_ring) for number, target in enumerate(targets)
        ]
        self.healthy = list(self.all)

    def lacking(self, ids: bytes) -> bytearray:
        """For each chunk (32 bytes an id) the bits of the destinations that lack it."""
        masks = self.healthy[0].lacking(ids)
        for lane in self.healthy[1:]:
            both = int.from_bytes(masks) | int.from_bytes(lane.lacking(ids))
            masks = bytearray(both.to_bytes(len(masks)))
        return masks

    def add(self, ring_part: int, sealed: Sealed, content: int) -> None:
        """Place a segment that lies in the ring into a block of each destination that lacks it."""
        lanes = [lane for lane in self.healthy if lane.bit & sealed.mask]
        if not lanes:
            self._free_ring(ring_part, sealed.ring_offset)
            return
        self._held[ring_part, sealed.ring_offset] = len(lanes)
        for lane in lanes:
            lane.blocks.add(ring_part, sealed, content)

    def collect(self) -> None:
        """Take in what was sent. Raises what is no destination's own, and the last one's error."""
        for lane in self.all:
            try:
                lane.collect()
            except OF_A_LANE as error:
                self.end(lane, error)
        self._end_slow()

    def end(self, lane: Lane, error: BackupError) -> None:
        """A destination failed: the others go on. Raises the error where there is no other."""
        if lane.error is None:
            lane.end(error)
            self.healthy.remove(lane)
        if not self.healthy:
            raise error

    def close_open(self, ring_part: int | None = None) -> None:
        """Send all open blocks, full or not; with ring_part those alone that something of it lies in."""
        for lane in self.healthy:
            lane.blocks.close_open(ring_part)

    def make_room(self, ring_part: int) -> None:
        """A worker's part of the ring is full: where all of it lies in open blocks, these are sent."""
        if not any(lane.blocks.is_under_way(ring_part) for lane in self.all):
            self.close_open(ring_part)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open or under way to any destination."""
        return all(lane.is_idle for lane in self.healthy)

    def wait_until_idle(self, wait: Callable[[], None]) -> None:
        """Call `wait` until all that was given is safe; of several, the slow ones are waited for a while only.

        While the run stops, once at all.
        """
        began = self._clock.monotonic()
        while awaited := [lane for lane in self.healthy if not lane.is_idle and lane not in self._left]:
            if len(self.healthy) > 1 and self._clock.monotonic() - began >= self._patience_seconds:
                if self._is_hurrying:
                    self._left += awaited
                return
            wait()

    def hurry(self) -> None:
        """The run stops, and has ten seconds for all that it leaves."""
        self._patience_seconds, self._is_hurrying = _LAST_PATIENCE_SECONDS, True

    @property
    def stored_bytes(self) -> int:
        """Of the destination that has got the most."""
        return max(lane.blocks.stored_bytes for lane in self.all)

    @property
    def safe_chunks(self) -> int:
        """Of the destination with the most that no index object names yet."""
        return max(lane.blocks.safe_chunks for lane in self.all)

    def uses(self, ring_part: int) -> bool:
        """Whether a block that is not yet safe lies in that part of the ring."""
        return any(part == ring_part for part, _ in self._held)

    def close(self) -> None:
        """End all threads."""
        for lane in self.all:
            lane.close(is_alone=len(self.all) == 1)

    def release(self) -> None:
        """Let go of the ring's memory."""
        for lane in self.all:
            lane.release()

    def _end_slow(self) -> None:
        """A destination whose spool has been full for long, while others could go on, ends."""
        now = self._clock.monotonic()
        stuck = [lane for lane in self.healthy if lane.is_stuck]
        # While all are, none holds up another.
        are_others_held_up = len(stuck) < len(self.healthy)
        for lane in self.healthy:
            lane.stuck_since = (lane.stuck_since or now) if are_others_held_up and lane in stuck else None
        for lane in stuck:
            if lane.stuck_since is not None and now - lane.stuck_since > _SLOW_SECONDS:
                place = lane.target.repository.place.shown
                message = f"{place} is so much slower than the others that its spool is full"
                hint = "it is filled from the others later; a larger spool, or a run of its own, gives it more time"
                self.end(lane, StoreSlowError(message, hint=hint))

    def _leave_ring(self, ring_part: int, offset: int) -> None:
        place = (ring_part, offset)
        self._held[place] -= 1
        if not self._held[place]:
            del self._held[place]
            self._free_ring(ring_part, offset)
