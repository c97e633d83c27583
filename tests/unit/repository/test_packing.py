"""If these fail, a bit that turned over in memory is stored as good, or the run waits for ever after one."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from backupd.block.segment import ZERO_SALT
from backupd.chunk.identity import Identity
from backupd.errors import CheckFailedError
from backupd.repository.packing import SegmentPacker
from backupd.repository.reader import worker_setup
from backupd.repository.ring import RingAllocator
from backupd.sizes import MIB
from tests.support.small_repository import SmallRepository


class _FaultyMemory(mmap.mmap):
    """Turns a bit over in each of the next writes."""

    faults = 0

    def __setitem__(self, where: slice, data: bytes) -> None:  # type: ignore[override]
        if self.faults:
            self.faults -= 1
            data = data[:100] + bytes([data[100] ^ 1]) + data[101:]
        super().__setitem__(where, data)


def _seal(tmp_path: Path, rounds: int, faults: int) -> int:
    small = SmallRepository(tmp_path / "place")
    setup = worker_setup(small.repository, str(small.place))
    memory, ring = _FaultyMemory(-1, 4 * MIB), RingAllocator(0, 4 * MIB)
    salts: set[tuple[bytes, int]] = set()

    def allocate(length: int) -> int:
        offset = ring.allocate(length)
        assert offset is not None, "the ring is full for ever"
        return offset

    packer = SegmentPacker(setup, "fast", True, memory, allocate, ring.free)
    for _ in range(rounds):
        memory.faults = faults
        data = os.urandom(MIB)
        sealed = packer.add(data, Identity(setup.chunk_id_key).chunk_id(data), ZERO_SALT, True)
        assert sealed is not None
        assert (sealed.salt, sealed.counter) not in salts
        salts.add((sealed.salt, sealed.counter))
        ring.free(sealed.ring_offset)
    return len(salts)


def test_a_segment_that_fails_its_check_is_sealed_again_and_leaves_no_hole_in_the_ring(tmp_path: Path) -> None:
    assert _seal(tmp_path, 20, 2) == 20


def test_memory_that_fails_always_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError):
        _seal(tmp_path, 1, 3)
