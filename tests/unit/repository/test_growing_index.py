"""Who reads for hours takes in what came to the index meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.chunk.identity import Identity
from backupd.repository.index_loading import load_index
from backupd.repository.opening import OpenRepository
from backupd.repository.ranged_index import RangedIndex
from backupd.repository.reader import ChunkPlaces
from tests.support.small_repository import Node, SmallRepository, directory

_Opener = Callable[[OpenRepository, Path], ChunkPlaces]


def _tables(repository: OpenRepository, above: Path) -> ChunkPlaces:
    return load_index(repository, str(above / "index"), is_reading=True).tables


def _ranged(repository: OpenRepository, above: Path) -> ChunkPlaces:
    sizes = {info.name.removeprefix("index/"): info.size_bytes for info in repository.place.list("index/")}
    return RangedIndex(repository, sizes)


@pytest.mark.parametrize("opened", [_tables, _ranged])
def test_what_came_to_the_index_is_found_after_a_second_look(tmp_path: Path, opened: _Opener) -> None:
    """Else what was written anew while a restore was under way is told as lost."""
    small = SmallRepository(tmp_path / "place")
    small.add(directory(one=Node(b"one" * 100)))
    places = opened(small.repository, tmp_path)
    assert not places.recheck()
    small.add(directory(two=Node(b"two" * 100)))
    two = Identity(small.repository.keyring.chunk_id_key).chunk_id(b"two" * 100)
    assert places.find_many(two) == [None]
    assert places.recheck()
    assert places.find_many(two)[0] is not None
    assert not places.recheck()
    places.close()


def test_a_writer_takes_in_nothing_unasked(tmp_path: Path) -> None:
    """Else it relies on blocks that a list which it has not read yet says are deleted."""
    small = SmallRepository(tmp_path / "place")
    small.add(directory(one=Node(b"one" * 100)))
    tables = load_index(small.repository, str(tmp_path / "index")).tables
    small.add(directory(two=Node(b"two" * 100)))
    two = Identity(small.repository.keyring.chunk_id_key).chunk_id(b"two" * 100)
    assert not tables.recheck()
    assert tables.find(two) is None
    tables.close()
