"""`bkctl free` as a user meets it: through a daemon, at all destinations, beside a run."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.model.api import Started, StartFree
from backupd.model.orders import FreeOrder
from bkctl.daemon_client import DaemonClient
from tests.support.daemon import Daemon, running_daemon

_MIB = 1 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "gone").write_bytes(os.urandom(4 * _MIB))
    (source / "stays").write_bytes(os.urandom(100_000))
    with running_daemon(tmp_path / "home") as started:
        for name in ("one", "two"):
            started.good("destination", "add", name, tmp_path / name)
        started.good("set", "create", "docs", "--source", source, "--to", "one", "--to", "two", "--jobs", "1")
        started.good("set", "create", "mail", "--source", source / "stays", "--to", "one", "--jobs", "1")
        yield started


def _held(tmp_path: Path, name: str) -> int:
    return sum(path.stat().st_size for path in (tmp_path / name).glob("r*/blocks/*/*"))


def test_all_sets_at_all_destinations(daemon: Daemon, tmp_path: Path) -> None:
    """Else the second disk fills up while the first is looked after."""
    daemon.good("backup", "--all")
    (tmp_path / "source" / "gone").unlink()
    daemon.good("backup", "--all")
    nothing = daemon.good("free", "--all")
    assert len(nothing["freeings"]) == 3
    assert nothing["freed_bytes"] == 0
    daemon.good("retention", "set", "docs", "--jobs", "1")
    before = {name: _held(tmp_path, name) for name in ("one", "two")}
    said = daemon.good("free", "docs", "--dry-run")
    assert {name: _held(tmp_path, name) for name in ("one", "two")} == before
    assert said["planned_bytes"] > 8 * _MIB
    text = daemon.bkctl("free", "docs", "--dry-run").stdout.decode()
    assert "can be freed; nothing was changed" in text
    planned = [one["retention"] for one in said["freeings"]]
    assert all(f"1 snapshot would be dropped by the set's policy (jobs 1), 1 kept: {name}." in text for name in (
        one["oldest_dropped"][0][:9] for one in planned
    ))
    freed = daemon.good("free", "docs")
    assert freed["freed_bytes"] > 8 * _MIB
    done = [one["retention"] for one in freed["freeings"]]
    assert [one["oldest_dropped"] for one in done] == [one["oldest_dropped"] for one in planned], "else than was shown"
    log = daemon.good("job", "log", freed["freeings"][0]["job"])["lines"]
    assert any("keeps 1 of 2 snapshots, not " in line["message"] for line in log), "nobody is told what a freeing drops"
    for name in ("one", "two"):
        assert _held(tmp_path, name) < before[name] - 4 * _MIB + 10_000
        assert daemon.json("check", "docs", "--from", name, "--crc")["exit"] == 0
    latest = daemon.good("job", "show", "docs@latest")["job"]
    assert (latest["kind"], latest["state"]) == ("check", "completed")
    shown = daemon.bkctl("free", "--all").stdout.decode()
    assert "0 B freed" in shown
    assert "No snapshot was dropped: the set's policy (jobs 1) keeps all there are (1)." in shown
    words = daemon.json("free", "docs", "--all")
    assert (words["exit"], words["error"]["code"]) == (2, "usage.invalid")
    assert daemon.json("free")["exit"] == 2


def test_a_target_by_plan_and_by_name(daemon: Daemon, tmp_path: Path) -> None:
    """Another disk, another set or another snapshot would lose its history than was shown."""
    daemon.good("retention", "set", "docs", "--keep-all")
    daemon.good("backup", "docs")
    for _ in range(2):
        (tmp_path / "source" / "gone").write_bytes(os.urandom(_MIB))
        daemon.good("backup", "docs", "--to", "one")
    before = {name: _held(tmp_path, name) for name in ("one", "two")}
    target = ("free", "docs", "--target", "500K")
    both = daemon.good(*target, "--dry-run")["freeings"]
    assert [round(one["target"]["planned_bytes"] / _MIB) for one in both] == [4, 0]
    assert {name: _held(tmp_path, name) for name in ("one", "two")} == before
    plan = both[0]["target"]
    assert plan["drops"][0]["reasons"] == ["keep all"]
    text = daemon.bkctl(*target, "--from", "one", "--dry-run").stdout.decode()
    assert f"--target 512000 --apply {plan['plan']} --yes" in text
    for words in (
        ("free", "--all", "--target", "1M"),
        ("free", "docs", "--apply", plan["plan"], "--yes"),
        ("free", "docs", "--apply", plan["plan"], "--dry-run"),
        ("free", "--target", "1M", "--from", "one"),
        (*target, "--from", "one", "--apply", "p123", "--yes"),
    ):
        assert daemon.json(*words)["exit"] == 2
    asked = daemon.json(*target, "--from", "one", "--yes")
    assert (asked["exit"], asked["error"]["context"]["confirm"]) == (22, "docs")
    # As it was printed.
    command = plan["apply_command"].split()[1:]
    done = daemon.good(*command)
    assert (done["target"]["changed"], len(done["target"]["drops"])) == (True, 1)
    assert done["freed_bytes"] == before["one"] - _held(tmp_path, "one") > 4 * _MIB - 10_000
    assert _held(tmp_path, "two") == before["two"]
    again = daemon.json(*command)
    assert (again["exit"], again["error"]["code"]) == (17, "retention.plan_outdated")
    freed = daemon.json("free", "docs", "--from", "one", "--target", "100M", "--confirm", "docs")
    assert (freed["exit"], freed["error"]["code"]) == (3, "free.target_missed")
    assert [one["reason"] for one in freed["result"]["target"]["held_by"]] == ["newest"]
    assert daemon.json("check", "docs", "--from", "one", "--crc")["exit"] == 0


def test_what_the_areas_hold_is_shown(daemon: Daemon, tmp_path: Path) -> None:
    """Who buys a disk by these figures must be able to trust them; what nobody counted is not nothing."""
    daemon.good("retention", "set", "docs", "--keep-all")
    daemon.good("backup", "--all")
    (tmp_path / "source" / "gone").write_bytes(os.urandom(_MIB))
    daemon.good("backup", "docs", "--to", "one")

    def copies() -> dict[tuple[str, str], dict[str, Any]]:
        sets = daemon.good("status")["sets"]
        return {(one["set"], copy["destination"]): copy for one in sets for copy in one["destinations"]}

    metric = 'backupd_stored_bytes{destination="one",area="'
    assert {copy["areas"] for copy in copies().values()} == {None}
    assert copies()["docs", "one"]["files"] == 2
    assert copies()["docs", "one"]["source_bytes"] == _MIB + 100_000
    assert "Areas not counted yet: docs, mail" in daemon.bkctl("status").stdout.decode()
    daemon.good("free", "docs", "--from", "one")
    found = copies()
    assert found["docs", "two"]["areas"] is found["mail", "one"]["areas"] is None
    # The other set's part of this destination is not known: a sum would be too little.
    assert f'{metric}data"' not in daemon.bkctl("status", "--format", "prometheus").stdout.decode()
    assert daemon.good("check", "mail")["areas"]["sets"][0]["before"] is None
    found = copies()
    docs, mail = found["docs", "one"]["areas"], found["mail", "one"]["areas"]
    assert (docs["data"]["files"], docs["data"]["source_bytes"]) == (2, _MIB + 100_000)
    assert (docs["retention"]["files"], docs["retention"]["source_bytes"]) == (1, 4 * _MIB)
    assert (mail["data"]["files"], mail["retention"]["files"], mail["retention"]["stored_bytes"]) == (1, 0, 0)
    held = {name: docs[name]["stored_bytes"] + mail[name]["stored_bytes"] for name in ("data", "retention")}
    assert sum(held.values()) == _held(tmp_path, "one")
    text = daemon.bkctl("status", "--format", "prometheus").stdout.decode()
    for name, taken in held.items():
        assert f'{metric}{name}"}} {taken}\n' in text
    assert "docs on one: newest snapshot: 2 files" in daemon.bkctl("status").stdout.decode()
    assert docs["current"]
    assert daemon.good("info", "--from", _larger(tmp_path))["repository"]["areas"]["docs"]["is_current"]
    (tmp_path / "source" / "more").write_bytes(b"more")
    daemon.good("backup", "docs", "--to", "one")
    late = copies()["docs", "one"]
    assert (late["areas"]["current"], late["areas"]["as_of"], late["files"]) == (False, docs["as_of"], 3)
    assert daemon.good("check", "docs", "--from", "one")["areas"]["sets"][0]["agree"] is None
    late = copies()["docs", "one"]
    assert (late["areas"]["current"], late["areas"]["data"]["files"]) == (True, 3)


def _larger(tmp_path: Path) -> Path:
    """The repository at the first destination that holds more."""
    found = (tmp_path / "one").glob("r*")
    return max(found, key=lambda one: sum(path.stat().st_size for path in one.rglob("*") if path.is_file()))


def test_a_target_is_not_asked_for_twice(daemon: Daemon, tmp_path: Path) -> None:
    """A daemon that is restarted begins its jobs again: as much again would go, which nobody wanted."""
    daemon.good("retention", "set", "docs", "--keep-all")
    daemon.good("backup", "docs", "--to", "one")
    (tmp_path / "source" / "gone").write_bytes(os.urandom(_MIB))
    daemon.good("backup", "docs", "--to", "one")
    client = DaemonClient(str(daemon.socket), "")
    order = FreeOrder(place=str(tmp_path / "one"), set_names=["docs"], target_bytes=_MIB, interactive=True)
    (job,) = client.request("POST", "/v1/freeings", StartFree(order=order), Started).jobs
    end = time.monotonic() + 60
    while "step 3" not in str(daemon.good("job", "log", job.id)["lines"]):
        assert time.monotonic() < end, daemon.good("job", "log", job.id)
        time.sleep(0.1)
    # It waits for the name to be typed.
    daemon.restart()
    assert daemon.good("job", "show", job.id)["job"]["state"] == "interrupted"
    assert len(daemon.good("snapshot", "list", "docs", "--from", "one")["snapshots"]) == 2
