"""Programs of different versions: what each refuses, and what its user is told."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec

from backupd.catalog.database import Database
from backupd.catalog.migrations import STEPS
from backupd.model.api import API_VERSION
from tests.support.daemon import Daemon
from tests.support.machine import TOP


def test_an_older_backupd_refuses_a_newer_catalog_and_names_the_copy(tmp_path: Path) -> None:
    """After a downgrade somebody needs to know which file to put back; systemd must not try again for ever."""
    daemon = Daemon(tmp_path / "home")
    daemon.state.mkdir(mode=0o700)
    old = Database(str(daemon.state), STEPS[:1])
    old.close()
    daemon.start()
    assert daemon.stop() == 0
    with closing(sqlite3.connect(daemon.state / "catalog.sqlite")) as catalog:
        catalog.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    assert daemon.launch().wait(30) == 18
    copy = daemon.state / "catalog.sqlite.v1"
    assert f"put back {copy}, the copy from before" in daemon.said()
    for path in daemon.state.glob("catalog.sqlite*"):
        if path != copy:
            path.unlink()
    copy.rename(daemon.state / "catalog.sqlite")
    daemon.start()
    assert daemon.good("set", "list")["sets"] == []
    assert daemon.stop() == 0
    units = [TOP / "systemd" / "backupd.service", TOP / "systemd" / "user" / "backupd.service"]
    assert all("\nRestartPreventExitStatus=18\n" in unit.read_text() for unit in units)


def test_a_client_of_another_major_version_is_told(tmp_path: Path) -> None:
    """What one of them would misunderstand is not said at all."""
    answer = msgspec.json.encode({**_OVERVIEW, "api": API_VERSION + 1})
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as end, ThreadPoolExecutor(1) as thread:
        end.bind(str(path))
        end.listen()

        def serve() -> None:
            connection, _ = end.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + answer)

        served = thread.submit(serve)
        command = [sys.executable, "-P", "-m", "bkctl", "--socket", str(path), "snapshot", "list", "home", "--json"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        served.result(10)
    document = json.loads(done.stdout)
    assert (document["exit"], document["error"]["code"]) == (18, "version.newer")
    assert str(API_VERSION + 1) in document["error"]["message"]


_OVERVIEW = {
    "version": "99.0",
    "api": 0,
    "pid": 1,
    "started_ns": 0,
    "socket": "/s",
    "config": "/c",
    "state": "/s",
    "jobs_running": 0,
    "jobs_queued": 0,
    "warnings": [],
    "roles": [],
}
