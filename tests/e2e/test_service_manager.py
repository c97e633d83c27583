"""What the daemon tells its service manager while it works, and how its own messages look to a journal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon
from tests.support.service_manager import managed_daemon


def test_the_status_line_follows_jobs_reloads_and_the_end(tmp_path: Path) -> None:
    """Who looks at `systemctl status` sees what the daemon does, and a stop costs no stored byte."""
    with managed_daemon(tmp_path / "home") as (daemon, heard):
        assert heard.messages[heard.waits_for("READY", "1") - 1]["STATUS"] == "0 sets; no job runs"
        slow_set.make(daemon, "slow", tmp_path / "place")
        daemon.good("schedule", "add", "slow", "--daily", "02:00")
        heard.waits_for("STATUS", "1 set; no job runs, next slow at ")
        with slow_set.begun(daemon, "slow") as job:
            heard.waits_for("STATUS", "1 set; 1 job running, 0 waiting")
            daemon.good("backup", "slow", "--if-running", "wait", "--detach")
            at = heard.waits_for("STATUS", "1 set; 1 job running, 1 waiting")
            (daemon.config / "backupd.yaml").write_text("queue: {jobs_at_onc: 3}\n")
            before = time.monotonic()
            daemon.ask_to_stop(signal.SIGHUP)
            at = heard.waits_for("RELOADING", "1", at)
            assert before - 1 < int(heard.messages[at - 1]["MONOTONIC_USEC"]) / 1e6 < time.monotonic()
            at = heard.waits_for("READY", "1", at)
            assert heard.messages[at - 1]["STATUS"].endswith("; a fault in the settings, see: bkctl doctor")
            slow_set.go_on_until_stored(daemon, job)
            began = time.monotonic()
            daemon.ask_to_stop()
        assert daemon.wait() == 0
        assert time.monotonic() - began < 30
        at = heard.waits_for("STOPPING", "1", at)
        assert heard.messages[at - 1]["STATUS"] == "1 job to a checkpoint"
        assert not any("STATUS" in one for one in heard.messages[at:])
        daemon.start()
        assert slow_set.job(daemon, job)["state"] in ("queued", "running", "completed"), "it goes on by itself"


def test_a_loop_that_hangs_feeds_no_watchdog(tmp_path: Path) -> None:
    """A daemon that answers nobody is started anew by its manager, which has to notice."""
    with managed_daemon(tmp_path / "home") as (daemon, heard):
        assert daemon.process is not None
        slow_set.wait_for(lambda: len(heard.pings) > 3)
        gaps = [later - earlier for earlier, later in zip(heard.pings, heard.pings[1:], strict=False)]
        assert max(gaps) < 0.6, "as often as the manager wants"
        daemon.ask_to_stop(signal.SIGSTOP)
        time.sleep(0.3)
        count = len(heard.pings)
        time.sleep(0.7)
        assert len(heard.pings) == count
        daemon.ask_to_stop(signal.SIGCONT)
        slow_set.wait_for(lambda: len(heard.pings) > count)


def test_messages_have_priorities_in_the_journal_and_times_elsewhere(tmp_path: Path) -> None:
    """`journalctl -p warning` finds what went wrong; in a file, each line says when."""
    wrong = "queue: {jobs_at_onc: 3}\n"
    reader, writer = os.pipe()
    found = os.fstat(writer)
    for is_journal in (True, False):
        daemon = Daemon(tmp_path / f"home-{is_journal}", settings=wrong)
        inode = found.st_ino if is_journal else found.st_ino + 1
        command = [sys.executable, "-P", "-m", "backupd", "--socket", str(daemon.socket), "--state", str(daemon.state)]
        environ = {**daemon.environ, "JOURNAL_STREAM": f"{found.st_dev}:{inode}"}
        with subprocess.Popen([*command, "--config", str(daemon.config)], stderr=writer, env=environ) as process:
            line = os.read(reader, 4096).decode().splitlines()[0]
            process.terminate()
            assert process.wait(20) == 0
        assert "the last good settings are in force" in line
        if is_journal:
            assert line.startswith("<4>backupd."), line
        else:
            stamp = line.split()[0]
            assert time.strptime(stamp, "%Y-%m-%dT%H:%M:%S%z")
            assert line.split()[1] == "WARNING"
    os.close(reader)
    os.close(writer)


def test_a_daemon_that_can_t_start_tells_the_journal_why(tmp_path: Path) -> None:
    """`systemctl status` of a failed unit shows the last lines: reason and way out."""
    with running_daemon(tmp_path / "home") as first:
        second = Daemon(tmp_path / "home")
        reader, writer = os.pipe()
        found = os.fstat(writer)
        environ = {**first.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        command = [sys.executable, "-P", "-m", "backupd", "--socket", str(tmp_path / "other"), "--state"]
        done = subprocess.run([*command, str(second.state)], stderr=writer, env=environ, check=False, timeout=60)
        assert done.returncode == 11
        lines = os.read(reader, 4096).decode().splitlines()
        os.close(reader)
        os.close(writer)
    assert lines[0].startswith("<3>backupd: another backupd works on")
    assert lines[1].startswith("<3>hint: stop it first")
