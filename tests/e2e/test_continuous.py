"""Sets whose sources are watched, by a real daemon: each save becomes a version, and nothing begins without one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon, watch_by_events
from tests.support.ledger import hash_tree
from tests.support.running import children

pytestmark = pytest.mark.platform("linux")

_QUIET_SECONDS = 1
_PACE = {"quiet": "1s", "longest": "10s", "shortest": "0s"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    found = tmp_path / "source"
    (found / "deep" / "deeper").mkdir(parents=True)
    (found / "letter").write_text("dear")
    return found


@pytest.fixture(params=["inotify", pytest.param("watchfiles", marks=pytest.mark.nightly)])
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Daemon, None, None]:
    """One that watches as on Linux, by night also one that does as on macOS."""
    if request.param == "watchfiles":
        watch_by_events(tmp_path / "home")
    with running_daemon(tmp_path / "home") as started:
        yield started


def _text(daemon: Daemon, source: Path, **more: Any) -> bytes:
    place = {"name": "place", "place": str(daemon.home.parent / "place")}
    text = {"name": "docs", "sources": [str(source)], "to": ["place"], "jobs": 1, "continuous": _PACE, **more}
    return json.dumps({"destinations": [place], "sets": [text]}).encode()


def _watch(daemon: Daemon, source: Path, **more: Any) -> None:
    """A watched set, when its first run has ended."""
    daemon.good("set", "apply", "-f", "-", stdin=_text(daemon, source, **more))
    slow_set.wait_for(lambda: _ended(daemon) == 1, 30)


def _backups(daemon: Daemon) -> list[dict[str, Any]]:
    return [job for job in daemon.good("job", "list")["jobs"] if job["kind"] == "backup"]


def _watchers(daemon: Daemon) -> list[int]:
    assert daemon.process is not None
    return [pid for pid in children(daemon.process.pid) if b"backupd.job" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _ended(daemon: Daemon) -> int:
    jobs = _backups(daemon)
    assert {job["state"] for job in jobs} <= {"queued", "running", "completed"}, jobs
    return sum(job["state"] == "completed" for job in jobs)


def _wait_for_run(daemon: Daemon, count: int, *, is_last: bool = False) -> None:
    """Until so many runs have ended; is_last: and no other one begins."""
    try:
        slow_set.wait_for(lambda: _ended(daemon) >= count, 30)
    except AssertionError:
        raise AssertionError(f"{_backups(daemon)} {daemon.said()}") from None
    if is_last:
        time.sleep(2 * _QUIET_SECONDS)
        assert _ended(daemon) == count, "something begins runs by itself"


def _listed(daemon: Daemon) -> set[str]:
    return {entry["path"] for entry in daemon.good("snapshot", "ls", "docs", "--recursive")["entries"]}


def test_each_change_is_stored_soon_and_nothing_else_begins_a_run(daemon: Daemon, source: Path) -> None:
    """What the daemon writes itself lies in the source here: else each run would begin the next one."""
    top = daemon.home.parent
    _watch(daemon, top, filters=[{"exclude": "*.tmp"}])
    (source / "note.tmp").write_text("left out")
    time.sleep(2 * _QUIET_SECONDS)
    assert _ended(daemon) == 1
    changed = time.monotonic()
    (source / "deep" / "deeper" / "new").write_text("content")
    slow_set.wait_for(lambda: _ended(daemon) == 2, 30)
    assert time.monotonic() - changed < 30
    assert str(source / "deep" / "deeper" / "new") in _listed(daemon)
    assert "begun by changes (directories: 1)" in json.dumps(daemon.good("job", "log", _backups(daemon)[0]["id"]))
    assert daemon.good("status")["sets"][0]["grade"]["automatic"] is True
    _wait_for_run(daemon, 2, is_last=True)


def test_a_source_by_a_link_and_paths_in_it_lose_no_change(daemon: Daemon, source: Path) -> None:
    """Runs walk real paths, and take in all of the sources: what is told has to fit both."""
    link = source.parent / "link"
    link.symlink_to(source.parent)
    _watch(daemon, link / "source", continuous={**_PACE, "paths": [str(link / "source" / "deep")]})
    (source / "letter").write_text("nobody watches this")
    (source / "deep" / "first").write_text("1")
    _wait_for_run(daemon, 2)
    daemon.good("set", "apply", "-f", "-", stdin=_text(daemon, link / "source"))
    _wait_for_run(daemon, 3)
    (source / "deep" / "deeper" / "second").write_text("2")
    _wait_for_run(daemon, 4)
    target = source.parent / "target"
    daemon.good("restore", "docs", "--to", target, "--strip")
    assert hash_tree(target / "source") == hash_tree(source)


def test_directories_that_come_move_and_go_are_followed(daemon: Daemon, source: Path) -> None:
    """Else what is saved in a new directory is watched by nobody."""
    _watch(daemon, source)
    (source / "one" / "two").mkdir(parents=True)
    (source / "one" / "two" / "file").write_text("a")
    _wait_for_run(daemon, 2)
    (source / "one").rename(source / "deep" / "moved")
    _wait_for_run(daemon, 3)
    (source / "deep" / "moved" / "two" / "file").write_text("b")
    (source / "deep" / "moved" / "two" / "\udcff").write_text("a name that is no UTF-8")
    _wait_for_run(daemon, 4)
    shutil.rmtree(source / "deep")
    _wait_for_run(daemon, 5)
    shutil.rmtree(source)
    source.mkdir()
    (source / "again").write_text("it came back")
    slow_set.wait_for(lambda: str(source / "again") in _listed(daemon), 30)
    assert _listed(daemon) == {str(source / "again")}


def test_another_directory_in_the_place_of_one_above_is_noticed(daemon: Daemon, source: Path) -> None:
    """Nothing that is watched changes by that, and the old tree would be stored for ever."""
    above = source.parent / "above"
    (above / "html").mkdir(parents=True)
    (above / "html" / "page").write_text("old")
    _watch(daemon, above / "html")
    new = source.parent / "new"
    (new / "html").mkdir(parents=True)
    (new / "html" / "page").write_text("new")
    above.rename(source.parent / "old")
    new.rename(above)
    _wait_for_run(daemon, 2)
    target = source.parent / "target"
    daemon.good("restore", "docs", "--to", target, "--strip")
    assert (target / "html" / "page").read_text() == "new"


def test_a_watcher_that_dies_is_followed_by_another_and_a_look_at_everything(daemon: Daemon, source: Path) -> None:
    """What changed while nobody watched is stored, too; a set that is continuous no more is left alone."""
    _watch(daemon, source)
    (watcher,) = _watchers(daemon)
    os.kill(watcher, signal.SIGSTOP)
    (source / "unseen").write_text("while it stood still")
    os.kill(watcher, signal.SIGKILL)
    _wait_for_run(daemon, 2)
    assert str(source / "unseen") in _listed(daemon)
    daemon.good("set", "edit", "docs", "--not-continuous")
    slow_set.wait_for(lambda: not _watchers(daemon), 10)
    (source / "letter").write_text("nobody looks")
    time.sleep(2 * _QUIET_SECONDS)
    assert _ended(daemon) == 2


def test_many_edits_and_a_killed_daemon_end_in_what_the_source_holds(
    daemon: Daemon, source: Path, tmp_path: Path
) -> None:
    """The newest snapshot is the source, whatever was edited, renamed and killed meanwhile."""
    _watch(daemon, source)
    random = Random(7)
    for number in range(200):
        path = source / f"d{random.randrange(5)}" / f"f{random.randrange(20)}"
        path.parent.mkdir(exist_ok=True)
        if random.random() < 0.7:
            path.write_bytes(random.randbytes(random.randrange(5000)))
        elif path.exists():
            path.rename(path.with_name(f"g{number}"))
        if number == 100:
            daemon.kill()
            daemon.start()
        time.sleep(0.01)
    wanted = hash_tree(source)
    target = tmp_path / "target"

    def is_stored() -> bool:
        if any(job["state"] in ("queued", "running") for job in _backups(daemon)):
            return False
        shutil.rmtree(target, ignore_errors=True)
        daemon.good("restore", "docs", "--to", target, "--strip")
        return hash_tree(target / source.name) == wanted

    slow_set.wait_for(is_stored, 40)
    assert hash_tree(source) == wanted
