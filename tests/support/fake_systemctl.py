"""A `systemctl --user` where no systemd runs: it keeps in files what it was told, and starts the unit's program for
real, with the socket that the unit names. Only what `bkctl daemon` says is understood.

As a program: `python -m tests.support.fake_systemctl WORD...`, its state in the directory FAKE_SYSTEMD.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.unit_cage import Unit

STATE = Path(os.environ.get("FAKE_SYSTEMD", "/nonexistent"))
UNITS = ("backupd.service", "backupd.socket")


def _kept(name: str) -> str:
    path = STATE / name
    return path.read_text() if path.exists() else ""


def _unit() -> Unit:
    above = Path(os.environ["XDG_CONFIG_HOME"]) / "systemd" / "user"
    return Unit(above / UNITS[0], *sorted((above / f"{UNITS[0]}.d").glob("*.conf")))


def _start() -> None:
    if _pid() is not None:
        return
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "backupd" / "backupd.sock"
    path.parent.mkdir(exist_ok=True)
    end = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    end.bind(str(path))
    end.listen()
    environ = dict(os.environ) | dict(shlex.split(one)[0].split("=", 1) for one in _unit().settings["Environment"])
    words = shlex.split(_unit().settings["ExecStart"][-1].replace("$$", "$").replace("%%", "%"))
    passing = "import os, sys\nos.environ['LISTEN_PID'] = str(os.getpid())\nos.execv(sys.argv[1], sys.argv[1:])"
    os.dup2(end.fileno(), 3)
    with (STATE / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", passing, *words],
            env={**environ, "LISTEN_FDS": "1"},
            pass_fds=[3],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (STATE / "pid").write_text(str(process.pid))
    (STATE / "listens").touch()


def _pid() -> int | None:
    try:
        pid = int(_kept("pid") or 0)
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    is_gone = not pid or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    return None if is_gone else pid


def _stop() -> None:
    pid = _pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 30
        while _pid() is not None and time.monotonic() < end:
            time.sleep(0.05)
    (STATE / "listens").unlink(missing_ok=True)


def main(words: list[str]) -> int:
    """Do as systemctl does."""
    with (STATE / "told").open("a") as told:
        told.write(json.dumps(words) + "\n")
    words = [word for word in words if word != "--user"]
    verb, rest = words[0], words[1:]
    if verb == (_kept("fails") or "none"):
        if verb == "start":
            # The socket listens already when the service fails.
            (STATE / "listens").touch()
        sys.stderr.write("Job for backupd.service failed.\n")
        return 1
    if verb == "show" and "backupd.service" not in rest:
        print("252.39")  # noqa: T201
    elif verb == "show":
        pid = _pid()
        state = "active" if pid else _kept("state") or "inactive"
        enabled = f"UnitFileState={_kept('enabled') or 'disabled'}"
        print(f"ActiveState={state}\n{enabled}\nMainPID={pid or 0}\nNRestarts=0\nStatusText=\n")  # noqa: T201
        print(f"ActiveState={'active' if (STATE / 'listens').exists() else 'inactive'}\n{enabled}")  # noqa: T201
    elif verb in ("enable", "disable"):
        (STATE / "enabled").write_text("enabled" if verb == "enable" else "disabled")
    if verb in ("stop", "restart") or "--now" in rest:
        _stop()
    if verb in ("start", "restart"):
        _start()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
