"""Retention through the daemon: the set's own policy, at each destination, shown before, never at a backup's cost."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.aging import add_older
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import Machine


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("retention")) as started:
        yield started


class Household:
    """A set of two destinations, with snapshots at both."""

    def __init__(self, daemon: Daemon, path: Path, name: str) -> None:
        self.daemon, self.name = daemon, name
        self.source, self.usb, self.nas = path / "source", path / f"{name}-usb", path / f"{name}-nas"
        self.source.mkdir(parents=True)
        words = ("--source", self.source, "--to", self.usb, "--to", self.nas)
        self.made = daemon.bkctl("set", "create", name, *words)
        assert self.made.returncode == 0, self.made.stderr

    def back_up(self, *words: str) -> dict[str, Any]:
        count = len(list(self.source.iterdir()))
        (self.source / f"file{count}").write_text(str(count))
        return self.daemon.json("backup", self.name, *words)

    def ids(self, place: Path) -> list[str]:
        found = self.daemon.good("snapshot", "list", self.name, "--from", place)["snapshots"]
        return [one["id"] for one in found]

    def spoil(self, place: Path) -> Path:
        """Flip a byte of the oldest snapshot at a place."""
        return spoil(sorted(place.glob("*/snapshots/*/*"))[0])


def spoil(path: Path) -> Path:
    """Flip a byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    return path


@pytest.fixture
def household(daemon: Daemon, tmp_path: Path, request: pytest.FixtureRequest) -> Household:
    return Household(daemon, tmp_path, f"s{abs(hash(request.node.name)) % 10**6}")


@pytest.mark.nightly
def test_a_policy_is_planned_shown_and_applied_at_each_destination(household: Household) -> None:
    """The whole way of an administrator: set it, look at it, do just that; blocks stay as they are."""
    daemon, name = household.daemon, household.name
    for _ in range(4):
        household.back_up()
    before = household.ids(household.usb)
    assert len(before) == 4
    changed = daemon.good("retention", "set", name, "--jobs", "2")
    assert (changed["changed"], changed["set"]["retention"]) == (True, {"jobs": 2})
    daemon.good("retention", "set", name, "--keep-all", "--from", household.nas)
    shown = daemon.good("retention", "show", name)["sets"][0]["destinations"]
    assert [(one["words"], one["origin"]) for one in shown] == [("jobs 2", "set"), ("keep all", "destination")]
    blocks = {path for path in household.usb.glob("*/blocks/*/*")}
    plan = daemon.good("retention", "plan", name)
    assert (plan["changed"], plan["dropped_count"], plan["kept_count"]) == (False, 2, 6)
    reasons = [one["reasons"][-1] for one in plan["destinations"][0]["snapshots"]]
    assert reasons == [f"jobs 2: {newer} newer" for newer in (3, 2, 1, 0)]
    assert plan == daemon.good("retention", "apply", name, "--dry-run")
    table = daemon.bkctl("retention", "plan", name).stdout.decode()
    assert "2 snapshots would be dropped, 2 kept" in table
    assert f"--apply {plan['plan']}" in table
    assert household.ids(household.usb) == before
    refused = daemon.json("retention", "apply", name)
    assert (refused["exit"], refused["error"]["code"]) == (22, "answer.needed")
    household.back_up()
    outdated = daemon.json("retention", "apply", name, "--apply", plan["plan"], "--yes")
    assert (outdated["exit"], outdated["error"]["code"]) == (17, "retention.plan_outdated")
    again = daemon.good("retention", "plan", name)["plan"]
    done = daemon.good("retention", "apply", name, "--apply", again[:12], "--yes")
    assert (done["changed"], done["dropped_count"], done["kept_count"]) == (True, 3, 7)
    left = household.ids(household.usb)
    assert len(left) == 2
    assert before[3] == left[0]
    assert len(household.ids(household.nas)) == 5
    assert blocks <= {path for path in household.usb.glob("*/blocks/*/*")}
    assert daemon.good("retention", "apply", name, "--yes")["changed"] is False
    daemon.good("check", name)


@pytest.mark.nightly
def test_after_a_backup_only_where_it_is_asked_for(household: Household) -> None:
    """FEATURES 3.3: off for runs by hand, and said; the policy of each destination where the run was good."""
    daemon, name = household.daemon, household.name
    daemon.good("retention", "set", name, "--jobs", "1")
    daemon.good("retention", "set", name, "--jobs", "2", "--from", household.nas)
    for _ in range(3):
        run = household.back_up()["result"]["runs"][0]
        assert run["retention_command"] == f"bkctl retention apply {name}"
        assert all("retention" not in one for one in run["destinations"])
    assert len(household.ids(household.usb)) == 3
    document = household.back_up("--retention")
    assert document["exit"] == 0, document
    run = document["result"]["runs"][0]
    assert "retention_command" not in run
    assert [one["retention"]["dropped"] for one in run["destinations"]] == [3, 2]
    assert (len(household.ids(household.usb)), len(household.ids(household.nas))) == (1, 2)
    lines = [line["message"] for line in daemon.good("job", "log", run["job"])["lines"]]
    assert "3 older snapshots dropped, 1 kept (jobs 1)" in lines
    said = daemon.bkctl("backup", name, "--retention").stdout.decode()
    assert "1 older snapshot dropped, 1 kept (jobs 1)" in said
    status = daemon.good("status", name)["sets"][0]["destinations"][0]
    assert status["snapshot"] == household.ids(household.usb)[-1]


def test_retention_that_fails_fails_no_backup(household: Household) -> None:
    """One bad sector in an old snapshot: the new backup is there, nothing is dropped there, and somebody is told."""
    daemon, name = household.daemon, household.name
    household.back_up()
    add_older([household.usb, household.nas], daemon.home, [3, 40, 400])
    daemon.good("retention", "set", name, "--days", "30")
    spoilt = household.spoil(household.usb)
    document = household.back_up("--retention")
    assert (document["exit"], document["error"]["code"]) == (3, "retention.failed"), document
    usb, nas = document["result"]["runs"][0]["destinations"]
    assert (usb["verdict"], usb["retention"]["error"]["code"]) == ("good", "damage.seal")
    assert spoilt.name in usb["retention"]["error"]["message"]
    assert nas["retention"] == {"policy": "days 30", "kept": 4, "dropped": 1, "left": 0, "error": None}
    assert [len(list(place.glob("*/snapshots/*/*"))) for place in (household.nas, household.usb)] == [4, 5]
    by_hand = daemon.json("retention", "apply", name, "--yes")
    assert by_hand["exit"] == 20
    assert [one["error"] is None for one in by_hand["result"]["destinations"]] == [False, True]


@pytest.mark.nightly
def test_a_pin_holds_at_all_destinations(household: Household) -> None:
    """Pinned at the near disk alone, it would be gone when that disk is."""
    daemon, name = household.daemon, household.name
    daemon.good("retention", "set", name, "--jobs", "1")
    for _ in range(3):
        household.back_up()
    oldest, second, newest = household.ids(household.usb)
    pinned = daemon.good("snapshot", "pin", oldest, "--reason", "before the move")
    assert [(one["changed"], one["error"]) for one in pinned["destinations"]] == [(True, None)] * 2
    assert daemon.good("snapshot", "pin", oldest)["changed"] is False
    daemon.good("snapshot", "tag", second, "why=upgrade", "--remove", "nothing")
    shown = daemon.good("snapshot", "show", oldest)
    assert (shown["pinned"], shown["pin_reason"]) == (True, "before the move")
    daemon.good("retention", "apply", name, "--yes")
    assert household.ids(household.usb) == household.ids(household.nas) == [oldest, newest]
    daemon.good("snapshot", "unpin", oldest)
    daemon.good("retention", "apply", name, "--yes")
    assert household.ids(household.usb) == household.ids(household.nas) == [newest]


def test_policies_as_text_and_by_options_are_the_same(household: Household) -> None:
    """Sets come by Ansible: what `set export` writes, `set apply` takes, and changes nothing."""
    daemon, name = household.daemon, household.name
    words = ["--daily", "7", "--weekly", "sat:4", "--monthly", "1:3", "--quarterly", "4"]
    words += ["--yearly", "new year=jan/1:7"]
    daemon.good("retention", "set", name, *words, "--date", "2026-12-24", "--keep-tag", "why=upgrade")
    stored = daemon.good("set", "show", name)["set"]["retention"]
    assert stored == {
        "rules": [
            {"daily": 7},
            {"weekly": 4, "when": "sat"},
            {"monthly": 3, "when": "1"},
            {"quarterly": 4},
            {"name": "new year", "yearly": 7, "when": "jan/1"},
            {"dates": ["2026-12-24"]},
        ],
        "keep_tags": ["why=upgrade"],
    }
    exported = household.source.parent / "sets.yaml"
    assert daemon.bkctl("set", "export", name, "--output", exported).returncode == 0
    assert daemon.good("set", "apply", "-f", exported)["changed"] is False
    bare = exported.read_text().replace("'2026-12-24'", "2026-12-24").replace("'1'", "1")
    exported.write_text(bare)
    assert daemon.good("set", "apply", "-f", exported)["changed"] is False
    exported.write_text(bare.replace("sat", "saturday"))
    refused = daemon.json("set", "apply", "-f", exported)
    assert refused["exit"] == 2
    assert "saturday" in refused["error"]["message"]
    empty = daemon.json("retention", "set", name, "--keep-tag", "why")
    assert (empty["exit"], empty["error"]["code"]) == (2, "retention.empty_policy")
    assert daemon.good("retention", "set", name, "--default")["set"]["retention"] is None


def test_a_policy_follows_its_destination(household: Household) -> None:
    """A destination that is renamed would fall back to the policy that drops; which one holds, a new set has said."""
    said = household.made.stdout.decode()
    assert "Retention: days 7." in said
    assert "stays restorable for 7 days after the first backup without it" in said
    daemon, name = household.daemon, household.name
    daemon.good("retention", "set", name, "--keep-all", "--from", household.nas)
    old = household.nas.name
    daemon.good("destination", "rename", old, f"{old}-new")
    assert daemon.good("set", "show", name)["set"]["retention_at"] == {f"{old}-new": {"keep": "all"}}
    daemon.good("set", "edit", name, "--remove-to", f"{old}-new")
    assert daemon.good("set", "show", name)["set"]["retention_at"] == {}
    nothing = daemon.json("retention", "plan", name)
    assert (nothing["exit"], nothing["error"]["code"]) == (10, "repository.not_found")


def test_once_drops_only_what_it_is_told_to(tmp_path: Path) -> None:
    """`once` keeps all; told to drop, it drops just that, and a bad sector fails no run."""
    machine, source, place = Machine(tmp_path / "home"), tmp_path / "source", tmp_path / "place"
    source.mkdir()
    (source / "letter").write_text("dear")
    assert machine.json("once", source, "--to", place, "--name", "one")["exit"] == 0
    add_older([place], machine.home, [3, 40, 400])
    words = ("once", source, "--to", place, "--name", "one", "--keep-days", "7", "--keep-jobs", "1")
    document = machine.json(*words)
    assert document["exit"] == 0, document
    retention = document["result"]["runs"][0]["destinations"][0]["retention"]
    assert retention == {"policy": "days 7, jobs 1", "kept": 4, "dropped": 1, "left": 0, "error": None}
    assert len(list(place.glob("*/snapshots/*/*"))) == 4
    spoil(sorted(place.glob("*/snapshots/*/*"))[0])
    spoilt = machine.json(*words)
    assert (spoilt["exit"], spoilt["error"]["code"]) == (3, "retention.failed"), spoilt
    assert spoilt["result"]["runs"][0]["snapshot"] is not None
    assert len(list(place.glob("*/snapshots/*/*"))) == 5
