"""If these fail, one destination of a set takes another one's backup along, or gets other bytes than were sealed."""

from __future__ import annotations

import mmap
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import pytest

from backupd.block.assembler import FinishedBlock
from backupd.block.layout import DATA, block_name
from backupd.block.segment import ZERO_SALT
from backupd.cache.index_tables import IndexTables
from backupd.cancel import Cancel
from backupd.chunk.identity import Identity
from backupd.destination.contract import Below, Buffers
from backupd.destination.local import LocalDestination
from backupd.errors import DamageError, DestinationError, DestinationUnreachableError
from backupd.model.work import RepositorySetup, Sealed
from backupd.repository.index_loading import publish, to_contents
from backupd.repository.lanes import Lanes, LaneTarget
from backupd.repository.packing import OpenSegments, SegmentPacker
from backupd.repository.reader import worker_setup
from backupd.repository.ring import RingAllocator
from backupd.repository.spool import Spool
from backupd.repository.verifying import BlockVerifier
from backupd.sizes import MIB
from tests.support.small_repository import SmallRepository

RING_BYTES = 400 * MIB
PART = 0


class Gated(LocalDestination):
    """A directory that takes nothing before its gate is opened; then it may have died."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "tag", create=True)
        self.gate = threading.Event()
        self.error: DestinationError | None = None

    def put(self, name: str, buffers: Buffers) -> None:
        self.gate.wait(60)
        if self.error is not None:
            raise self.error
        super().put(name, buffers)


class FakeClock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Scene:
    """Lanes to gated directories, and a worker's open segments."""

    def __init__(self, folder: Path, spools: list[Spool | None]) -> None:
        self.small = SmallRepository(folder / "first")
        self.setup: RepositorySetup = worker_setup(self.small.repository, str(self.small.place))
        self.memory = mmap.mmap(-1, RING_BYTES)
        self.ring = RingAllocator(0, RING_BYTES)
        self.clock, self.wake = FakeClock(), socket.socketpair()
        self.stores = [Gated(str(folder / f"place{number}")) for number in range(len(spools))]
        self.tables = [IndexTables(str(folder / f"tables{number}")) for number in range(len(spools))]
        self.repositories = [
            msgspec.structs.replace(self.small.repository, place=Below(store, self.small.repository.text_id))
            for store in self.stores
        ]
        targets = [
            LaneTarget(repository, tables, lambda _: None, Cancel(), spool)
            for repository, tables, spool in zip(self.repositories, self.tables, spools, strict=True)
        ]
        self.lanes = Lanes(targets, self.memory, self.wake[1], self._free, self.clock)
        self.segments = OpenSegments(
            lambda mask: SegmentPacker(self.setup, "none", True, self.memory, self._allocate, self.ring.free, mask)
        )
        self.identity = Identity(self.setup.chunk_id_key)

    def _free(self, part: int, offset: int) -> None:
        assert part == PART
        self.ring.free(offset)

    def _allocate(self, length: int) -> int:
        offset = self.ring.allocate(length)
        assert offset is not None
        return offset

    def store(self, mask: int, size: int = MIB) -> bytes:
        """Pack a chunk that the lanes of a mask lack; gives its id."""
        data = os.urandom(size)
        chunk_id = self.identity.chunk_id(data)
        self._place(self.segments.add(mask, data, chunk_id, ZERO_SALT, False))
        return chunk_id

    def _place(self, sealed: object) -> None:
        for segment in sealed:  # type: ignore[attr-defined]
            assert isinstance(segment, Sealed)
            self.lanes.add(PART, segment, DATA)

    def send_all(self) -> None:
        """Seal and send what is open."""
        self._place(self.segments.flush())
        self.lanes.close_open()

    def until(self, condition: Callable[[], bool]) -> None:
        """Take in what is sent until something is so."""
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            self.lanes.collect()
            time.sleep(0.005)

    def ids_at(self, number: int) -> set[bytes]:
        """Ids of all chunks that lie whole at a place."""
        place = self.repositories[number].place
        verifier = BlockVerifier(place, self.setup)
        found: set[bytes] = set()
        for block in self.lanes.all[number].blocks.safe:
            verdict = verifier.verify(block.block_id)
            assert not verdict.problems, block_name(block.block_id)
            for _, _, _, ids in verdict.segments:
                found |= {ids[at : at + 32] for at in range(0, len(ids), 32)}
        return found

    def close(self) -> None:
        """End all threads."""
        for store in self.stores:
            store.gate.set()
        self.lanes.close()
        self.lanes.release()


@pytest.fixture
def make(tmp_path: Path) -> Generator[Callable[[list[Spool | None]], Scene], None, None]:
    made: list[Scene] = []

    def begin(spools: list[Spool | None]) -> Scene:
        made.append(Scene(tmp_path, spools))
        return made[-1]

    yield begin
    for scene in made:
        scene.close()


Make = Callable[[list[Spool | None]], Scene]


def test_each_gets_what_it_lacks_and_nothing_else(make: Make) -> None:
    """Else the other copy of a backup has holes, or a second one costs twice the space."""
    scene = make([None, None])
    for store in scene.stores:
        store.gate.set()
    both = {scene.store(3) for _ in range(3)}
    second = {scene.store(2) for _ in range(3)}
    scene.send_all()
    scene.until(lambda: scene.lanes.is_idle)
    assert scene.ids_at(0) == both
    assert scene.ids_at(1) == both | second
    assert not scene.lanes.uses(PART)
    publish(scene.repositories[0], scene.tables[0], [to_contents(b) for b in scene.lanes.all[0].blocks.take_safe()], 0)
    known, new = next(iter(both)), os.urandom(32)
    assert scene.lanes.lacking(known + new) == bytes([2, 3])


def test_one_that_fails_ends_alone(make: Make) -> None:
    """Else a dead server costs the backup on the disk beside it."""
    scene = make([None, None])
    ids = {scene.store(3) for _ in range(3)}
    scene.send_all()
    scene.stores[1].error = DestinationUnreachableError("gone")
    for store in scene.stores:
        store.gate.set()
    scene.until(lambda: scene.lanes.all[0].is_idle and scene.lanes.all[1].error is not None)
    assert scene.lanes.healthy == [scene.lanes.all[0]]
    assert scene.ids_at(0) == ids
    assert scene.lanes.all[1].blocks.safe == []
    scene.until(lambda: not scene.lanes.uses(PART))
    assert scene.lanes.lacking(os.urandom(32)) == bytes([1])
    more = scene.store(3)
    scene.send_all()
    scene.until(lambda: scene.lanes.is_idle)
    assert more in scene.ids_at(0)
    with pytest.raises(DestinationUnreachableError):
        scene.lanes.end(scene.lanes.all[0], DestinationUnreachableError("gone, too"))


def test_who_falls_behind_gets_the_same_bytes_out_of_the_spool(make: Make, tmp_path: Path) -> None:
    """Its blocks leave the memory that the others need, and must be no others when they come from the disk."""
    spool = Spool(str(tmp_path), 400 * MIB)
    scene = make([None, spool])
    scene.stores[0].gate.set()
    ids: set[bytes] = set()
    for _ in range(6):
        ids |= {scene.store(3) for _ in range(4)}
        scene.send_all()
    scene.until(lambda: scene.lanes.all[0].is_idle)
    assert spool.kept_bytes > 4 * 4 * MIB, "all but the two that are under way"
    held = RING_BYTES - 12 * MIB
    # What lies in the ring is overwritten now by what comes next.
    more = {scene.store(1) for _ in range(held // MIB - 20)}
    scene.send_all()
    scene.until(lambda: scene.lanes.all[0].is_idle)
    scene.stores[1].gate.set()
    scene.until(lambda: scene.lanes.is_idle)
    assert scene.ids_at(1) == ids
    assert scene.ids_at(0) == ids | more
    assert spool.kept_bytes == 0
    assert not list(tmp_path.glob("backupd-spool-*")), "the files have no names"


def test_who_is_too_slow_ends_when_others_could_go_on(make: Make, tmp_path: Path) -> None:
    """Else a trickling line holds up all, or fills this machine's disk."""
    scene = make([None, Spool(str(tmp_path), 5 * MIB)])
    scene.stores[0].gate.set()
    for _ in range(5):
        scene.store(3)
        scene.send_all()
        scene.store(3, 3 * MIB)
        scene.send_all()
    scene.until(lambda: scene.lanes.all[0].is_idle)
    slow = scene.lanes.all[1]
    assert slow.is_stuck
    assert scene.lanes.uses(PART)
    scene.clock.seconds += 29
    scene.lanes.collect()
    assert slow.error is None
    scene.clock.seconds += 2
    scene.lanes.collect()
    assert slow.error is not None
    assert slow.error.code == "destination.slow"
    scene.stores[1].gate.set()
    scene.until(lambda: not scene.lanes.uses(PART))
    assert scene.lanes.healthy == [scene.lanes.all[0]]


def test_when_all_are_slow_nobody_ends(make: Make, tmp_path: Path) -> None:
    """A slow night is no failure."""
    scene = make([Spool(str(tmp_path), 0), Spool(str(tmp_path), 0)])
    for _ in range(4):
        scene.store(3)
        scene.send_all()
    for _ in range(3):
        scene.clock.seconds += 100
        scene.lanes.collect()
    assert [lane.error for lane in scene.lanes.all] == [None, None]
    # One gets on again before the other: its time begins to count now.
    scene.stores[1].gate.set()
    scene.until(lambda: scene.lanes.all[1].is_idle)
    scene.clock.seconds += 29
    scene.lanes.collect()
    assert scene.lanes.all[0].error is None
    scene.stores[0].gate.set()
    scene.until(lambda: scene.lanes.is_idle)
    assert scene.ids_at(0) == scene.ids_at(1)


def test_open_segments_of_many_groups_are_sealed_one_by_one(make: Make) -> None:
    """Each group of destinations has a segment of its own; nothing is lost when there are more groups than places."""
    scene = make([None, None, None, None])
    for store in scene.stores:
        store.gate.set()
    ids = {mask: scene.store(mask, 1000) for mask in range(1, 16)}
    scene.send_all()
    scene.until(lambda: scene.lanes.is_idle)
    for number in range(4):
        assert scene.ids_at(number) == {chunk_id for mask, chunk_id in ids.items() if mask & 1 << number}


def test_a_disk_that_lies_ends_the_one_that_waits_there(make: Make, tmp_path: Path) -> None:
    """Else a block is stored that nobody can ever open, and everything in it counts as safe."""

    class Lying(Spool):
        def keep(self, block: FinishedBlock) -> bool:
            is_kept = super().keep(block)
            if is_kept:
                data = bytearray(block.buffers[0])
                data[1000] ^= 1
                block.buffers[:] = [bytes(data)]
            return is_kept

    scene = make([None, Lying(str(tmp_path), 400 * MIB)])
    scene.stores[0].gate.set()
    for _ in range(4):
        scene.store(3)
        scene.send_all()
    scene.stores[1].gate.set()
    slow = scene.lanes.all[1]
    scene.until(lambda: slow.error is not None and scene.lanes.all[0].is_idle)
    assert isinstance(slow.error, DamageError)
    assert len(slow.blocks.safe) <= 2, "those that went by the ring"
