"""Objects go while their deleter does something else: none is forgotten, and none goes that was not to be begun."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from backupd.destination.local import LocalDestination
from backupd.errors import DestinationError, StoppedError
from backupd.repository.deleting import Deleted, Deletions

_NAMES = [f"blocks/{number:02}" for number in range(40)]


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> LocalDestination:
    place = LocalDestination(str(tmp_path / "place"), "tag", create=True)
    for name in _NAMES:
        place.put(name, [b"1"])
    return place


def _left(place: LocalDestination) -> set[str]:
    return {info.name for info in place.list("blocks/")}


def test_they_go_while_nobody_waits(place: LocalDestination) -> None:
    deletions = Deletions(place, _NAMES[:30], lambda: None)
    assert list(deletions.ends()) == [(name, None) for name in _NAMES[:30]]
    assert _left(place) == set(_NAMES[30:])


def test_what_was_not_begun_is_left_when_it_is_stopped(place: LocalDestination) -> None:
    """A freeing that failed must not go on deleting behind the back of whoever told that."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def wait() -> None:
        begun.release()
        go_on.wait()

    deletions = Deletions(place, _NAMES, wait)
    begun.acquire()
    told: list[Deleted] = []
    stopping = threading.Thread(target=lambda: told.extend(deletions.stop()))
    stopping.start()
    # Eight at a time: those wait in the check and go, the others were never begun.
    stopping.join(0.5)
    assert stopping.is_alive()
    go_on.set()
    stopping.join()
    left = _left(place)
    assert len(left) >= len(_NAMES) - 8
    assert _left(place) == left
    assert {name for name, _ in told} == set(_NAMES) - left, "what went is told of"
    assert deletions.is_over


def test_what_ended_is_told_of_once_while_others_are_under_way(place: LocalDestination) -> None:
    go_on = threading.Event()

    class Slow(LocalDestination):
        def delete(self, name: str) -> None:
            if name not in _NAMES[:4]:
                go_on.wait()
            super().delete(name)

    deletions = Deletions(Slow(place.shown, "other"), _NAMES, lambda: None)
    told: list[Deleted] = []
    while len(told) < 4:
        told += deletions.ended_by_now()
    assert deletions.ended_by_now() == []
    assert not deletions.is_over
    go_on.set()
    told += deletions.ends()
    assert told == [(name, None) for name in _NAMES]
    assert deletions.is_over


def test_a_stop_ends_it(place: LocalDestination) -> None:
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise StoppedError("stopped")

    first = Deletions(place, _NAMES[:10], check)
    assert len(list(first.ends())) == 10
    stopped.set()
    with pytest.raises(StoppedError):
        list(Deletions(place, _NAMES[10:], check).ends())
    assert _left(place) == set(_NAMES[10:])


def test_what_the_store_says_is_raised(place: LocalDestination, tmp_path: Path) -> None:
    """A block that can't be deleted must not be counted as freed."""
    os.unlink(tmp_path / "place" / _NAMES[3])
    (tmp_path / "place" / _NAMES[3]).mkdir()
    ended: list[str] = []
    with pytest.raises(DestinationError):
        ended.extend(name for name, _ in Deletions(place, _NAMES, lambda: None).ends())
    assert ended[:3] == _NAMES[:3]
    assert set(ended) == set(_NAMES) - _left(place) - {_NAMES[3]}, "others that went meanwhile are told of all the same"
