"""`bkctl once` that reads from snapshots of btrfs: rewritten files, a kill and who comes after it, a refusal."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from tests.support import slow_set
from tests.support.commanded import until
from tests.support.daemon import running_daemon
from tests.support.machine import Machine
from tests.support.mounting import BTRFS_MARKS, btrfs
from tests.support.running import Run

pytestmark = BTRFS_MARKS


@pytest.fixture
def top(tmp_path: Path) -> Generator[Path, None, None]:
    with btrfs(tmp_path / "top", tmp_path / "image") as mounted:
        yield mounted


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "home").mkdir()
    return Machine(tmp_path / "home")


def standing(top: Path) -> list[str]:
    holder = top / SNAPSHOTS_NAME
    return sorted(path.name for path in holder.iterdir()) if holder.exists() else []


def restored(machine: Machine, path: Path) -> bytes:
    out = machine.home / "out"
    words = ("restore", path, "--from", machine.home / "repo", "--to", out, "--overwrite", "always")
    assert machine.json(*words)["exit"] == 0
    return (out / str(path)[1:]).read_bytes()


def killed(machine: Machine, top: Path, name: str) -> str:
    """Name of the snapshot that a run of that set leaves whose processes are killed."""
    words = ("once", top, "--to", machine.home / "repo", "--name", name, "--fs-snapshot", "auto")
    before = standing(top)
    with slow_set.standing_alone(machine, *words) as run:
        (left,) = [one for one in standing(top) if one not in before]
        run.kill()
    run.end()
    assert left in standing(top)
    return left


def test_a_file_rewritten_during_the_run_comes_back_as_of_the_snapshot(top: Path, machine: Machine) -> None:
    path = top / "accounts"
    path.write_bytes(b"as it came")
    repo = machine.home / "repo"
    words = ("once", top, "--to", repo, "--jobs", "1", "--fs-snapshot", "btrfs")
    with slow_set.standing_alone(machine, *words) as run:
        assert len(standing(top)) == 1
        path.write_bytes(b"rewritten during the run")
        (top / "later").write_bytes(b"came during the run")
    document = run.end()
    assert (document["exit"], document["result"]["runs"][0]["files"]["seen"]) == (0, 1)
    assert (restored(machine, path), standing(top)) == (b"as it came", [])
    assert not any((machine.home / "state" / "backupd" / "fs-snapshots" / "once").glob("*"))


def test_what_a_killed_run_left_is_removed_by_the_next_one_and_nothing_else(top: Path, machine: Machine) -> None:
    """Of any set with that state, without the option too; a run that is under way keeps its own."""
    (top / "file").write_bytes(b"some")
    repo = machine.home / "repo"
    left = killed(machine, top, "first")
    mine = top / SNAPSHOTS_NAME / "mine"
    subprocess.run(["btrfs", "subvolume", "create", mine], check=True, capture_output=True)
    words = ("once", top, "--to", repo, "--name", "second", "--fs-snapshot", "auto")
    with slow_set.standing_alone(machine, *words) as run:
        second = standing(top)
        assert left not in second
        assert len(second) == 2
        document = machine.json("once", top / "file", "--to", repo, "--name", "third")
        assert (document["exit"], standing(top)) == (0, second)
    document = run.end()
    assert document["exit"] == 0
    assert standing(top) == ["mine"]


@pytest.mark.nightly
def test_what_a_killed_run_left_without_a_record_goes_by_its_name(top: Path, machine: Machine) -> None:
    """Before the next run of the set: a temporary state is lost with its run."""
    (top / "file").write_bytes(b"some")
    left = killed(machine, top, "home")
    (record,) = (machine.home / "state" / "backupd" / "fs-snapshots" / "once").iterdir()
    record.unlink()
    words = ("once", top, "--to", machine.home / "repo", "--fs-snapshot", "auto", "--name")
    assert (machine.json(*words, "other")["exit"], standing(top)) == (0, [left])
    assert (machine.json(*words, "home")["exit"], standing(top)) == (0, [])


@pytest.mark.nightly
def test_a_daemon_that_does_it_removes_at_its_start_what_was_left(top: Path, tmp_path: Path) -> None:
    """It takes over `once` at a place that it knows."""
    (top / "file").write_bytes(b"some")
    with running_daemon(tmp_path / "home") as daemon:
        daemon.good("destination", "add", "repo", daemon.home / "repo")
        words = ("once", top, "--to", daemon.home / "repo", "--fs-snapshot", "auto")
        with slow_set.standing(daemon, lambda: Run(daemon, *words)) as run:
            assert len(standing(top)) == 1
            slow_set.kill_jobs(daemon)
            daemon.kill()
        run.end()
        assert len(standing(top)) == 1
        daemon.start()
        until(lambda: standing(top) == [])
        assert "left behind" in daemon.said()


def test_where_none_can_be_made_the_option_says_what_then(machine: Machine) -> None:
    source = machine.home / "source"
    source.mkdir(parents=True)
    (source / "file").write_bytes(b"some")
    words = ("once", source, "--to", machine.home / "repo", "--fs-snapshot", "btrfs")
    document = machine.json(*words)
    assert (document["exit"], document["error"]["code"]) == (1, "source.no_fs_snapshot")
    assert "--fs-snapshot-fallback live" in document["error"]["hint"]
    document = machine.json(*words, "--fs-snapshot-fallback", "live")
    assert document["exit"] == 0
    assert any("read as it is" in warning for warning in document["warnings"])
    dry = machine.json(*words, "--dry-run")
    assert (dry["exit"], dry["error"]["code"]) == (1, "source.no_fs_snapshot"), "what is sure to fail a dry run says"
