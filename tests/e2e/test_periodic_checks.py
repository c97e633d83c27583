"""Periodic checks by a real daemon, over weeks: made by a backup's job, healing within limits, asking beyond them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.block.layout import DATA
from bkctl.contract.checks import CheckDiscarded
from bkctl.contract.kept import Copy
from tests.support.daemon import Daemon
from tests.support.damaging import blocks_of
from tests.support.fake_clock import FakeClock, fake_clock

_WEEK = timedelta(days=8)
"""After so long a check is due with any job."""


class House:
    """A daemon with a set at two destinations, and its clock."""

    def __init__(self, above: Path, daemon: Daemon, clock: FakeClock) -> None:
        self.above, self.daemon, self.clock = above, daemon, clock
        self.source = above / "source"
        self.source.mkdir()
        for number in range(20):
            (self.source / f"f{number}").write_bytes(os.urandom(5_000))
        for name in ("one", "two"):
            daemon.good("destination", "add", name, above / name)
        daemon.good("set", "create", "docs", "--source", self.source, "--to", "one", "--to", "two", "--jobs", "1")
        daemon.good("backup", "docs")

    def checks(self) -> list[dict[str, Any]]:
        """All jobs that are checks, the newest first."""
        return [one for one in self.daemon.good("job", "list", "docs")["jobs"] if one["kind"] == "check"]

    def result(self, **wanted: object) -> dict[str, Any]:
        """Of the newest check's job in whose result these are something else."""
        for one in self.checks():
            result: dict[str, Any] = self.daemon.good("job", "show", one["id"])["job"]["result"]
            if all(result[name] != value for name, value in wanted.items()):
                return result
        raise AssertionError(f"no check of {wanted}")

    def copy(self, name: str) -> dict[str, Any]:
        """What `status` says of a destination."""
        (found,) = self.daemon.good("status")["sets"]
        return next(one for one in found["destinations"] if one["destination"] == name)

    def lose(self, *places: str) -> None:
        """All blocks of data of the first run."""
        for place in places:
            blocks_of(self.above / place, DATA)[0].unlink()

    def next_week(self) -> dict[str, Any]:
        """A backup a good week later; its document."""
        self.clock.pass_time(_WEEK)
        return self.daemon.json("backup", "docs")


@pytest.fixture(name="house")
def _house(tmp_path: Path) -> Generator[House, None, None]:
    daemon = Daemon(tmp_path / "home")
    with fake_clock(daemon) as clock:
        daemon.start()
        try:
            yield House(tmp_path, daemon, clock)
        finally:
            daemon.stop()


def test_a_week_later_it_is_checked_and_healed(house: House) -> None:
    """Else nobody looks, and the day the disk is needed is the day it is found damaged."""
    assert house.checks() == []
    assert house.next_week()["exit"] == 0
    checks = house.checks()
    assert [(one["kind"], one["exit"]) for one in checks] == [("check", 0)] * 2
    shown = house.daemon.good("job", "show", checks[0]["id"])["job"]
    assert (shown["result"]["trigger"], shown["result"]["problems"]) == ("periodic", [])
    assert house.copy("one")["verified"] is not None
    log = house.daemon.good("job", "log", "docs@latest")["lines"]
    assert any("periodic check of one" in line["message"] for line in log)
    house.daemon.good("backup", "docs")
    assert len(house.checks()) == 2, "twice on one day"

    house.lose("one")
    assert house.next_week()["exit"] == 0
    (source,) = house.result(healed=None)["healed"]["sources"]
    assert source["place"] == "two"
    shutil.rmtree(house.above / "two")
    house.daemon.good("restore", "docs", "--from", "one", "--to", house.above / "out")


def test_a_share_is_read_a_day(house: House) -> None:
    """Else rot is found by the restore; and `status` must not call a share a verified backup."""
    house.daemon.good("set", "edit", "docs", "--verify", "60%", "--remove-to", "two")
    assert house.copy("one")["coverage"] is None
    house.clock.pass_time(timedelta(days=1))
    assert [house.daemon.json("backup", "docs")["exit"] for _ in range(2)] == [0, 0]
    assert [one["exit"] for one in house.checks()] == [0], "not once a day"
    assert house.result(trigger="periodic")["trigger"] == "rolling"
    copy = house.copy("one")
    assert copy["coverage"]["verified_bytes"] > copy["coverage"]["total_bytes"] / 2
    assert (copy["verified"], copy["needs_decision"]) == (None, None)
    assert "verified in the last 30 days" in house.daemon.bkctl("status").stdout.decode()
    assert house.next_week()["exit"] == 0
    assert house.result(trigger="rolling")["trigger"] == "periodic"
    assert house.copy("one")["verified"] is not None, "shares that were read kept the periodic check away"
    assert house.daemon.json("check", "docs", "--share", "5%")["exit"] == 2
    by_hand = house.daemon.good("check", "docs", "--crc", "--share", "100%")["coverage"]
    assert (by_hand["never_bytes"], by_hand["verified_bytes"]) == (0, by_hand["total_bytes"])


def test_a_large_loss_waits_for_somebody(house: House) -> None:
    """Else a disk that is half mounted is given up by night; a small one would keep all the others waiting."""
    shutil.rmtree(house.source)
    house.source.mkdir()
    (house.source / "left").write_bytes(os.urandom(9_000))
    house.daemon.good("backup", "docs")
    house.lose("one", "two")
    document = house.next_week()
    assert (document["exit"], document["error"]["code"]) == (3, "check.periodic")
    waiting = {name: house.copy(name)["needs_decision"] for name in ("one", "two")}
    assert None not in waiting.values()
    (decision,) = house.daemon.good("job", "show", waiting["one"])["job"]["result"]["decisions"]
    assert (decision["state"], decision["files"]) == ("waits", 20)
    assert decision["command"] == f"bkctl check --apply {waiting['one'][:9]}"
    assert house.daemon.json("status", "--check")["exit"] == 20
    assert "bkctl check --apply" in house.daemon.bkctl("status").stdout.decode()

    assert house.daemon.json("check", "--apply", waiting["one"])["exit"] == 22
    applied = house.daemon.json("check", "--apply", waiting["one"], "--yes")
    assert (applied["exit"], applied["result"]["decisions"][0]["state"]) == (20, "given_up")
    lost = [one["lost"] for one in house.daemon.good("snapshot", "list", "docs", "--from", "one")["snapshots"]]
    assert lost == [{"files": 20, "bytes": 100_000}, None, None]
    assert house.copy("one")["needs_decision"] is None
    told = house.copy("one")["given_up"]
    assert (told["files"], told["bytes"], told["snapshots"], len(told["newest"])) == (20, 100_000, 1, 1)
    assert house.copy("two")["given_up"] is None
    assert "given up as lost: 20 files" in house.daemon.bkctl("status").stdout.decode()
    # Nobody is asked once more about what is settled.
    again = house.daemon.good("check", "--apply", waiting["one"])
    by = applied["result"]["job"]
    assert (again["changed"], again["decision"], again["by"], again["files"]) == (False, "applied", by, 20)
    assert again["decided"] >= told["since"]
    msgspec.convert(again, CheckDiscarded)
    msgspec.convert(house.copy("one"), Copy)
    other = house.daemon.json("check", "--discard", waiting["one"])
    assert (other["exit"], other["error"]["code"]) == (17, "check.outdated")
    for word in ("--apply", "--discard"):
        empty = house.daemon.json("check", word, by)
        assert (empty["exit"], empty["error"]["code"]) == (17, "check.outdated"), "it left nothing to decide"

    assert house.daemon.good("check", "--discard", waiting["two"])["changed"] is True
    assert house.daemon.good("check", "--discard", waiting["two"])["changed"] is False
    assert house.copy("two")["needs_decision"] is None
    again = house.daemon.json("check", "--apply", waiting["two"])
    assert (again["exit"], again["error"]["code"]) == (17, "check.outdated")
    confirmed = house.daemon.json("check", "docs", "--from", "two", "--repair", "--confirm", "docs")
    assert confirmed["result"]["decisions"][0]["state"] == "given_up"
    assert house.next_week()["result"]["runs"][0]["exit"] == 3, "what was given up is still lost"
    assert house.copy("one")["needs_decision"] is None, "nobody is asked twice for one loss"


def test_without_healing_it_looks_and_changes_nothing(house: House) -> None:
    """`heal: false` is for who wants to see the damage first."""
    house.daemon.good("set", "edit", "docs", "--no-heal", "--remove-to", "two")
    house.lose("one")
    hint = house.daemon.json("check", "docs")["error"]["hint"]
    assert "`bkctl backup docs`" in hint
    assert "bkctl check docs --from one --repair" in hint
    assert house.next_week()["exit"] == 3
    assert house.checks()[0]["exit"] == 20
    result = house.result(decisions=[])
    assert (result["healed"], [one["state"] for one in result["decisions"]]) == (None, ["found"])
    assert house.copy("one")["needs_decision"] is None
    assert house.daemon.json("check", "docs", "--from", "one", "--crc")["result"]["files_hit"] == [], (
        "the backup after it stored it again"
    )
