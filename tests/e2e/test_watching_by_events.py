"""A real daemon that watches as on macOS, by the library watchfiles: it has another way to the system's events here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon, watch_by_events
from tests.support.ledger import hash_tree
from tests.support.running import children

pytestmark = [pytest.mark.platform("linux"), pytest.mark.nightly]


def _listeners(daemon: Daemon) -> list[int]:
    assert daemon.process is not None
    below = [pid for job in children(daemon.process.pid) for pid in children(job)]
    return [pid for pid in below if _listens(pid)]


def _listens(pid: int) -> bool:
    try:
        return b"backupd.watcher" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def _backups(daemon: Daemon) -> list[str]:
    """Their ids, the newest first; empty while one is under way."""
    jobs = [job for job in daemon.good("job", "list")["jobs"] if job["kind"] == "backup"]
    assert {job["state"] for job in jobs} <= {"queued", "running", "completed"}, jobs
    return [] if any(job["state"] != "completed" for job in jobs) else [job["id"] for job in jobs]


def test_storms_end_in_what_the_source_holds(tmp_path: Path) -> None:
    """Files and directories renamed again and again, a tree that is moved in, one made anew, quick edits."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a" / "b").mkdir(parents=True)
    (source / "gone" / "below").mkdir(parents=True)
    (source / "gone" / "below" / "old").write_text("old")
    for number in range(30):
        (source / "a" / f"f{number}").write_text(f"{number}")
    (tmp_path / "other" / "x" / "y").mkdir(parents=True)
    (tmp_path / "other" / "x" / "y" / "file").write_text("moved in")
    pace = {"quiet": "1s", "longest": "10s", "shortest": "0s"}
    text = {
        "destinations": [{"name": "place", "place": str(tmp_path / "place")}],
        "sets": [{"name": "docs", "sources": [str(source)], "to": ["place"], "jobs": 1, "continuous": pace}],
    }
    watch_by_events(tmp_path / "home")
    with running_daemon(tmp_path / "home") as daemon:
        daemon.good("set", "apply", "-f", "-", stdin=json.dumps(text).encode())
        slow_set.wait_for(lambda: len(_backups(daemon)) == 1, 30)
        assert len(_listeners(daemon)) == 1
        for number in range(60):
            (source / "a" / f"f{number % 30}").rename(source / "a" / "b" / "moving")
            (source / "a" / "b").rename(source / "a" / "c")
            (source / "a" / "c" / "moving").rename(source / "a" / f"f{number % 30}")
            (source / "a" / "c").rename(source / "a" / "b")
            (source / "a" / f"f{number % 7}").write_text(f"edit {number}")
        (tmp_path / "other").rename(source / "in")
        shutil.rmtree(source / "gone")
        (source / "gone" / "below").mkdir(parents=True)
        (source / "gone" / "below" / "new").write_text("new")

        slow_set.wait_for(lambda: len(_backups(daemon)) > 1, 40)

        def is_last_by_changes() -> bool:
            (source / "in" / "x" / "late").write_text("one more")
            before = len(_backups(daemon))
            slow_set.wait_for(lambda: len(_backups(daemon)) > before, 40)
            return "begun by changes (directories: 1)" in json.dumps(daemon.good("job", "log", _backups(daemon)[0]))

        # Else it could as well have watched nothing.
        slow_set.wait_for(is_last_by_changes, 60)
        daemon.good("restore", "docs", "--to", target, "--strip")
        assert hash_tree(target / "source") == hash_tree(source)
        assert daemon.json("status")["warnings"] == []
        (listener,) = _listeners(daemon)
    slow_set.wait_for(lambda: not _listens(listener), 10)
