"""Sets, snapshots and places as people name them, found by the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="module")
def above(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where source and places lie."""
    return tmp_path_factory.mktemp("above")


@pytest.fixture(scope="module")
def daemon(above: Path) -> Iterator[Daemon]:
    """With a set `home` that is stored at two places."""
    source = above / "source"
    source.mkdir()
    (source / "letter").write_text("dear")
    with running_daemon(above / "daemon") as found:
        first, second = str(above / "first"), str(above / "second")
        found.json("set", "create", "home", "--source", str(source), "--to", first, "--to", second)
        assert found.json("backup", "home")["exit"] == 0
        yield found


def test_a_snapshot_is_found_by_its_id_alone(daemon: Daemon) -> None:
    """Else who reads an id in a report has to find out where it lies first."""
    snapshot = daemon.json("snapshot", "list", "home")["result"]["snapshots"][0]["id"]
    assert daemon.json("snapshot", "show", snapshot[:10])["result"]["id"] == snapshot


def test_a_one_shot_at_a_place_of_the_daemon_uses_its_keys(daemon: Daemon, above: Path) -> None:
    """Else root's own one-shot is refused at the machine's place for want of a key, or makes a second repository."""
    document = daemon.json("once", str(above / "source"), "--to", str(above / "first"), "--name", "extra")
    assert document["exit"] == 0, document
    assert len([*(above / "first").glob("r*")]) == 1
    names = {one["set"] for one in daemon.json("snapshot", "list", "--from", "first")["result"]["snapshots"]}
    assert names == {"home", "extra"}


def test_a_renamed_set_is_found_by_its_new_name_before_its_next_run(daemon: Daemon, tmp_path: Path) -> None:
    """Else a rename makes all that was stored so far unreachable until the next backup."""
    daemon.json("set", "rename", "home", "house")
    document = daemon.json("restore", "house", "--strip", "--to", str(tmp_path / "out"))
    assert document["exit"] == 0, document
    assert [path.read_text() for path in (tmp_path / "out").rglob("letter")] == ["dear"]
    assert len(daemon.json("snapshot", "list", "house")["result"]["snapshots"]) == 1
    daemon.good("set", "rename", "house", "home")


def test_a_check_looks_at_every_place_of_a_set(daemon: Daemon, above: Path) -> None:
    """Else the second copy rots unseen, and is found rotten on the day the first one is lost."""
    document = daemon.json("check", "home", "--crc")
    assert (document["exit"], len(document["result"]["checks"])) == (0, 2)
    block = next(path for path in (above / "second").glob("r*/blocks/*/*"))
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 1
    block.write_bytes(data)
    document = daemon.json("check", "--crc")
    assert document["exit"] == 20
    assert document["result"]["problems"]
    assert [one["problems"] == [] for one in document["result"]["checks"]] == [True, False]
