"""Sets whose runs read from snapshots of btrfs, with a real daemon: rewritten files, a kill, the service's rights."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from tests.support import slow_set
from tests.support.commanded import until
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import TOP
from tests.support.mounting import BTRFS_MARKS, btrfs
from tests.support.unit_cage import Unit

pytestmark = BTRFS_MARKS
UNITS = TOP / "systemd"


@pytest.fixture
def top(tmp_path: Path) -> Generator[Path, None, None]:
    with btrfs(tmp_path / "top", tmp_path / "image") as mounted:
        yield mounted


def make(daemon: Daemon, source: Path, **more: Any) -> None:
    """A set of that source, called `home`, whose runs read from snapshots."""
    text = {"name": "home", "sources": [str(source)], "to": ["repo"], "jobs": 1, "fs_snapshot": "btrfs", **more}
    places = [{"name": "repo", "place": str(daemon.home / "repo")}]
    document = json.dumps({"destinations": places, "sets": [text]}).encode()
    daemon.good("config", "apply", "-f", "-", stdin=document)


def standing(top: Path) -> list[str]:
    holder = top / SNAPSHOTS_NAME
    return sorted(os.listdir(holder)) if holder.exists() else []


def restored(daemon: Daemon, path: Path) -> bytes:
    out = daemon.home / "out"
    daemon.good("restore", "home", path, "--to", out, "--overwrite", "always")
    return (out / str(path)[1:]).read_bytes()


def test_a_file_rewritten_during_the_run_comes_back_as_of_the_snapshot(top: Path, tmp_path: Path) -> None:
    """It is made after the commands before the run and gone before those after it."""
    path, seen = top / "accounts", tmp_path / "seen"
    path.write_bytes(b"as it came")
    look = f"ls {top}/{SNAPSHOTS_NAME} >> {seen}; echo after >> {seen}"
    commands = [
        {"name": "freeze", "when": "pre", "shell": f"echo frozen > {path}"},
        {"name": "thaw", "when": "success", "shell": look},
    ]
    with running_daemon(tmp_path / "home") as daemon:
        make(daemon, top, commands=commands)
        with slow_set.begun(daemon, "home") as job:
            assert len(standing(top)) == 1
            path.write_bytes(b"rewritten during the run")
            (top / "later").write_bytes(b"came during the run")
        until(lambda: slow_set.job(daemon, job)["exit"] is not None)
        ended = slow_set.job(daemon, job)
        assert (ended["exit"], ended["result"]["runs"][0]["files"]["seen"]) == (0, 1)
        assert restored(daemon, path) == b"frozen\n"
        assert (seen.read_text(), standing(top)) == ("after\n", [])
        assert (daemon.json("backup", "home", "--dry-run")["exit"], standing(top)) == (0, [])
        (tmp_path / "plain").mkdir()
        make(daemon, tmp_path / "plain")
        dry = daemon.json("backup", "home", "--dry-run")
        assert (dry["exit"], dry["error"]["code"]) == (1, "source.no_fs_snapshot"), "as its run would end"


def test_what_a_killed_daemon_left_is_gone_once_the_next_one_stands(top: Path, tmp_path: Path) -> None:
    """And the run goes on under a snapshot of its own; what looks like one of ours and is none stays."""
    slow_set.fill(top / "data", 4)
    (top / "data" / "mine").write_bytes(b"first")
    with running_daemon(tmp_path / "home") as daemon:
        make(daemon, top / "data")
        with ExitStack() as stack:
            stack.enter_context(slow_set.begun(daemon, "home"))
            (left,) = standing(top)
            mine = top / SNAPSHOTS_NAME / "backupd-mine"
            subprocess.run(["btrfs", "subvolume", "create", mine], check=True, capture_output=True)
            assert daemon.process is not None
            slow_set.kill_jobs(daemon)
            daemon.kill()
            stack.pop_all()
        assert left in standing(top)
        daemon.start()
        until(lambda: left not in standing(top), 60)
        until(lambda: f"left behind: {left}" in daemon.said())
        daemon.good("backup", "home", "--if-running", "wait")
        assert standing(top) == ["backupd-mine"]
        assert restored(daemon, top / "data" / "mine") == b"first"


@pytest.mark.needs("systemd-analyze")
@pytest.mark.nightly
def test_the_drop_in_gives_the_rights_and_the_bare_unit_says_what_is_missing(top: Path, tmp_path: Path) -> None:
    """By rule a run is made all the same; the report names what was read while it could change."""
    service, drop_in = UNITS / "backupd.service", UNITS / "drop-ins" / "fs-snapshots.conf"
    (top / "file").write_bytes(b"some")
    daemon = Daemon(tmp_path / "home")
    for files in ((service, drop_in), (service,)):
        daemon.prefix = Unit(*files).prefix()
        daemon.start()
        make(daemon, top)
        document = daemon.json("backup", "home")
        if drop_in in files:
            assert document["exit"] == 0, document
        else:
            assert (document["exit"], document["error"]["code"]) == (1, "source.fs_snapshot_right")
            assert "bkctl daemon install --with fs-snapshots" in document["error"]["hint"]
            make(daemon, top, fs_snapshot_fallback="live")
            document = daemon.json("backup", "home")
            assert document["exit"] == 0
            assert "read as it is" in document["warnings"][0]
        daemon.stop()
    assert standing(top) == []
