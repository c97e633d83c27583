"""Blocks that are healed while they are read, at places that fail, refuse or lie."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pytest

from backupd.block.layout import block_name
from backupd.cache.index_table import Place
from backupd.destination.contract import Destination, Forwarding
from backupd.errors import DamageError, DestinationError, DestinationUnreachableError
from backupd.repository.index_loading import load_index
from backupd.repository.reader import SegmentReader, worker_setup
from backupd.sizes import MOST_PARITY
from tests.support.small_repository import Node, SmallRepository, directory

_SECTOR = 4096
_FILES = {f"f{number}": Random(number).randbytes(30_000) for number in range(40)}


class _BadSectors(Forwarding):
    """A disk that gives an error for some sectors of each block, as worn ones do; it counts what it is asked."""

    def __init__(self, inner: Destination) -> None:
        super().__init__(inner)
        self.bad: set[int] = set()
        self.error: DestinationError = DestinationError("Input/output error")
        self.gets = self.given_bytes = 0

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self.gets += 1
        end = offset + length if length is not None else 1 << 40
        if any(offset < (sector + 1) * _SECTOR and sector * _SECTOR < end for sector in self.bad):
            raise self.error
        data = self._inner.get(name, offset, length)
        self.given_bytes += len(data)
        return data

    def size(self, name: str) -> int | None:
        return self._inner.size(name)


class _Stored:
    """A repository of one block of data with a segment a file, and a reader of it."""

    def __init__(self, above: Path, parity: int = 5) -> None:
        self.small = SmallRepository(above / "place", parity=parity)
        self.small.add(directory(**{name: Node(data) for name, data in _FILES.items()}))
        tables = load_index(self.small.repository, str(above / "index")).tables
        [row] = [row for row in tables.blocks() if row.content == 1]
        self.size_bytes, self.block_id = row.size_bytes, row.block_id
        self.path = self.small.place / self.small.repository.text_id / block_name(row.block_id)
        ids = [frame.ids for frame in tables.frames_of(row.block_id)]
        self.places: list[tuple[bytes, Place]] = [(one, place) for one in ids for place in tables.places(one)]
        tables.close()
        self.place = _BadSectors(self.small.repository.place)
        self.healed: list[bytes] = []
        setup = worker_setup(self.small.repository, str(self.small.place))
        whole: Destination = self.place  # type: ignore[assignment]
        self.reader = SegmentReader(whole, setup, self.healed.append)

    def read(self, reader: SegmentReader | None = None) -> None:
        """All chunks, each in a segment of its own, hashed. Raises DamageError, DestinationError."""
        reader = reader or self.reader
        for chunk_id, place in self.places:
            segment = reader.fetch(self.block_id, place.offset, place.stored_bytes)
            reader.chunk(segment, place.position, chunk_id)

    def flip(self) -> Place:
        """Turn a bit of one segment over; gives its place."""
        _, place = self.places[3]
        data = bytearray(self.path.read_bytes())
        data[place.offset + 200] ^= 1
        self.path.write_bytes(data)
        return place


@pytest.fixture
def stored(tmp_path: Path) -> _Stored:
    return _Stored(tmp_path)


def test_sectors_that_cannot_be_read_are_healed(stored: _Stored) -> None:
    """A worn disk gives an error and no zeros: else the block is lost for a sector of it, and each file in it."""
    stored.place.bad = {0, 1, 2, 100, 200}
    stored.read()
    assert set(stored.healed) == {stored.block_id}
    before = stored.place.given_bytes
    stored.read()
    assert stored.place.given_bytes - before < 1.1 * stored.size_bytes, "the healed block is kept, not made once more"


def test_a_block_of_which_little_can_be_read_is_given_up_soon(stored: _Stored) -> None:
    """Each try of a dying disk takes it seconds."""
    stored.place.bad = set(range(10_000))
    with pytest.raises(DestinationError, match="Input/output"):
        stored.read()
    most = stored.size_bytes * MOST_PARITY // 100 // _SECTOR
    assert stored.place.gets <= most + 12
    asked = stored.place.gets
    with pytest.raises(DestinationError):
        stored.read()
    assert stored.place.gets - asked <= 3, "what can't be healed is not tried again for each segment"


def test_a_store_that_is_gone_is_not_taken_for_damage(stored: _Stored) -> None:
    """Else a line that is cut makes every file of a restore a lost one."""
    stored.place.bad, stored.place.error = set(range(10_000)), DestinationUnreachableError("gone")
    with pytest.raises(DestinationUnreachableError):
        stored.read()
    assert stored.place.gets == 1, "what can't be reached is not asked for the whole block, which takes its time again"
    assert not stored.healed


def test_another_whole_block_under_the_name_is_refused(stored: _Stored, tmp_path: Path) -> None:
    """A store that swaps blocks: what its parity heals is whole, and not what was stored."""
    (tmp_path / "other").mkdir()
    other = _Stored(tmp_path / "other")
    stored.path.write_bytes(other.path.read_bytes())
    with pytest.raises(DamageError):
        stored.read()
    assert not stored.healed


def test_without_parity_nothing_is_fetched_whole(tmp_path: Path) -> None:
    """Who has no parity does not pay for it: a damaged segment costs one look, not its whole block."""
    stored = _Stored(tmp_path, parity=0)
    place = stored.flip()
    with pytest.raises(DamageError):
        stored.reader.fetch(stored.block_id, place.offset, place.stored_bytes)
    assert stored.place.given_bytes < 100_000


def test_a_keyring_of_another_percentage_heals_all_the_same(stored: _Stored) -> None:
    """What a block is healed by stands in the block: one that was stored at another strength is no worse for it."""
    stored.flip()
    setup = msgspec.structs.replace(worker_setup(stored.small.repository, str(stored.small.place)), parity=17)
    stored.read(SegmentReader(stored.small.repository.place, setup, stored.healed.append))
    assert stored.healed == [stored.block_id]
