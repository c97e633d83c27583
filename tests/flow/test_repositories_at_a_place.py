"""Of several repositories at a place, the one that holds what a machine called HOST stored of a set."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.errors import KeyMissingError
from backupd.model.orders import OwnRepository, SnapshotListOrder
from tests.support.backing_up import Bench, run_of
from tests.support.machine import Machine, Outcome

ENCRYPTED, CLEAR, OTHER, NEW = ("r" + digit * 32 for digit in "1234")


def _store(bench: Bench, repository: str, encryption: str, host: str = "alpha", name: str = "home") -> Outcome:
    own = OwnRepository(repository=repository)
    return bench.back_up(set_name=name, host_name=host, own=own, encryption=encryption)


def _taken_over(bench: Bench, machine: Machine, encryption: str) -> str:
    """What a first run of alpha's set on another machine went on with."""
    own = OwnRepository(repository=NEW, adopts=True, after=["alpha"])
    bench.clock.ahead_seconds += 120
    order = bench.order(set_name="home", host_name="beta", own=own, encryption=encryption)
    (told,) = [one.message for one in machine.run(order, bench.clock).log if "taken over" in one.message]
    return told


def _listed(machine: Machine, bench: Bench, word: str) -> Outcome:
    return machine.run(SnapshotListOrder(place=str(bench.place), set_name=word), bench.clock)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.write("letter")
    return bench


def test_what_is_not_encrypted_needs_no_key(bench: Bench, tmp_path: Path) -> None:
    """Of the repositories beside it none is told of: the place is that of many machines."""
    stored = run_of(_store(bench, CLEAR, "none"))
    _store(bench, OTHER, "default", "gamma", "other")
    beta = Machine(tmp_path / "beta")
    listed = _listed(beta, bench, "alpha:home")
    assert [one["id"] for one in listed.result["snapshots"]] == [stored["snapshot"]]
    assert listed.log == []
    assert CLEAR in _taken_over(bench, beta, "none")


def test_what_is_not_encrypted_stands_not_in_for_what_is(bench: Bench, tmp_path: Path) -> None:
    """Who can write to the place could have laid it there, newer than all: to read what is stored next, or restored."""
    stored = run_of(_store(bench, ENCRYPTED, "default"))
    _store(bench, CLEAR, "none")
    beta = Machine(tmp_path / "beta")
    with pytest.raises(KeyMissingError):
        _taken_over(bench, beta, "default")
    own = OwnRepository(repository=NEW, adopts=True, after=["alpha"])
    estimated = bench.order(set_name="home", host_name="beta", own=own, dry_run=True, estimate=True)
    assert beta.run(estimated, bench.clock).done.exit_code == 0, "what it would take needs no key"
    beta.keys.parent.mkdir(parents=True)
    bench.machine.keys.rename(beta.keys)
    assert [one["id"] for one in _listed(beta, bench, "alpha:home").result["snapshots"]] == [stored["snapshot"]]
    assert ENCRYPTED in _taken_over(bench, beta, "default")
