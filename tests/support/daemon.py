"""A real daemon with directories of its own, and `bkctl` beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import bkctl_here
from tests.support.machine import PYTHON_PATH
from tests.support.plugins.sitecustomize import WATCHES_BY_EVENTS


class Daemon:
    """`python -m backupd` on a socket, state and settings below one directory; start and stop it as often as needed."""

    def __init__(self, home: Path, *, settings: str = "", user: int | None = None) -> None:
        """settings: text of backupd.yaml. user: uid it runs as."""
        self.home = home
        self.run, self.state, self.config = home / "run", home / "state", home / "conf"
        self.socket, self.log = self.run / "s.sock", home / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._user = user
        self.prefix: list[str] = []
        """Words of a program that starts it."""
        self.config.mkdir(parents=True, exist_ok=True)
        if settings:
            (self.config / "backupd.yaml").write_text(settings, encoding="utf-8")

    @property
    def environ(self) -> dict[str, str]:
        """What its programs see."""
        names = ("DATA", "STATE", "CACHE", "CONFIG")
        below = {f"XDG_{name}_HOME": str(self.home / "xdg" / name.lower()) for name in names}
        more = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": PYTHON_PATH, "TZ": "UTC"}
        return {**below, **more, "BACKUPD_SOCKET": str(self.socket)}

    def start(self) -> None:
        """Start it and wait until it answers."""
        process = self.launch()
        end = time.monotonic() + 30
        while not self.answers():
            assert process.poll() is None, f"exit {process.returncode}: {self.said()}"
            assert time.monotonic() < end, f"no answer: {self.said()}"
            time.sleep(0.02)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and don't wait."""
        command = [*self.prefix, sys.executable, "-P", "-m", "backupd", "--socket", str(self.socket)]
        command += ["--state", str(self.state), "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ, cwd="/", user=self._user
            )
        return self.process

    def answers(self) -> bool:
        """Whether somebody listens."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        self.ask_to_stop(number)
        return self.wait()

    def ask_to_stop(self, number: int = signal.SIGTERM) -> None:
        """Send the signal and don't wait."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        assert self.process is not None
        return self.process.wait(60)

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, start it again."""
        self.stop()
        self.start()

    def memory_bytes(self) -> int:
        """Resident bytes of its own process."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Processor time of its own process so far; says more than a clock where others are at work."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """How many descriptors its own process has open."""
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def said(self) -> str:
        """What it wrote to its standard error."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def bkctl(
        self, *words: str | Path, stdin: bytes = b"", variables: Mapping[str, str] | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `bkctl` with these words."""
        command = [sys.executable, "-P", "-m", "bkctl", *map(str, words)]
        environ = {**self.environ, **(variables or {})}
        return subprocess.run(
            command, input=stdin, capture_output=True, env=environ, cwd=self.home, check=False, timeout=seconds
        )

    def json(self, *words: str | Path, stdin: bytes = b"") -> dict[str, Any]:
        """Its document with `--json`; in this process where that can be."""
        if bkctl_here.can_run():
            done = bkctl_here.bkctl([*map(str, words), "--json"], self.environ, self.home, stdin=stdin)
        else:
            done = self.bkctl(*words, "--json", stdin=stdin)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"exit {done.returncode}: {done.stdout!r} {done.stderr!r}") from None
        return document

    def good(self, *words: str | Path, stdin: bytes = b"") -> dict[str, Any]:
        """The same, which has to end with 0; its result."""
        document = self.json(*words, stdin=stdin)
        assert document["exit"] == 0, document
        result: dict[str, Any] = document["result"]
        return result


def watch_by_events(home: Path) -> None:
    """Have the daemon that will start below a home watch sources as it does on macOS."""
    home.mkdir(parents=True, exist_ok=True)
    (home / WATCHES_BY_EVENTS).touch()


@contextmanager
def running_daemon(home: Path, *, settings: str = "", user: int | None = None) -> Generator[Daemon, None, None]:
    """A started daemon, ended when the block is left."""
    daemon = Daemon(home, settings=settings, user=user)
    daemon.start()
    try:
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.terminate()
            try:
                daemon.process.wait(30)
            except subprocess.TimeoutExpired:
                daemon.process.kill()
                daemon.process.wait()
