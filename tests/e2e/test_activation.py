"""What a service manager does: sockets that it bound, readiness, watchdog; and sockets at paths of any length."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon

_LAUNCHER = """
import os, socket, sys
end = socket.socket(socket.AF_UNIX)
end.bind(sys.argv[1])
end.listen()
os.dup2(end.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "WATCHDOG_USEC": "600000"}
os.execv(sys.executable, [sys.executable, "-P", "-m", "backupd", *sys.argv[2:]])
"""


@contextmanager
def _managed(daemon: Daemon, told: Path, launcher: str = _LAUNCHER) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon started as a service manager does. Killed at the end: a test that fails would wait for it for ever."""
    daemon.run.mkdir()
    words = [str(daemon.socket), "--state", str(daemon.state), "--config", str(daemon.config)]
    environ = {**daemon.environ, "NOTIFY_SOCKET": str(told)}
    with subprocess.Popen([sys.executable, "-c", launcher, *words], env=environ, stderr=-1) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_passed_socket_is_served_and_readiness_told(tmp_path: Path) -> None:
    """Else `systemctl start` never comes back, and the watchdog ends a daemon that is well."""
    daemon = Daemon(tmp_path / "home")
    told = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(told))
        notices.settimeout(20)
        with _managed(daemon, told) as process:
            heard = notices.recv(4096)
            while b"READY=1" not in heard:
                heard = notices.recv(4096)
            assert b"STATUS=" in heard
            assert daemon.good("set", "list")["sets"] == []
            assert [notices.recv(4096) for _ in range(2)] == [b"WATCHDOG=1"] * 2
            source = tmp_path / "source"
            source.mkdir()
            daemon.good("set", "create", "s", "--source", source, "--to", tmp_path / "place")
            daemon.good("backup", "s")
            notices.setblocking(False)
            with suppress(BlockingIOError):
                while notices.recv(4096):
                    pass
            notices.settimeout(20)
            process.terminate()
            assert process.wait(20) == 0
        while b"STOPPING=1" not in heard:
            heard = notices.recv(4096)
    assert daemon.socket.exists(), "the socket is the manager's, which starts us again through it"


@pytest.mark.platform("linux")
def test_a_manager_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    """Its queue full, the daemon waited for it for ever: no answer, no backup, until somebody killed it."""
    daemon = Daemon(tmp_path / "home")
    told = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(told))
        with _managed(daemon, told, _LAUNCHER.replace("600000", "20000")):
            time.sleep(2)
            done = daemon.bkctl("set", "list", seconds=20)
            assert done.returncode == 0, done


def test_sockets_of_another_process_are_left_alone(tmp_path: Path) -> None:
    """The variables of a parent are no invitation: descriptor 3 may be anything."""
    daemon = Daemon(tmp_path / "home")
    os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = "1", "1"
    try:
        with running_daemon(daemon.home) as started:
            assert started.good("set", "list")["sets"] == []
    finally:
        del os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]


def test_a_socket_may_lie_deep_down(tmp_path: Path) -> None:
    """The system takes 107 bytes; a user's runtime directory may be longer."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    daemon = Daemon(deep / "home")
    assert len(str(daemon.socket)) > 107
    command = [sys.executable, "-P", "-m", "backupd", "--socket", str(daemon.socket), "--state", str(daemon.state)]
    with subprocess.Popen(
        [*command, "--config", str(daemon.config)], env=daemon.environ, stderr=subprocess.DEVNULL, cwd="/"
    ) as process:
        while daemon.json("set", "list")["exit"] == 13:
            assert process.poll() is None
        assert daemon.good("set", "list")["sets"] == []
        assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660
        process.terminate()
        assert process.wait(20) == 0
