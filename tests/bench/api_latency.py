"""How fast the daemon answers while it backs up and hundreds of clients are slow or talk nonsense; run as root.

`python -m tests.bench.api_latency [GIB]` prints the spread of GET /v1/daemon, and of `bkctl job list` as a whole
process.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.daemon import Daemon, running_daemon
from tests.support.raw_http import Raw, post, status_of

_USERS = range(60001, 60009)
_EACH = 62
_WORDS = (b"", b"GET /v1/da", post(b"/v1/sets", b"{}", said=1 << 20), b"\x16\x03\x01\r\n\r\n", b"GET /v1/ HTTP/1.1\r\n")


def main() -> None:
    """Measure at rest, beside a backup, and beside both."""
    gib = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        home = Path(name)
        home.chmod(0o755)
        settings = f"access: {{auditor: {[str(user) for user in _USERS]}}}\n"
        with running_daemon(home, settings=settings) as daemon:
            daemon.run.chmod(0o755)
            daemon.socket.chmod(0o666)
            (home / "src").mkdir()
            with (home / "src" / "big").open("wb") as file:
                for _ in range(int(gib * 64)):
                    file.write(os.urandom(16 << 20))
            os.sync()
            daemon.good("set", "create", "big", "--source", home / "src", "--to", home / "repo")
            _measure("at rest", daemon, lambda taken: taken < 3)
            crowd = [_slow_clients(daemon, user) for user in _USERS]
            try:
                time.sleep(1)
                before = _memory(daemon)
                daemon.good("backup", "big", "--detach")
                print(f"{len(crowd) * _EACH} slow or malformed clients, backup of {gib} GiB")
                _measure("beside both", daemon, lambda _: _is_running(daemon))
                print(f"  daemon: {before >> 20} MiB before, {_memory(daemon) >> 20} MiB after")
                print(f"  backup: {daemon.good('job', 'show', 'latest')['job']['seconds']} s")
            finally:
                for process in crowd:
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)


def _measure(name: str, daemon: Daemon, goes_on: Callable[[float], bool]) -> None:
    taken, processes = [], []
    begun = time.monotonic()
    while goes_on(time.monotonic() - begun):
        for _ in range(50):
            at = time.monotonic()
            assert status_of(Raw(daemon.socket, b"GET /v1/daemon HTTP/1.0\r\n\r\n").rest()) == 200
            taken.append(time.monotonic() - at)
            time.sleep(0.005)
        at = time.monotonic()
        assert daemon.bkctl("job", "list", "-q").returncode == 0
        processes.append(time.monotonic() - at)
    print(name)
    _print("GET /v1/daemon", taken)
    _print("bkctl job list", processes)


def _print(name: str, seconds: list[float]) -> None:
    spread = sorted(seconds)
    shown = {share: spread[min(len(spread) - 1, int(len(spread) * share))] * 1000 for share in (0.5, 0.9, 0.99)}
    figures = ", ".join(f"p{share * 100:.0f} {value:.1f}" for share, value in shown.items())
    print(f"  {name}: {len(spread)} times, ms: {figures}, worst {spread[-1] * 1000:.1f}")


def _slow_clients(daemon: Daemon, user: int) -> int:
    """A process of that user that holds so many connections, and opens each again when it is sent away."""
    process = os.fork()
    if process:
        return process
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    held = [Raw(daemon.socket, random.choice(_WORDS)) for _ in range(_EACH)]
    while True:
        time.sleep(0.05)
        for at, one in enumerate(held):
            if one.is_closed():
                held[at] = Raw(daemon.socket, random.choice(_WORDS))


def _is_running(daemon: Daemon) -> bool:
    state: str = daemon.good("job", "show", "latest")["job"]["state"]
    return state in ("queued", "running")


def _memory(daemon: Daemon) -> int:
    assert daemon.process is not None
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
