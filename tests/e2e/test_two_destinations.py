"""One set in two places: the same repository in both, each whole by itself, and one's fault never the other's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.faulty_store import Fault, FaultyPlace


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_bytes(b"%d" % number * 9000)
    with running_daemon(tmp_path / "home") as started:
        for name in ("one", "two"):
            started.good("destination", "add", name, tmp_path / name)
        started.good("set", "create", "docs", "--source", source, "--to", "one", "--to", "two", "--jobs", "1")
        yield started


def _ids(tmp_path: Path) -> list[list[str]]:
    return [sorted(path.name for path in (tmp_path / name).glob("r*")) for name in ("one", "two")]


def test_each_place_alone_gives_everything_back(daemon: Daemon, tmp_path: Path) -> None:
    """Else the second copy is none on the day when the first is gone."""
    result = daemon.good("backup", "docs")
    assert [entry["verdict"] for entry in result["runs"][0]["destinations"]] == ["good", "good"]
    first, second = _ids(tmp_path)
    assert (len(first), first) == (1, second), "one repository id everywhere"
    source = tmp_path / "source"
    for name, other in (("one", "two"), ("two", "one")):
        shutil.move(tmp_path / other, tmp_path / "away")
        daemon.good("restore", "docs", "--from", name, "--to", tmp_path / f"out-{name}")
        assert compare_trees(source, tmp_path / f"out-{name}" / str(source)[1:]) == []
        shutil.move(tmp_path / "away", tmp_path / other)


def _listed(daemon: Daemon, name: str) -> list[str]:
    return [one["id"] for one in daemon.good("snapshot", "list", "docs", "--from", name)["snapshots"]]


def _log(daemon: Daemon, job: str) -> str:
    return "\n".join(line["message"] for line in daemon.good("job", "log", job)["lines"])


def test_the_second_gets_what_was_read_for_the_first(daemon: Daemon, tmp_path: Path) -> None:
    """Else a night's sources are read once for each disk, and the disks hold different moments of them."""
    for number in range(2):
        (tmp_path / "source" / "new").write_bytes(os.urandom(50_000 + number))
        job = daemon.good("backup", "docs")["runs"][0]["job"]
        assert "fill two from one" in _log(daemon, job)
    assert _listed(daemon, "one") == _listed(daemon, "two")
    assert len(_listed(daemon, "two")) == 2
    daemon.good("restore", "docs", "--from", "two", "--to", tmp_path / "out")
    assert compare_trees(tmp_path / "source", tmp_path / "out" / str(tmp_path / "source")[1:]) == []


def test_a_damaged_first_place_hands_nothing_on(daemon: Daemon, tmp_path: Path) -> None:
    """What it lost comes from the sources, else one disk's fault would leave the next one without a copy."""
    daemon.good("set", "edit", "docs", "--remove-to", "two")
    daemon.good("backup", "docs")
    for block in (tmp_path / "one").glob("r*/blocks/*/*"):
        block.write_bytes(bytes(block.stat().st_size))
    daemon.good("set", "edit", "docs", "--add-to", "two")
    document = daemon.json("backup", "docs")
    run = document["result"]["runs"][0]
    assert {entry["name"]: entry["verdict"] for entry in run["destinations"]} == {"one": "good", "two": "good"}
    assert "two can't be filled from one" in _log(daemon, run["job"])
    assert daemon.json("check", "docs", "--from", "two", "--crc")["exit"] == 0
    daemon.good("restore", "docs", "--from", "two", "--to", tmp_path / "out")
    assert compare_trees(tmp_path / "source", tmp_path / "out" / str(tmp_path / "source")[1:]) == []


@pytest.mark.parametrize(
    ("times", "mode"),
    [
        (1, "sequential"),
        (1000, "concurrent"),
        pytest.param(1, "concurrent", marks=pytest.mark.nightly),
        pytest.param(1000, "sequential", marks=pytest.mark.nightly),
    ],
)
def test_a_place_that_loses_blocks_harms_no_other(daemon: Daemon, tmp_path: Path, mode: str, times: int) -> None:
    """A single loss is made good in the same run, which says so; where all is lost, that one's run alone failed."""
    folder = tmp_path / "memory"
    folder.mkdir()
    faulty = FaultyPlace(folder)
    daemon.good("destination", "add", "faulty", faulty.address)
    daemon.good("set", "edit", "docs", "--remove-to", "two", "--add-to", "faulty", "--mode", mode)
    daemon.good("backup", "docs")
    (tmp_path / "source" / "new").write_bytes(os.urandom(50_000))
    faulty.set_faults(Fault("lie", "put", "blocks", times=times))
    document = daemon.json("backup", "docs")
    assert faulty.struck()
    faulty.set_faults()
    entries = {entry["name"]: entry for entry in document["result"]["runs"][0]["destinations"]}
    assert (entries["one"]["verdict"], entries["one"]["error"]) == ("good", None)
    if times == 1:
        assert (document["exit"], document["error"]["code"]) == (3, "destination.stored_again"), document
        assert _listed(daemon, "one")[-1] == _listed(daemon, "faulty")[-1]
    else:
        assert document["exit"] == 4, document
        assert entries["faulty"]["error"]["code"] == "destination.blocks_lost"
        told = daemon.good("status", "docs")["sets"][0]["destinations"]
        last = {one["destination"]: one["last_run"]["exit"] for one in told}
        assert last == {"one": 0, "faulty": 15}
        assert daemon.json("backup", "docs")["exit"] == 0
    assert daemon.json("check", "docs", "--from", "faulty", "--crc")["exit"] == 0
    daemon.good("restore", "docs", "--from", "faulty", "--to", tmp_path / "out")
    assert compare_trees(tmp_path / "source", tmp_path / "out" / str(tmp_path / "source")[1:]) == []


def test_keys_that_were_rotated_at_each_place_stop_no_backup(daemon: Daemon) -> None:
    """Neither place takes a copy of the other's any more; the sources are there."""
    daemon.good("backup", "docs")
    for name in ("one", "two"):
        daemon.good("key", "rotate", "docs", "--from", name, "--yes")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    assert [len(_listed(daemon, name)) for name in ("one", "two")] == [2, 2]


def test_an_absent_place_leaves_the_others_result_whole(daemon: Daemon, tmp_path: Path) -> None:
    daemon.good("backup", "docs")
    shutil.move(tmp_path / "two", tmp_path / "away")
    document = daemon.json("backup", "docs")
    assert (document["exit"], document["error"]["code"]) == (4, "destination.some"), document
    run = document["result"]["runs"][0]
    assert (run["exit"], bool(run["snapshot"]), bool(run["restore_command"])) == (4, True, True)
    assert {entry["name"]: entry["verdict"] for entry in run["destinations"]} == {"one": "good", "two": "failed"}
    assert not (tmp_path / "two").exists(), "nothing is made where the disk is to be mounted"
    assert slow_set.job(daemon, run["job"])["state"] == "warning"
    shutil.move(tmp_path / "away", tmp_path / "two")
    assert daemon.json("backup", "docs")["exit"] == 0
    assert len(daemon.good("snapshot", "list", "docs", "--from", "two")["snapshots"]) == 2


def test_the_first_place_may_be_the_absent_one(daemon: Daemon, tmp_path: Path) -> None:
    daemon.good("backup", "docs")
    shutil.move(tmp_path / "one", tmp_path / "away")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    assert document["result"]["runs"][0]["snapshot"]
    daemon.good("restore", "docs", "--from", "two", "--to", tmp_path / "out")


def test_a_place_that_may_be_absent_does_not_count(daemon: Daemon, tmp_path: Path) -> None:
    """A drive that is carried about must not turn every night red."""
    daemon.good("destination", "edit", "two", "--absent", "skip")
    daemon.good("backup", "docs")
    shutil.move(tmp_path / "two", tmp_path / "away")
    document = daemon.json("backup", "docs")
    assert (document["exit"], document["error"]) == (0, None), document
    verdicts = {entry["name"]: entry["verdict"] for entry in document["result"]["runs"][0]["destinations"]}
    assert verdicts == {"one": "good", "two": "skipped"}
    alone = daemon.json("backup", "docs", "--to", "two")
    assert (alone["exit"], alone["error"]["code"]) == (75, "run.skipped")


def test_only_the_named_place(daemon: Daemon, tmp_path: Path) -> None:
    daemon.good("backup", "docs", "--to", "two")
    assert _ids(tmp_path)[0] == []
    daemon.good("backup", "docs")
    first, second = _ids(tmp_path)
    assert first == second
    refused = daemon.json("backup", "docs", "--to", "three")
    assert refused["exit"] == 10


def test_a_restart_does_not_do_again_what_was_done(daemon: Daemon, tmp_path: Path) -> None:
    """A long set with two places would store a second snapshot in the first at each update of the program."""
    # A pool is no directory: what the second one lacks is read from the sources.
    for name in ("first", "spare"):
        daemon.good("destination", "add", name, tmp_path / name)
    daemon.good("destination", "add", "pool", "--pool", "failover", "--member", "first", "--member", "spare")
    source = daemon.home / "source-slow"
    slow_set.fill(source, 16)
    to = ("--to", "pool", "--to", "two")
    daemon.good("set", "create", "slow", "--source", source, *to, "--compression", "best", "--jobs", "1")
    with ExitStack() as first:
        job = first.enter_context(slow_set.begun(daemon, "slow"))
        slow_set.go_on_until_stored(daemon, job)
        # The workers of the second destination's part come to a gate that is closed again.
        with slow_set.gate(daemon):
            first.close()
            slow_set.wait_for(lambda: len(list((tmp_path / "first").glob("r*/snapshots/*/*"))) == 1)
            slow_set.wait_for(lambda: bool(list((tmp_path / "two").glob("r*/sessions/*/*"))))
            daemon.ask_to_stop()
    assert daemon.wait() == 0
    daemon.start()
    document = daemon.json("job", "wait", job)
    assert document["exit"] == 0, slow_set.shown(document)
    verdicts = {entry["name"]: entry["verdict"] for entry in document["result"]["runs"][0]["destinations"]}
    assert verdicts == {"pool": "good", "two": "good"}
    assert len(daemon.good("snapshot", "list", "slow", "--from", "pool")["snapshots"]) == 1
