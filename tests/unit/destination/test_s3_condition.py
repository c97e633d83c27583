"""Stores that no server of the tests is: good ones, and those that are weak under a race alone."""

from __future__ import annotations

import threading

import pytest

from backupd.destination.contract import Buffers
from backupd.destination.s3.condition import Condition, proof_name
from backupd.errors import DestinationError, DestinationRefusedError, DestinationUnreachableError, ObjectExistsError
from backupd.store_errors import StoreBusyError

PROOF = proof_name("https://h:8333", "backups")


class Names:
    """A store in memory."""

    def __init__(self, weakness: str = "") -> None:
        self.names: set[str] = set()
        self._weakness = weakness
        self._lock, self._gate = threading.Lock(), threading.Barrier(16)

    def create(self, name: str, _buffers: Buffers) -> None:
        """Create it, as well as this store can."""
        if self._weakness == "gone":
            raise DestinationUnreachableError("gone")
        if self._weakness == "unknown":
            raise DestinationRefusedError("what?", context={"store_code": "NotImplemented"})
        if "race" in name and self._weakness:
            self._gate.wait(10)
            if self._weakness == "stumbles":
                raise DestinationError("oh", context={"store_code": "InternalError"})
            self.names.add(name)
            return
        with self._lock:
            if name in self.names:
                raise ObjectExistsError("there")
            self.names.add(name)

    def remove(self, name: str) -> None:
        """Remove it."""
        if self._weakness == "gone":
            raise DestinationUnreachableError("gone")
        self.names.discard(name)


def test_a_good_store_keeps_the_proof_alone() -> None:
    store = Names()
    condition = Condition(store.create, store.remove, PROOF, is_proved=False)
    assert (condition.is_honoured, condition.find_out(), condition.is_honoured) == (False, True, True)
    assert store.names == {PROOF}
    assert Condition(store.create, store.remove, PROOF, is_proved=True).find_out()


@pytest.mark.parametrize("weakness", ["all win", "stumbles", "unknown"])
def test_a_weak_store_is_told_apart_and_leaves_no_proof(weakness: str) -> None:
    """Else two hosts commit one snapshot, or no backup to a store that stumbles ever ends."""
    store = Names(weakness)
    assert not Condition(store.create, store.remove, PROOF, is_proved=False).find_out()
    assert store.names == set()


def test_a_store_that_is_gone_is_asked_again() -> None:
    """Else a moment without a network makes a good store a weak one for the whole run."""
    gone, good = Names("gone"), Names()
    reached = [gone]

    def create(name: str, buffers: Buffers) -> None:
        reached[0].create(name, buffers)

    def remove(name: str) -> None:
        reached[0].remove(name)

    condition = Condition(create, remove, PROOF, is_proved=False)
    with pytest.raises(DestinationUnreachableError):
        condition.find_out()
    reached[0] = good
    assert condition.find_out()


def test_a_line_that_goes_on_failing_proves_nothing_and_ends_no_run() -> None:
    """Twenty requests in a row never go through such a line; without the proof each object is looked for first."""
    store = Names("stumbles on all")

    def create(name: str, buffers: Buffers) -> None:
        raise DestinationError("oh", context={"store_code": "InternalError"})

    condition = Condition(create, store.remove, PROOF, is_proved=False)
    assert (condition.find_out(), condition.is_honoured) == (False, False)


@pytest.mark.parametrize("every", [3, 1])
def test_a_store_that_puts_off_some_requests_is_tried_all_the_same(every: int) -> None:
    """Some twenty in a row never go through there, and its first backup never begins; one that puts all off is told."""
    store, lock = Names(), threading.Lock()
    count = 0

    def create(name: str, buffers: Buffers) -> None:
        nonlocal count
        with lock:
            count += 1
            is_put_off = count % every == 0
        if is_put_off:
            raise StoreBusyError("later", context={"store_code": "SlowDown", "retry_after_seconds": 0.01})
        store.create(name, buffers)

    condition = Condition(create, store.remove, PROOF, is_proved=False)
    if every == 1:
        with pytest.raises(StoreBusyError):
            condition.find_out()
        assert count < 20
    else:
        assert condition.find_out()
        assert store.names == {PROOF}


def test_each_place_has_a_proof_of_its_own() -> None:
    """Else it travels with a bucket that is copied to another store."""
    assert proof_name("https://H:8333/", "backups") == PROOF
    assert len({PROOF, proof_name("https://h:8334", "backups"), proof_name("https://h:8333", "copies")}) == 3
