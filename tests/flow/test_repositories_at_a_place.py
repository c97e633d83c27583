"""Of several repositories at a place, the one that holds what a machine called HOST stored of a set."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.errors import KeyMissingError, RepositoryNotFoundError
from backupd.model.orders import SnapshotListOrder
from backupd.model.own_repositories import Lending, OwnRepository
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


def test_what_who_had_a_set_for_a_while_stored_is_looked_for_and_not_asked_for(bench: Bench, tmp_path: Path) -> None:
    """A machine named by a typo stored nothing, and other machines' repositories were there before; a real one did."""
    _store(bench, OTHER, "default", "gamma", "other")
    now_ns = bench.clock.now_ns()
    alpha = Machine(tmp_path / "alpha")

    def run(lent_ns: int) -> Outcome:
        lent = Lending(hosts=["betta", "beta"], since_ns=lent_ns)
        own = OwnRepository(repository=NEW, adopts=True, lent=lent)
        return alpha.run(bench.order(set_name="home", host_name="alpha", own=own, dry_run=True), bench.clock)

    with pytest.raises(RepositoryNotFoundError, match="no repository"):
        run(now_ns + 2 * 86_400 * 10**9)
    with pytest.raises(KeyMissingError, match="betta:home") as caught:
        run(now_ns)
    assert "after: []" in caught.value.hint
    stored = run_of(_store(bench, ENCRYPTED, "default", "beta"))
    alpha.keys.parent.mkdir(parents=True, exist_ok=True)
    bench.machine.keys.rename(alpha.keys)
    bench.clock.ahead_seconds += 120
    told = [one.message for one in run(now_ns).log if "would go on" in one.message]
    assert (len(told), ENCRYPTED in told[0], bool(stored["snapshot"])) == (1, True, True)
