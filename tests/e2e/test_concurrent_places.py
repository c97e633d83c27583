"""Several directories from one reading: what one of them alone suffers, and that its cache vouches for no other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.mounting import enlarge, tmpfs


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_bytes(os.urandom(9000))
        # Not young: what the cache says of it counts.
        os.utime(source / str(number), (1_700_000_000, 1_700_000_000))
    with running_daemon(tmp_path / "home") as started:
        for name in ("one", "two"):
            started.good("destination", "add", name, tmp_path / name)
        started.good(
            "set", "create", "docs", "--source", source, "--to", "one", "--to", "two", "--mode", "concurrent",
            "--jobs", "1"
        )  # fmt: skip
        yield started


def _entries(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in document["result"]["runs"][0]["destinations"]}


def _check(daemon: Daemon, tmp_path: Path, name: str) -> None:
    out = tmp_path / f"out-{name}"
    shutil.rmtree(out, ignore_errors=True)
    daemon.good("restore", "docs", "--from", name, "--to", out)
    assert compare_trees(tmp_path / "source", out / str(tmp_path / "source")[1:]) == []
    assert daemon.json("check", "docs", "--from", name, "--crc")["exit"] == 0


def test_blocks_that_one_place_lost_are_stored_there_again_and_nowhere_else(daemon: Daemon, tmp_path: Path) -> None:
    """A check found them; what is whole at the other place must not stand for what is gone at this one."""
    daemon.good("backup", "docs")
    for block in (tmp_path / "two").glob("r*/blocks/*/*"):
        block.unlink()
    assert daemon.json("check", "docs", "--from", "two")["exit"] == 20
    before = {path.name for path in (tmp_path / "one").glob("r*/blocks/*/*")}
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    entries = _entries(document)
    assert entries["two"]["stored_bytes"] > 20 * 9000 > entries["one"]["stored_bytes"]
    assert before <= {path.name for path in (tmp_path / "one").glob("r*/blocks/*/*")}
    _check(daemon, tmp_path, "one")
    out = tmp_path / "out-two"
    daemon.good("restore", "docs", "--from", "two", "--to", out)
    assert compare_trees(tmp_path / "source", out / str(tmp_path / "source")[1:]) == []


def test_an_older_state_of_one_place_is_told_and_is_its_own(daemon: Daemon, tmp_path: Path) -> None:
    """Somebody put an old copy of a disk in: told with its name, the other place's result is whole."""
    daemon.good("backup", "docs")
    shutil.copytree(tmp_path / "two", tmp_path / "old")
    (tmp_path / "source" / "new").write_bytes(os.urandom(5000))
    daemon.good("backup", "docs")
    shutil.rmtree(tmp_path / "two")
    (tmp_path / "old").rename(tmp_path / "two")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    entries = _entries(document)
    assert (entries["one"]["verdict"], entries["one"]["error"]) == ("good", None)
    assert entries["two"]["error"]["code"] == "damage.rollback"
    _check(daemon, tmp_path, "one")


def test_a_new_place_is_filled_with_the_newest_snapshot(daemon: Daemon, tmp_path: Path) -> None:
    """By what lies at the others, without a further reading of the sources."""
    daemon.good("backup", "docs")
    daemon.good("destination", "add", "three", tmp_path / "three")
    daemon.good("set", "edit", "docs", "--add-to", "three")
    (tmp_path / "source" / "new").write_bytes(os.urandom(5000))
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    snapshots = [
        [one["id"] for one in daemon.good("snapshot", "list", "docs", "--from", name)["snapshots"]]
        for name in ("one", "two", "three")
    ]
    assert [len(one) for one in snapshots] == [2, 2, 1]
    assert len({one[-1] for one in snapshots} | {one[0] for one in snapshots[2:]}) == 1
    _check(daemon, tmp_path, "three")


def test_a_new_place_needs_no_place_that_is_away(daemon: Daemon, tmp_path: Path) -> None:
    """Its keys come from one that is there, though the first one that is known to have them is not."""
    daemon.good("backup", "docs")
    daemon.good("destination", "add", "three", tmp_path / "three")
    daemon.good("set", "edit", "docs", "--add-to", "three")
    (tmp_path / "one").rename(tmp_path / "away")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    verdicts = {name: entry["verdict"] for name, entry in _entries(document).items()}
    assert verdicts == {"one": "failed", "two": "good", "three": "good"}
    _check(daemon, tmp_path, "three")


def test_who_lags_is_stored_to_from_the_sources_when_all_others_are_gone(daemon: Daemon, tmp_path: Path) -> None:
    """Else a place that is there gets nothing today, because it lacks what lies at one that is not."""
    daemon.good("backup", "docs")
    (tmp_path / "two").rename(tmp_path / "away")
    (tmp_path / "source" / "new").write_bytes(os.urandom(5000))
    assert daemon.json("backup", "docs")["exit"] == 4
    (tmp_path / "away").rename(tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "away")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    assert {name: entry["verdict"] for name, entry in _entries(document).items()} == {"one": "failed", "two": "good"}
    _check(daemon, tmp_path, "two")
    (tmp_path / "away").rename(tmp_path / "one")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    for name in ("one", "two"):
        _check(daemon, tmp_path, name)


@pytest.mark.nightly
def test_two_of_three_at_a_time(daemon: Daemon, tmp_path: Path) -> None:
    """`max_concurrent` spares a line or a disk; all of them get the run all the same."""
    daemon.good("destination", "add", "three", tmp_path / "three")
    daemon.good("set", "edit", "docs", "--add-to", "three", "--max-concurrent", "2")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    assert {name: entry["verdict"] for name, entry in _entries(document).items()} == dict.fromkeys(
        ("one", "two", "three"), "good"
    )
    steps = [line["message"] for line in daemon.good("job", "log", "docs@latest")["lines"]]
    assert any("destinations one, two" in step for step in steps)
    assert any("fill three from one" in step for step in steps), steps
    for name in ("one", "two", "three"):
        _check(daemon, tmp_path, name)
    refused = daemon.json("set", "edit", "docs", "--max-concurrent", "9")
    assert (refused["exit"], refused["error"]["code"]) == (2, "config.invalid"), refused
    assert daemon.json("set", "edit", "docs", "--mode", "sequential")["exit"] == 2
    daemon.good("set", "edit", "docs", "--mode", "sequential", "--max-concurrent", "")


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.needs("mount", "umount")
def test_a_full_place_ends_alone(daemon: Daemon, tmp_path: Path) -> None:
    """What has no room at one place is no other place's error, and needs nobody once there is room."""
    slow_set.fill(tmp_path / "source", 48)
    with tmpfs(tmp_path / "two", "16m") as small:
        document = daemon.json("backup", "docs")
        assert document["exit"] == 4, document
        entries = _entries(document)
        assert (entries["one"]["verdict"], entries["one"]["error"]) == ("good", None)
        assert (entries["two"]["verdict"], entries["two"]["error"]["code"]) == ("failed", "space.destination")
        _check(daemon, tmp_path, "one")
        enlarge(small, "200m")
        document = daemon.json("backup", "docs")
        assert document["exit"] == 0, document
        _check(daemon, tmp_path, "two")


def test_a_place_that_takes_no_blocks_ends_alone(daemon: Daemon, tmp_path: Path) -> None:
    """What can't be written at one place is no other place's error."""
    daemon.good("backup", "docs")
    slow_set.fill(tmp_path / "source", 4)
    blocks = next((tmp_path / "two").glob("r*/blocks"))
    shutil.rmtree(blocks)
    blocks.write_bytes(b"no directory")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    assert {name: entry["verdict"] for name, entry in _entries(document).items()} == {"one": "good", "two": "failed"}
    _check(daemon, tmp_path, "one")


def test_a_login_that_can_not_be_read_is_one_places_own(daemon: Daemon, tmp_path: Path) -> None:
    """One deleted file with a password must not cost the backup everywhere."""
    words = ("--credentials-file", tmp_path / "gone", "--no-test")
    daemon.good("destination", "add", "off", "s3://bucket/x?endpoint=https://127.0.0.1:9", *words)
    daemon.good("set", "edit", "docs", "--add-to", "off")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    entries = _entries(document)
    verdicts = {name: entry["verdict"] for name, entry in entries.items()}
    assert verdicts == {"one": "good", "two": "good", "off": "failed"}
    assert str(tmp_path / "gone") in entries["off"]["error"]["message"]


def test_each_place_fails_for_its_own_reason(daemon: Daemon, tmp_path: Path) -> None:
    """A drive that may be away must not hide that another place refuses everything."""
    daemon.good("destination", "edit", "one", "--absent", "skip")
    daemon.good("backup", "docs")
    (tmp_path / "one").rename(tmp_path / "away")
    shutil.rmtree(tmp_path / "two")
    (tmp_path / "two").write_bytes(b"no directory")
    document = daemon.json("backup", "docs")
    assert document["exit"] not in (0, 75), document
    assert str(tmp_path / "two") in document["error"]["message"], "not what is wrong with the one that may be away"


def test_a_quota_of_one_place_ends_the_run_there_alone(daemon: Daemon, tmp_path: Path) -> None:
    """What may not be stored at one destination is no limit of another."""
    slow_set.fill(tmp_path / "source", 12)
    daemon.good("destination", "edit", "two", "--quota", "1M")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 4, document
    entries = _entries(document)
    assert (entries["one"]["verdict"], entries["two"]["error"]["code"]) == ("good", "destination.quota")
    _check(daemon, tmp_path, "one")
    daemon.good("destination", "edit", "two", "--quota", "")
    assert daemon.json("backup", "docs")["exit"] == 0
    _check(daemon, tmp_path, "two")
