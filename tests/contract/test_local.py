"""What the repository relies on at a local place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from backupd.destination.local import LocalDestination
from backupd.errors import DestinationError, ObjectExistsError, ObjectMissingError


@pytest.fixture
def place(tmp_path: Path) -> LocalDestination:
    """An empty place."""
    return LocalDestination(str(tmp_path / "place"), "t", create=True)


def test_what_was_put_comes_back_whole_and_by_ranges(place: LocalDestination) -> None:
    """Else no backup comes back; large objects leave the kernel's cache and are read from the disk again."""
    data = os.urandom(5 << 20)
    place.put("r1/blocks/aa/x", [data[:100], memoryview(data)[100:]])
    assert place.get("r1/blocks/aa/x") == data
    assert place.get("r1/blocks/aa/x", 77, 1000) == data[77:1077]
    assert place.get("r1/blocks/aa/x", len(data) - 3, 100) == data[-3:]
    assert place.size("r1/blocks/aa/x") == len(data)


def test_of_sixteen_creators_of_one_name_one_succeeds(place: LocalDestination) -> None:
    """Else of two snapshots that were told to be committed one is gone."""
    won: list[int] = []
    gate = threading.Barrier(16)

    def create(number: int) -> None:
        gate.wait()
        try:
            place.put("r1/snapshots/s/n", [str(number).encode()])
        except ObjectExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [place.get("r1/snapshots/s/n")]
    assert [info.name for info in place.list("r1/snapshots/")] == ["r1/snapshots/s/n"]


def test_a_fifo_in_the_place_of_an_object_hangs_nobody(place: LocalDestination, tmp_path: Path) -> None:
    """Else one planted name stops every restore and check for ever."""
    place.put("r1/keys/k", [b"1"])
    os.unlink(tmp_path / "place/r1/keys/k")
    os.mkfifo(tmp_path / "place/r1/keys/k")
    with pytest.raises(DestinationError, match="no file"):
        place.get("r1/keys/k")


def test_an_object_that_is_not_there_is_told_as_missing(place: LocalDestination) -> None:
    """Reading tries elsewhere only for what is known to be gone."""
    with pytest.raises(ObjectMissingError):
        place.get("r1/blocks/aa/none")
    assert place.size("r1/blocks/aa/none") is None
