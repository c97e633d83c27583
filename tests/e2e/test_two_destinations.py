"""One set in two places: the same repository in both, each whole by itself, and one's fault never the other's."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon


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
    slow_set.make(daemon, "slow", tmp_path / "one", tmp_path / "two", mib=16)
    with ExitStack() as first:
        job = first.enter_context(slow_set.begun(daemon, "slow"))
        slow_set.go_on_until_stored(daemon, job)
        # The workers of the second destination's part come to a gate that is closed again.
        with slow_set.gate(daemon):
            first.close()
            slow_set.wait_for(lambda: len(list((tmp_path / "one").glob("r*/snapshots/*/*"))) == 1)
            slow_set.wait_for(lambda: bool(list((tmp_path / "two").glob("r*/sessions/*/*"))))
            daemon.ask_to_stop()
    assert daemon.wait() == 0
    daemon.start()
    document = daemon.json("job", "wait", job)
    assert document["exit"] == 0, slow_set.shown(document)
    verdicts = {entry["name"]: entry["verdict"] for entry in document["result"]["runs"][0]["destinations"]}
    assert verdicts == {"one": "good", "two": "good"}
    assert len(daemon.good("snapshot", "list", "slow", "--from", "one")["snapshots"]) == 1
