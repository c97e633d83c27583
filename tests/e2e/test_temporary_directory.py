"""Where jobs put aside what they need: as settings say, gone afterwards, and never a reason for no backup."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.errors import StateError, StateFullError
from backupd.model.destination_orders import DestinationHealOrder
from backupd.model.orders import CheckOrder, InfoOrder, Order, ReplicateOrder
from backupd.operations import temporary
from backupd.operations.context import JobContext
from backupd.operations.temporary import Wish, temporary_directory
from backupd.settings import directories, private_directories
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import Machine
from tests.support.mounting import tmpfs


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    above = tmp_path_factory.mktemp("d")
    (above / "usual").mkdir()
    (above / "source").mkdir()
    (above / "source" / "a").write_bytes(b"a")
    with running_daemon(above / "home", settings=f"temp: {above / 'usual'}\n") as started:
        started.good("set", "create", "docs", "--source", above / "source", "--to", above / "place")
        yield started


def _warnings(daemon: Daemon, *words: str) -> list[str]:
    document = daemon.json("backup", "docs", *words)
    assert document["exit"] == 0, document
    warnings: list[str] = document["warnings"]
    return [one for one in warnings if "temporary directory" in one]


def _look_at(directory: Path) -> int:
    """When anything in a directory last came or went."""
    return directory.stat().st_mtime_ns


def test_runs_use_the_sets_directory_else_the_daemons(daemon: Daemon) -> None:
    above = daemon.home.parent
    usual, own = above / "usual", above / "own"
    own.mkdir(exist_ok=True)
    before = _look_at(usual)
    _warnings(daemon)
    assert _look_at(usual) > before, "something was made there"
    before, before_own = _look_at(usual), _look_at(own)
    daemon.good("set", "edit", "docs", "--temp-dir", own)
    _warnings(daemon)
    assert (_look_at(usual), _look_at(own) > before_own) == (before, True)
    assert (os.listdir(usual), os.listdir(own)) == ([], []), "all is gone afterwards"


def test_a_directory_that_is_not_here_is_done_without(daemon: Daemon) -> None:
    """A set's settings go from machine to machine: a path that only one of them has must stop no backup."""
    assert daemon.good("set", "edit", "docs", "--temp-dir", "/nowhere/at/all")["set"]["temp_dir"] == "/nowhere/at/all"
    warnings = _warnings(daemon)
    assert len([one for one in warnings if "another one is taken" in one and "/nowhere/at/all" in one]) == 1
    assert daemon.good("set", "edit", "docs", "--temp-dir", "")["set"]["temp_dir"] is None
    assert daemon.json("config", "set", "temp", "not/absolute")["exit"] == 2


def test_one_that_a_command_names_has_to_be_usable(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home")
    (tmp_path / "source").mkdir()
    (tmp_path / "scratch").mkdir()
    before = _look_at(tmp_path / "scratch")
    words = ("once", tmp_path / "source", "--to", tmp_path / "place", "--temp-dir")
    assert machine.json(*words, tmp_path / "none")["exit"] == 1
    assert not (tmp_path / "place").exists()
    assert machine.json(*words, tmp_path / "scratch")["exit"] == 0
    assert _look_at(tmp_path / "scratch") > before
    assert os.listdir(tmp_path / "scratch") == []


def test_a_directory_is_private_and_dead_ones_are_removed(tmp_path: Path) -> None:
    """What lies there is unencrypted, and would fill the disk kill by kill."""
    wishes = [Wish(str(tmp_path), is_strict=True)]
    living, _ = temporary_directory(wishes, "docs-usb")
    assert living is not None
    assert Path(living.path).name.startswith("backupd-docs-usb-")
    assert Path(living.path).stat().st_mode & 0o777 == 0o700
    dead, _ = temporary_directory(wishes, "docs-usb")
    assert dead is not None
    os.close(dead._fd)
    (Path(dead.path) / "block").write_bytes(b"left")
    (tmp_path / "backupd-of-a-user").mkdir()
    third, _ = temporary_directory(wishes, "docs-usb")
    assert third is not None
    assert (Path(living.path).exists(), Path(dead.path).exists()) == (True, False)
    assert (tmp_path / "backupd-of-a-user").exists(), "only what holds a lock of ours is ours"
    living.remove()
    third.remove()
    assert os.listdir(tmp_path) == ["backupd-of-a-user"]


def test_a_directory_that_is_just_made_is_nobodys_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two jobs that began at one moment one would have lost its directory, and ended with an error."""
    real = fcntl.flock
    seen: list[int] = []

    def another_job_looks(fd: int, how: int) -> None:
        if not seen:
            seen.append(fd)
            private_directories.remove_dead(str(tmp_path))
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", another_job_looks)
    made, _ = temporary_directory([Wish(str(tmp_path), is_strict=True)], "docs")
    assert made is not None
    assert (len(seen), os.listdir(made.path)) == (1, ["lock"])
    made.remove()


@pytest.mark.parametrize("kind", [CheckOrder, ReplicateOrder, DestinationHealOrder, InfoOrder])
def test_all_jobs_use_the_daemons(kind: Callable[..., Order], tmp_path: Path) -> None:
    """Else rclone's copies of a check's objects fill the system's disk, although settings name another one."""
    more = {"to": "/elsewhere"} if kind is ReplicateOrder else {}
    order = kind(place="/place", usual_temporary=str(tmp_path), **more)
    environ = {"HOME": str(tmp_path / "home")}
    context = JobContext(order, SystemClock(), Cancel(), environ, directories.find(environ), lambda _: None)
    with temporary.chosen(order, context):
        assert Path(tempfile.gettempdir()).parent == tmp_path
    assert not [*tmp_path.glob("backupd-*")], "all is gone afterwards"


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mount", "umount")
def test_what_is_small_or_open_to_others_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    last = Wish(str(tmp_path / "good"), is_strict=True)
    with tmpfs(tmp_path / "small", "20m") as small, tmpfs(tmp_path / "memory", "200m") as memory:
        with pytest.raises(StateFullError):
            temporary_directory([Wish(str(small), is_strict=True)], "x")
        found, warnings = temporary_directory([Wish(str(small), is_strict=False), last], "x")
        assert found is not None
        assert found.path.startswith(str(tmp_path / "good"))
        assert "are needed at least" in warnings[0]
        found.remove()
        found, warnings = temporary_directory([Wish(str(memory), is_strict=True)], "x")
        assert found is not None
        assert "lies in memory" in warnings[0]
        found.remove()
        assert any("system's own disk" in one for one in temporary._remarks("/"))
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StateError, match="others can write"):
        temporary_directory([Wish(str(tmp_path / "open"), is_strict=True)], "x")
    assert temporary_directory([Wish(str(tmp_path / "open"), is_strict=False)], "x")[0] is None
