"""Pools through the daemon: made, stored in, a member lost, restored from, healed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.damaging import Damage, flip, zero


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).write_bytes(b"%d" % number * 9000)
    return folder


@pytest.fixture
def daemon(tmp_path: Path, source: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "home") as started:
        for name in ("a", "b", "c"):
            started.good("destination", "add", name, tmp_path / name)
        yield started


def _pool(daemon: Daemon, source: Path, kind: str, *words: str) -> None:
    members = [word for name in ("a", "b", "c") for word in ("--member", name)]
    daemon.good("destination", "add", "pool", "--pool", kind, *members, *words)
    daemon.good("set", "create", "docs", "--source", source, "--to", "pool", "--jobs", "1")


def _restored(daemon: Daemon, source: Path, to: Path) -> None:
    daemon.good("restore", "docs", "--to", to)
    assert compare_trees(source, to / str(source)[1:]) == []


def _lose(tmp_path: Path, name: str) -> Path:
    """The disk is taken away."""
    return (tmp_path / name).rename(tmp_path / f"lost-{name}")


def _warnings(document: dict[str, Any]) -> str:
    return " ".join(document["warnings"])


def test_a_mirror_outlives_members_and_is_healed(daemon: Daemon, source: Path, tmp_path: Path) -> None:
    """Else a second copy is none: not on the day a disk dies, nor after it came back."""
    _pool(daemon, source, "mirror", "--copies", "2")
    assert daemon.good("backup", "docs")["runs"][0]["destinations"][0]["verdict"] == "good"
    lost = _lose(tmp_path, "c")
    (source / "new").write_bytes(b"n" * 100_000)
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    assert "c: " in _warnings(document)
    assert "heal pool" in _warnings(document)
    status = daemon.good("status", "docs")
    assert [one["destination"] for one in status["sets"][0]["destinations"]] == ["pool"], status
    _restored(daemon, source, tmp_path / "one")
    lost.rename(tmp_path / "c")
    healed = daemon.good("destination", "heal", "pool")
    assert healed["whole"]
    assert healed["copied_objects"] > 3
    # The lead and the second are gone: what the third was given is enough for reading.
    _lose(tmp_path, "a")
    _restored(daemon, source, tmp_path / "two")
    (tmp_path / "lost-a").rename(tmp_path / "a")
    for name in ("c",):
        to = tmp_path / f"of-{name}"
        daemon.good("restore", "docs", "--from", name, "--to", to)
        assert compare_trees(source, to / str(source)[1:]) == []


def _newer(path: Path) -> None:
    """One bit, and it says that a later program wrote it."""
    data = bytearray(path.read_bytes())
    data[5] ^= 0x40
    path.write_bytes(data)


def _spoil(path: Path) -> None:
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        flip(share)(path)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(flip(0.5), id="bit"),
        pytest.param(_spoil, id="bits", marks=pytest.mark.nightly),
        pytest.param(zero(0.0, 1.0), id="zeros", marks=pytest.mark.nightly),
        pytest.param(_newer, id="version", marks=pytest.mark.nightly),
    ],
)
def test_a_mirror_reads_past_what_is_damaged_at_a_member(
    daemon: Daemon, source: Path, tmp_path: Path, spoil: Damage
) -> None:
    """A disk that returns other bytes without an error must not cost what the other one holds whole."""
    (source / "large").write_bytes(os.urandom(5 << 20))
    _pool(daemon, source, "mirror")
    daemon.good("backup", "docs")
    kinds = ("blocks/*/*", "index/*", "snapshots/*/*", "keys/*", "keyring/*")
    for path in [path for kind in kinds for path in (tmp_path / "a").glob(f"r*/{kind}")]:
        spoil(path)
    shutil.rmtree(daemon.home / "state" / "cache")
    document = daemon.json("restore", "docs", "--to", tmp_path / "out")
    assert document["exit"] == 0, document
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
    assert "a has a damaged r" in _warnings(document)
    assert "that of b is read" in _warnings(document)
    daemon.good("destination", "add", "copy", tmp_path / "copy")
    copied = daemon.json("destination", "replicate", "docs", "--from", "pool", "--to", "copy")
    assert copied["exit"] == 0, str(copied["error"])
    assert copied["result"]["snapshots"]["copied"] == 1
    # A check tells which copy is bad, also where all can be read.
    checked = daemon.json("check", "docs")
    assert checked["exit"] == 20, checked
    told = {problem["message"] for problem in checked["result"]["problems"]}
    assert "its copy at a is damaged, another member's is whole" in told, told
    # Where no copy is whole that is damage as elsewhere.
    for name in ("b", "c"):
        for path in (tmp_path / name).glob("r*/blocks/*/*"):
            flip(0.5)(path)
    assert daemon.json("check", "docs", "--crc")["exit"] == 20


@pytest.mark.nightly
def test_nothing_is_stored_in_a_mirror_without_its_lead(daemon: Daemon, source: Path, tmp_path: Path) -> None:
    """Else two hosts that see different members commit different snapshots under one name."""
    _pool(daemon, source, "mirror")
    daemon.good("backup", "docs")
    lost = _lose(tmp_path, "a")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 15
    assert "its lead is away" in document["error"]["message"], document
    _restored(daemon, source, tmp_path / "restored")
    # Another one leads once it is made whole; what the old lead comes back with counts no more.
    daemon.good("destination", "edit", "pool", "--member", "b", "--member", "c")
    assert daemon.json("backup", "docs")["exit"] == 15
    assert daemon.good("destination", "heal", "pool")["whole"]
    (source / "new").write_bytes(b"n" * 100_000)
    daemon.good("backup", "docs")
    assert lost.exists()
    _restored(daemon, source, tmp_path / "again")


def test_a_failover_pool_goes_to_the_next_member(daemon: Daemon, source: Path, tmp_path: Path) -> None:
    """Else there is no backup while the first place is down, or one that needs the first place to be read."""
    _pool(daemon, source, "failover")
    daemon.good("backup", "docs")
    lost = _lose(tmp_path, "a")
    (source / "new").write_bytes(b"n" * 100_000)
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    assert "this run goes to b" in _warnings(document)
    _restored(daemon, source, tmp_path / "one")
    lost.rename(tmp_path / "a")
    # The newest snapshot lies at b; all are shown now, and the next run goes to a again, without an alarm.
    assert len(daemon.good("snapshot", "list", "docs")["snapshots"]) == 2
    (source / "newer").write_bytes(b"m" * 100_000)
    assert daemon.json("backup", "docs")["exit"] == 0
    _lose(tmp_path, "b")
    _restored(daemon, source, tmp_path / "three")


@pytest.mark.nightly
def test_a_spread_pool_says_what_it_can_not_reach(daemon: Daemon, source: Path, tmp_path: Path) -> None:
    """Else what lies at a member that is away looks as if it had never been stored."""
    _pool(daemon, source, "spread")
    daemon.good("backup", "docs")
    for number in range(2):
        (source / f"more{number}").write_bytes(b"%d" % number * 50_000)
        daemon.good("backup", "docs")
    counts = {name: len([*(tmp_path / name).glob("r*/blocks/*/*")]) for name in ("a", "b", "c")}
    assert sorted(counts.values())[1] > 0, counts
    full = max(counts, key=lambda name: counts[name])
    lost = _lose(tmp_path, full)
    document = daemon.json("restore", "docs", "--to", tmp_path / "two")
    assert document["exit"] == 15, document
    lost.rename(tmp_path / full)
    _restored(daemon, source, tmp_path / "three")


def test_members_belong_to_their_pool(daemon: Daemon, source: Path, tmp_path: Path) -> None:
    """Else a member is forgotten, or written past the pool, and what the pool told of it is wrong."""
    _pool(daemon, source, "mirror")
    assert daemon.json("destination", "remove", "b", "--yes")["exit"] == 17
    assert daemon.json("set", "create", "past", "--source", source, "--to", "b")["exit"] == 17
    assert daemon.json("destination", "add", "two", "--pool", "spread", "--member", "a", "--member", "b")["exit"] == 17
    assert daemon.json("destination", "add", "x", "--pool", "spread", "--member", "pool", "--member", "a")["exit"] == 2
    assert daemon.json("destination", "add", "x", "--pool", "spread", "--member", "a")["exit"] == 2
    assert daemon.json("destination", "add", "x", tmp_path / "x", "--pool", "spread", "--member", "a")["exit"] == 2
    assert daemon.json("once", source, "--to", "pool://d" + "0" * 32)["exit"] == 2
    assert daemon.json("destination", "add", "x", "--pool", "mirror", "--member", "a", "--copies", "2")["exit"] == 2
    edited = daemon.good("destination", "edit", "pool", "--pool", "mirror", "--copies", "3", "--dry-run")
    assert edited["destination"]["pool"]["copies"] == 3
    daemon.good("destination", "rename", "b", "disk")
    assert daemon.good("destination", "show", "pool")["destination"]["pool"] == {
        "kind": "mirror", "members": ["a", "disk", "c"], "copies": 2,
    }  # fmt: skip
    tested = daemon.good("destination", "test", "pool", "--quick")
    assert [(one["name"], one["reached"]) for one in tested["members"]] == [("a", True), ("disk", True), ("c", True)]
    exported = daemon.bkctl("config", "export").stdout
    assert b"pool://" not in exported
    again = daemon.json("config", "apply", "-f", "-", stdin=exported)
    assert (again["exit"], again["result"]["changed"]) == (0, False), again
