"""The catalog is never the only truth: without it sets go on where they were, with the key."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    for number in range(50):
        (source / "d" / str(number)).write_bytes(b"%d" % number * 5000)
    with running_daemon(tmp_path / "home") as started:
        _create(started, tmp_path)
        started.good("backup", "docs")
        yield started


def _create(daemon: Daemon, tmp_path: Path) -> None:
    places = ("--to", tmp_path / "one", "--to", tmp_path / "two")
    daemon.good("set", "create", "docs", "--source", tmp_path / "source", *places, "--jobs", "1")


def _lose(daemon: Daemon, *, keeps_keys: bool) -> dict[str, bytes]:
    """Everything but, perhaps, the keys; gives the keys."""
    daemon.stop()
    keys = {path.name: path.read_bytes() for path in (daemon.state / "keys").iterdir()}
    shutil.rmtree(daemon.state)
    if keeps_keys:
        _put_back(daemon, keys)
    daemon.start()
    return keys


def _put_back(daemon: Daemon, keys: dict[str, bytes]) -> None:
    folder = daemon.state / "keys"
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    folder.parent.chmod(0o700)
    for name, data in keys.items():
        (folder / name).write_bytes(data)


def test_a_set_of_the_same_name_and_place_goes_on_with_its_history(daemon: Daemon, tmp_path: Path) -> None:
    """Else a lost disk of the machine costs all history, or fills the place with a second copy of everything."""
    before = daemon.good("set", "list")["sets"][0]["id"]
    _lose(daemon, keeps_keys=True)
    assert daemon.good("set", "list")["sets"] == []
    _create(daemon, tmp_path)
    (tmp_path / "source" / "new").write_text("new")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    assert any("taken over" in warning for warning in document["warnings"]), document["warnings"]
    run = document["result"]["runs"][0]
    assert run["set_id"] == before
    assert run["bytes"]["new"] < 50_000, "nothing is stored a second time"
    for name in ("one", "two"):
        assert len(list((tmp_path / name).glob("r*"))) == 1
        snapshots = daemon.good("snapshot", "list", "docs", "--from", name)["snapshots"]
        assert len(snapshots) == 2
    daemon.good("restore", "docs", "--from", "two", "--to", tmp_path / "out")
    source = tmp_path / "source"
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []


def test_the_key_may_be_put_back_later(daemon: Daemon, tmp_path: Path) -> None:
    """A key file that comes back from a safe after the daemon was set up again opens the old history, too."""
    keys = _lose(daemon, keeps_keys=False)
    _create(daemon, tmp_path)
    _put_back(daemon, keys)
    assert daemon.json("backup", "docs")["exit"] == 0
    assert len(list((tmp_path / "one").glob("r*"))) == 1
    assert len(daemon.good("snapshot", "list", "docs")["snapshots"]) == 2


def test_sets_of_conf_d_come_back_by_themselves(daemon: Daemon, tmp_path: Path) -> None:
    """The machine is installed anew from its settings; nobody remembers `set create`."""
    (daemon.config / "conf.d").mkdir(exist_ok=True)
    (daemon.config / "conf.d" / "sets.yaml").write_bytes(daemon.bkctl("config", "export").stdout)
    _lose(daemon, keeps_keys=True)
    assert [one["name"] for one in daemon.good("set", "list")["sets"]] == ["docs"]
    assert daemon.json("backup", "docs")["exit"] == 0
    assert len(daemon.good("snapshot", "list", "docs")["snapshots"]) == 2
