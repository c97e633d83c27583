"""What a store is asked for is counted: each call once, bytes that moved alone, by many threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backupd.destination.counting import Counting
from backupd.destination.local import LocalDestination
from backupd.destination.meter import Meter
from backupd.destination.stores import open_store
from backupd.errors import ObjectExistsError, ObjectMissingError
from backupd.model.places import pool_place
from backupd.model.traffic import Requests, Traffic
from tests.support.pools import POOL_ID, local_members, pool_access

Counted = tuple[Counting, Meter]


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    """A directory and its meter."""
    meter = Meter()
    return Counting(LocalDestination(str(tmp_path / "place"), "t", create=True), meter), meter


def test_each_kind_of_call_is_counted_as_what_it_is(counted: Counted) -> None:
    """Else the bill of a store that asks money for each request can't be foreseen from reports."""
    store, meter = counted
    store.put("r1/a", [b"12345", memoryview(b"678")])
    assert meter.take() == Traffic(requests=Requests(put=1), sent_bytes=8, stored_objects=1)
    assert store.get("r1/a") == b"12345678"
    assert meter.take() == Traffic(requests=Requests(get=1), received_bytes=8)
    assert store.size("r1/a") == 8
    assert [info.name for info in store.list("r1/")] == ["r1/a"]
    assert store.top_names() == ["r1"]
    store.delete("r1/a")
    assert meter.take() == Traffic(requests=Requests(size=1, list=2, delete=1))


def test_of_a_range_counts_what_came(counted: Counted) -> None:
    """A restore of one file must not look as if it had fetched whole blocks."""
    store, meter = counted
    store.put("r1/a", [b"12345678"])
    meter.take()
    store.get("r1/a", 2, 3)
    store.get("r1/a", 6, 100)
    store.get("r1/a", 100, 100)
    assert meter.take() == Traffic(requests=Requests(get=3), received_bytes=3 + 2)


def test_a_call_that_fails_is_a_request_and_moves_nothing(counted: Counted) -> None:
    """Else bytes that no store has look as stored."""
    store, meter = counted
    store.put("r1/a", [b"1"])
    meter.take()
    with pytest.raises(ObjectExistsError):
        store.put("r1/a", [b"22"])
    with pytest.raises(ObjectMissingError):
        store.get("r1/b")
    assert store.size("r1/b") is None
    assert meter.take() == Traffic(requests=Requests(put=1, get=1, size=1))


def test_upkeep_and_what_the_store_says_of_itself_go_through_uncounted(counted: Counted, tmp_path: Path) -> None:
    store, meter = counted
    store.put("r1/a", [b"1"])
    (tmp_path / "place/r1/tmp/dead-1").write_bytes(b"half")
    (tmp_path / "place/r1/sessions/empty").mkdir(parents=True)
    meter.take()
    assert store.remove_temporaries("r1", "dead") == 1
    store.remove_empty_folders("r1/sessions")
    assert not (tmp_path / "place/r1/sessions/empty").exists()
    assert (store.free_bytes() or 0) > 0
    assert store.shown == str(tmp_path / "place")
    assert store.traits.create_if_absent
    store.close()
    assert not store.may_leave_temporaries
    assert meter.read() == Traffic()


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_threads_lose_no_count() -> None:
    """Parts of a run count at once while a worker's answer takes what there is: a report that is short hides costs."""
    meter, taken, is_over = Meter(), Meter(), threading.Event()
    rounds, threads = 6000, 4

    def work() -> None:
        for _ in range(rounds):
            meter.count("put", 3, 0, 1)
            meter.repeat("destination.busy", 0.5)

    def take() -> None:
        while not is_over.is_set():
            taken.add(meter.take())

    taker = threading.Thread(target=take)
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for one in (taker, *workers):
        one.start()
    for one in workers:
        one.join()
    is_over.set()
    taker.join()
    taken.add(meter.take())
    total = rounds * threads
    assert taken.read() == Traffic(
        requests=Requests(put=total),
        sent_bytes=3 * total,
        stored_objects=total,
        repeated={"destination.busy": total},
        waited_seconds=total / 2,
    )


def test_two_of_a_kind_add_up() -> None:
    one = Traffic(requests=Requests(put=1, get=2), sent_bytes=5, repeated={"a": 1, "b": 2}, held_back_seconds=0.5)
    other = Traffic(requests=Requests(get=1, delete=4), received_bytes=7, repeated={"b": 1}, waited_seconds=2.0)
    assert one.plus(other) == Traffic(
        requests=Requests(put=1, get=3, delete=4),
        sent_bytes=5,
        received_bytes=7,
        repeated={"a": 1, "b": 3},
        waited_seconds=2.0,
        held_back_seconds=0.5,
    )


def test_a_pool_costs_what_its_members_cost(tmp_path: Path) -> None:
    """Two copies are two objects that are sent: a pool told as one call would halve what a line carries."""
    meter = Meter()
    access = pool_access("mirror", local_members(tmp_path, 2), copies=2)
    with closing(open_store(pool_place(POOL_ID), "t", access, create=True, meter=meter)) as pool:
        meter.take()
        pool.put("r1/blocks/aa/x", [b"x" * 1000])
        cost = meter.take()
        assert (cost.requests.put, cost.sent_bytes, cost.stored_objects) == (2, 2000, 2)
        pool.get("r1/blocks/aa/x")
        assert meter.take().received_bytes == 1000
