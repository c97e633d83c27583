"""States of single files on a real daemon: `job show --files`, `watch --files` (FEATURES 6.6)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import wsgiref
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.mounting import tmpfs

MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as started:
        yield started


def files(daemon: Daemon, job: str, *words: str) -> list[dict[str, Any]]:
    """States as JSON shows them."""
    found: list[dict[str, Any]] = daemon.good("job", "show", job, "--files", *words)["files"]
    return found


def text(daemon: Daemon, *words: str) -> str:
    """What a person reads."""
    return daemon.bkctl(*words).stdout.decode()


def states(daemon: Daemon, job: str, source: Path, *words: str) -> dict[str, tuple[str, str | None]]:
    """(state, reason) of each path below the source."""
    return {
        os.path.relpath(one["path"], source) + "/" * one["path"].endswith("/"): (one["state"], one["reason"])
        for one in files(daemon, job, *words)
    }


def test_each_file_has_its_state_and_why(daemon: Daemon) -> None:
    """Else nobody can say whether one file is in a backup without listing all of it."""
    source = daemon.home / "source"
    (source / "kept").mkdir(parents=True)
    for number in range(3):
        (source / "kept" / f"{number}").write_text(f"{number}")
    (source / "edited").write_text("before")
    (source / "notes.tmp").write_text("scratch")
    (source / "large").write_bytes(os.urandom(20 * MIB))
    (source / "line\nbreak\x1b[31m").write_text("odd")
    (source / os.fsdecode(b"\xff")).write_text("odd")
    os.utime(source / "edited", ns=(1, 1))
    # After a pool the sources are read again; a second directory would be filled from the first.
    for name in ("a", "b", "two"):
        daemon.good("destination", "add", name, daemon.home / name)
    daemon.good("destination", "add", "one", "--pool", "failover", "--member", "a", "--member", "b")
    daemon.good(
        "set", "create", "all", "--source", source, "--source", daemon.home / "absent", "--to", "one", "--to", "two",
        "--exclude", "*.tmp",
    )
    first = daemon.json("backup", "all")
    assert first["exit"] == 3, "one source is not there"
    job = first["result"]["runs"][0]["job"]
    found = files(daemon, job)
    for destination in {one["destination"] for one in found}:
        here = {one["path"]: one for one in found if one["destination"] == destination}
        assert here[str(source / "notes.tmp")]["state"] == "left_out"
        assert here[str(source / "notes.tmp")]["reason"] == "--exclude *.tmp"
        assert here[str(daemon.home / "absent")]["state"] == "failed"
        assert here[str(daemon.home / "absent")]["reason"] == "does not exist"
        stored = {path for path, one in here.items() if one["state"] == "stored"}
        names = ["kept/0", "kept/1", "kept/2", "edited", "large", "line\nbreak\x1b[31m", "\\xff"]
        assert stored == {str(source / name) for name in names}
    assert len({one["destination"] for one in found}) == 2
    (odd,) = {one["path_b64"] for one in found if "path_b64" in one}
    assert base64.b64decode(odd) == os.fsencode(source) + b"/\xff"

    (source / "edited").write_text("after")
    job = daemon.json("backup", "all")["result"]["runs"][0]["job"]
    now = states(daemon, job, source)
    assert now["edited"] == ("stored", None)
    assert set(states(daemon, job, source, "--state", "stored")) == {"edited"}
    assert set(states(daemon, job, source, "--state", "left_out,failed")) == {"notes.tmp", "../absent"}


def test_a_directory_with_nothing_new_is_one_state(daemon: Daemon) -> None:
    """Else a run in which nothing changed takes the time and space of naming a million files."""
    # Older than a minute: what is younger is looked at one by one.
    source = Path(wsgiref.__file__).resolve().parent
    daemon.good("set", "create", "old", "--source", source, "--to", daemon.home / "three", "--exclude", "__pycache__")
    daemon.good("backup", "old")
    job = daemon.good("backup", "old")["runs"][0]["job"]
    (kept,) = files(daemon, job, "--state", "unchanged")
    count = sum(path.is_file() for path in source.iterdir())
    assert (kept["path"], kept["state"], kept["files"]) == (f"{source}/", "unchanged", count)
    assert f"unchanged  {source}/ ({count} files)" in text(daemon, "job", "show", job, "--files").splitlines()


def test_text_names_destinations_and_moves_no_cursor(daemon: Daemon) -> None:
    """Else a file name in a backup writes on the administrator's screen."""
    shown = text(daemon, "job", "show", "all@latest", "--files")
    lines = shown.splitlines()
    assert [line for line in lines if line.startswith("Destination ")] == ["Destination one:", "Destination two:"]
    assert any(line.endswith("line\\nbreak\\x1b[31m") for line in lines)
    assert "\x1b" not in shown
    nothing = text(daemon, "job", "show", "all@latest", "--files", "--state", "running")
    assert nothing.splitlines()[0] == "No file in such a state."


def test_waiting_running_and_stored_while_a_job_runs(daemon: Daemon) -> None:
    """Else who waits for one file can't see whether it is under way."""
    source = slow_set.make(daemon, "slow", daemon.home / "slow-place", mib=24)
    seen: dict[str, set[str]] = {}

    def has_all() -> bool:
        for one in files(daemon, job):
            seen.setdefault(one["state"], set()).add(one["path"])
        return {"waiting", "running", "stored"} <= set(seen)

    with slow_set.begun(daemon, "slow") as job:
        slow_set.go_on_until_stored(daemon, job)
        slow_set.go_on_until(daemon, has_all)
        daemon.good("job", "cancel", job)
    assert set().union(*seen.values()) <= {str(path) for path in source.iterdir()}
    daemon.json("job", "wait", job)


def test_watch_tells_each_state_once_and_all_by_the_end(daemon: Daemon) -> None:
    """Else a script that follows a run acts twice on a file, or never."""
    source = slow_set.make(daemon, "watched", daemon.home / "watched-place", mib=4)
    with slow_set.begun(daemon, "watched") as job:
        command = [sys.executable, "-P", "-m", "bkctl", "watch", job, "--files", "--jsonl"]
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, env=daemon.environ, cwd=daemon.home)
        assert watching.stdout is not None
        early = list[bytes]()
        while b'"running"' not in b"".join(early):
            assert (line := watching.stdout.readline()), early
            early.append(line)
    rest, _ = watching.communicate(timeout=60)
    told = [json.loads(line) for line in (*early, *rest.splitlines())]
    stored = [one["path"] for one in told if one.get("event") == "file" and one["state"] == "stored"]
    assert sorted(stored) == sorted(str(path) for path in source.iterdir())
    assert all(one["job"] == job for one in told if one.get("event") == "file")
    assert any(one.get("event") == "file" and one["state"] == "running" for one in told)
    lines = text(daemon, "watch", job, "--files").splitlines()
    assert sum(line.startswith("watched: stored") for line in lines) == len(stored)


def test_what_keeps_no_states_says_so(daemon: Daemon) -> None:
    """Else a typo, or a look at a check, is taken for an answer."""
    assert daemon.json("check", "all")["exit"] == 0
    checked = daemon.good("job", "list")["jobs"][0]["id"]
    refused = daemon.json("job", "show", checked, "--files")
    assert (refused["exit"], refused["error"]["code"]) == (2, "usage.invalid")
    assert daemon.json("job", "show", "all@latest", "--files", "--state", "sotred")["exit"] == 2
    assert daemon.json("job", "show", "all@latest", "--state", "stored")["exit"] == 2
    assert daemon.json("watch", checked, "--files")["exit"] == 2


@pytest.mark.root
@pytest.mark.platform("linux")
def test_a_full_disk_for_states_fails_no_run(tmp_path: Path, daemon: Daemon) -> None:
    """Else a convenience costs a night's backup."""
    source = tmp_path / "source"
    source.mkdir()
    for _ in range(3000):
        (source / f"{os.urandom(90).hex()}").write_text("")
    kept = daemon.state / "files"
    os.rename(kept, daemon.state / "files-before")
    with tmpfs(kept, "16k"):
        daemon.good("set", "create", "full", "--source", source, "--to", tmp_path / "place")
        ended = daemon.json("backup", "full")
    kept.rmdir()
    os.rename(daemon.state / "files-before", kept)
    assert ended["exit"] == 0, ended
    assert any("states of further files are not kept" in warning for warning in ended["warnings"]), ended["warnings"]
