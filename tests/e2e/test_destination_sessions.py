"""`destination sessions` (DESIGN 8.2): who writes is seen, one who is gone can be ended, and commits nothing then."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import Machine


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "home") as started:
        started.good("destination", "add", "disk", tmp_path / "place")
        yield started


def _only(daemon: Daemon) -> dict[str, Any]:
    sessions = daemon.good("destination", "sessions", "disk")["sessions"]
    assert len(sessions) == 1, sessions
    found: dict[str, Any] = sessions[0]
    return found


def _ended(daemon: Daemon, job: str) -> dict[str, Any]:
    document = daemon.json("job", "wait", job)
    assert (document["exit"], document["error"]["code"]) == (17, "conflict"), document
    assert "ended its session" in document["error"]["message"] or "dropped" in document["error"]["message"]
    return document


def _next_is_whole(daemon: Daemon, source: Path, out: Path) -> None:
    document = daemon.json("backup", "slow")
    assert document["exit"] == 0, document
    listed = daemon.good("snapshot", "list", "slow", "--incomplete")["snapshots"]
    assert [one["incomplete"] for one in listed] == [False]
    daemon.good("restore", "slow", "--to", out)
    assert compare_trees(source, out / str(source)[1:]) == []
    assert daemon.good("destination", "sessions", "disk")["sessions"] == []


def test_a_held_writer_whose_session_was_revoked_does_not_commit(daemon: Daemon, tmp_path: Path) -> None:
    """Else freeing, which waited for nobody any more, has deleted what that snapshot says is stored."""
    source = slow_set.make(daemon, "slow", tmp_path / "place", mib=2)
    with slow_set.begun(daemon, "slow") as job:
        slow_set.wait_until_announced(tmp_path / "place")
        found = _only(daemon)
        assert (found["snapshot_state"], found["holds_back_freeing"], found["has_checkpoint"]) == ("open", True, False)
        asked = daemon.json("destination", "sessions", "disk", "--revoke", found["short"])
        assert (asked["exit"], asked["error"]["context"]["confirm"]) == (22, found["short"]), asked
        assert _only(daemon)["snapshot_state"] == "open"
        confirmed = ("--revoke", found["id"], "--confirm", found["short"])
        revoked = daemon.good("destination", "sessions", "disk", *confirmed)
        assert (revoked["session"]["id"], revoked["partial"]) == (found["id"], None)
        assert daemon.good("destination", "sessions", "disk")["sessions"] == []
    _ended(daemon, job)
    assert daemon.good("snapshot", "list", "--incomplete", "--from", "disk")["snapshots"] == []
    daemon.good("backup", "slow")
    daemon.good("restore", "slow", "--to", tmp_path / "out")
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []


@pytest.mark.nightly
def test_its_last_checkpoint_stays_as_a_partial_snapshot(daemon: Daemon, tmp_path: Path) -> None:
    """Else the hours of a host that died for good are lost with it. Another host does it, with the key alone."""
    source = slow_set.make(daemon, "slow", tmp_path / "place", mib=4)
    with slow_set.begun(daemon, "slow") as job:
        slow_set.wait_until_announced(tmp_path / "place")
        daemon.good("job", "pause", job)
    slow_set.wait_for(lambda: any((tmp_path / "place").glob("*/sessions/*/00000002")))
    key = next(daemon.home.rglob("r*.key"))
    other = Machine(tmp_path / "other")
    words = ("destination", "sessions", tmp_path / "place", "--password-file", key)
    listed = other.json(*words)
    assert listed["exit"] == 0, listed
    found = listed["result"]["sessions"][0]
    assert (found["set"], found["has_checkpoint"], found["announcements"]) == ("slow", True, 2)
    revoked = other.json(*words, "--revoke", found["short"], "--yes")
    assert (revoked["exit"], revoked["result"]["partial"]) == (0, found["id"]), revoked
    partial = daemon.good("snapshot", "list", "slow", "--incomplete")["snapshots"]
    assert [(one["id"], one["incomplete"]) for one in partial] == [(found["id"], True)]
    daemon.good("job", "resume", job)
    _ended(daemon, job)
    again = daemon.good("snapshot", "list", "slow", "--incomplete")["snapshots"]
    assert [(one["id"], one["incomplete"]) for one in again] == [(found["id"], True)], "nobody committed over it"
    _next_is_whole(daemon, source, tmp_path / "out")
    missing = daemon.json("destination", "sessions", "disk", "--revoke", "s1234", "--yes")
    assert missing["exit"] == 10, missing
    assert "Nobody writes there." in daemon.bkctl("destination", "sessions", "disk").stdout.decode()
