"""A job that is killed while a stream's command runs: nothing of that lives on, with its daemon or without."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.commanded import is_dead, until
from tests.support.daemon import running_daemon


@pytest.mark.platform("linux")
@pytest.mark.parametrize("with_daemon", [False, True], ids=["the job alone", "with the daemon"])
def test_a_dump_ends_with_the_job_that_is_killed(tmp_path: Path, with_daemon: bool) -> None:
    """It would hold its database, or meet the next dump there."""
    pids = tmp_path / "pids"
    with running_daemon(tmp_path / "home") as daemon:
        hangs = {"name": "hang", "run": ["sh", "-c", f"sleep 300 & echo $$ $! $PPID > {pids}; sleep 300"]}
        a_set = {"name": "home", "to": ["repo"], "streams": [hangs]}
        document = {"destinations": [{"name": "repo", "place": str(tmp_path / "place")}], "sets": [a_set]}
        daemon.good("config", "apply", "-f", "-", stdin=json.dumps(document).encode())
        job = daemon.good("backup", "home", "--detach")["jobs"][0]["id"]
        until(lambda: pids.exists() and pids.read_text().endswith("\n"))
        leader, member, above = map(int, pids.read_text().split())
        if with_daemon:
            daemon.kill()
        os.kill(above, signal.SIGKILL)
        until(lambda: is_dead(leader) and is_dead(member))
        if with_daemon:
            daemon.start()
        else:
            assert daemon.json("job", "wait", job)["exit"] == 5
