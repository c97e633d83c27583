"""The units as shipped: what systemd says to them, and a daemon that has no more than they leave it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.commanded import is_dead, until
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon
from tests.support.machine import TOP
from tests.support.unit_cage import Unit
from tests.support.zoo import Zoo, build_zoo

UNITS = TOP / "systemd"
SERVICE = UNITS / "backupd.service"
DROP_INS = sorted((UNITS / "drop-ins").iterdir())
HIDES_FILES = {"PrivateTmp", "ProtectHome", "ProtectSystem", "PrivateMounts", "ProtectKernelModules"}
HIDES_FILES |= {"RestrictSUIDSGID", "RootDirectory", "ReadOnlyPaths", "InaccessiblePaths", "TemporaryFileSystem"}

needs_systemd = pytest.mark.needs("systemd-analyze")


def analyzed(*words: str | Path, above: Path) -> subprocess.CompletedProcess[str]:
    """systemd-analyze; above: a home. The path of a socket, which it puts together, is short as that of any user."""
    environ = {**os.environ, "XDG_RUNTIME_DIR": "/run", "HOME": str(above)}
    command = ["systemd-analyze", "--no-pager", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=60)


@needs_systemd
@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_takes_the_units_without_a_word(scope: str, tmp_path: Path) -> None:
    """What systemd passes over in silence at a misspelt line is missing when it is needed."""
    folder = UNITS / "user" if scope == "user" else UNITS
    for name in ("backupd.service", "backupd.socket"):
        shutil.copy(folder / name, tmp_path)
    program = tmp_path / "backupd.service.d" / "program.conf"
    program.parent.mkdir()
    program.write_text(f"[Service]\nExecStart=\nExecStart={sys.executable} -P -m backupd\n")
    for drop_in in [None, *DROP_INS] if scope == "system" else [None]:
        if drop_in is not None:
            shutil.copy(drop_in, program.parent)
        names = [tmp_path / "backupd.service", tmp_path / "backupd.socket"]
        done = analyzed("verify", f"--{scope}", "--man=no", "--recursive-errors=no", *names, above=tmp_path)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_service_has_little_that_can_be_abused(tmp_path: Path) -> None:
    """Under 3.5 of systemd's own measure; a daemon of root that reads from the net needs that."""
    done = analyzed("security", "--offline=true", "--threshold=34", SERVICE, above=tmp_path)
    assert done.returncode == 0, done.stdout[-200:]
    hiding = {key for key, values in Unit(SERVICE).settings.items() if values != ["no"]} & HIDES_FILES
    assert not hiding, "it could not back up or restore everywhere"


def test_both_scopes_end_and_start_alike() -> None:
    """What a stop, a crash and a newer catalog come to is no question of who runs it."""
    for file in (SERVICE, UNITS / "user" / "backupd.service"):
        found = {key: values[-1] for key, values in Unit(file).settings.items()}
        assert (found["Type"], found["Restart"], found["RestartPreventExitStatus"]) == ("notify", "on-failure", "18")
        assert (found["TimeoutStopSec"], found["KillMode"], found["OOMPolicy"]) == ("30", "mixed", "continue")
        assert int(found["WatchdogSec"]) >= 30


@contextmanager
def caged(home: Path, *drop_ins: Path) -> Generator[Daemon, None, None]:
    """A daemon that may do what the unit lets it."""
    daemon = Daemon(home)
    daemon.prefix = Unit(SERVICE, *drop_ins).prefix()
    daemon.start()
    try:
        assert daemon.process is not None
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        yield daemon
        assert daemon.stop() == 0, daemon.said()
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.fixture
def zoo(tmp_path: Path) -> Generator[Zoo, None, None]:
    """A home of somebody else with every kind of file."""
    built = build_zoo(tmp_path / "anna")
    os.chown(built.root, 1234, 1234)
    built.root.chmod(0o700)
    yield built
    for above in (built.root, tmp_path / "out" / str(built.root)[1:]):
        Zoo(above).release()


@needs_systemd
@pytest.mark.root
@pytest.mark.platform("linux")
def test_everything_but_devices_comes_back_under_the_unit(zoo: Zoo, tmp_path: Path) -> None:
    """To another directory, and where it came from, a closed home: hardening that stops a restore is no hardening."""
    with caged(tmp_path / "home") as daemon:
        daemon.good("set", "create", "anna", "--source", zoo.root, "--to", tmp_path / "place")
        done = daemon.json("backup", "anna")
        assert done["exit"] in (0, 3), done
        restored = daemon.json("restore", "anna", "--to", tmp_path / "out")
        assert restored["exit"] == 3, "devices are told"
        differences = compare_trees(zoo.root, tmp_path / "out" / str(zoo.root)[1:])
        assert _beside_devices(differences) == []
        kept = tmp_path / "kept"
        zoo.root.rename(kept)
        restored = daemon.json("restore", "anna", "--original", "--yes")
        assert restored["exit"] == 3, restored
        assert _beside_devices(compare_trees(kept, zoo.root)) == []
        assert (os.stat(zoo.root).st_uid, zoo.root.stat().st_mode & 0o777) == (1234, 0o700)
        Zoo(kept).release()


@needs_systemd
@pytest.mark.root
@pytest.mark.platform("linux")
def test_a_command_of_another_user_is_run_and_ended_under_the_unit(tmp_path: Path) -> None:
    """Root has no CAP_KILL there: a dump that hangs would hold its set for ever."""
    with caged(tmp_path / "home") as daemon:
        (tmp_path / "source").mkdir()
        for timeout in ("1s", "60s"):
            text = "echo as $(id -un) $$ $PPID; exec sleep 300"
            hangs = {"name": "hang", "when": "pre", "user": "nobody", "shell": text, "timeout": timeout}
            places = [{"name": "repo", "place": str(tmp_path / "place")}]
            a_set = {"name": "home", "sources": [str(tmp_path / "source")], "to": ["repo"], "commands": [hangs]}
            document = json.dumps({"destinations": places, "sets": [a_set]}).encode()
            daemon.good("config", "apply", "-f", "-", stdin=document)
            job = daemon.good("backup", "home", "--detach", "--if-running", "wait")["jobs"][0]["id"]
            until(partial(_pids_of, daemon, job))
            command, above = _pids_of(daemon, job)
            if timeout == "60s":
                # Who would end it is gone.
                os.kill(above, signal.SIGKILL)
            until(partial(is_dead, command))
            assert daemon.answers()


@needs_systemd
@pytest.mark.root
@pytest.mark.platform("linux")
def test_a_stream_of_another_user_is_ended_under_the_unit(tmp_path: Path) -> None:
    """In time, and with the job that would end it."""
    with caged(tmp_path / "home") as daemon:
        for timeout in ("1s", "60s"):
            text = "trap '' TERM; echo as $(id -un) $$ $PPID >&2; while :; do sleep 1; done"
            hangs = {"name": "hang", "run": ["sh", "-c", text], "user": "nobody", "timeout": timeout}
            places = [{"name": "repo", "place": str(tmp_path / "place")}]
            a_set = {"name": "home", "to": ["repo"], "streams": [hangs]}
            document = json.dumps({"destinations": places, "sets": [a_set]}).encode()
            daemon.good("config", "apply", "-f", "-", stdin=document)
            job = daemon.good("backup", "home", "--detach", "--if-running", "wait")["jobs"][0]["id"]
            until(partial(_pids_of, daemon, job))
            command, above = _pids_of(daemon, job)
            if timeout == "60s":
                os.kill(above, signal.SIGKILL)
            until(partial(is_dead, command))
            assert daemon.json("job", "wait", job)["exit"] == (1 if timeout == "1s" else 5)


def _pids_of(daemon: Daemon, job: str) -> list[int]:
    """Of a command and of the process above it, as it says them."""
    said = daemon.bkctl("job", "log", job).stdout.decode().partition("hang: as nobody ")[2]
    return [int(word) for word in said.splitlines()[0].split()] if said else []


def _beside_devices(differences: list[str]) -> list[str]:
    """What else differs; attributes trusted.* are not seen, labels are not set."""
    wanted = [f"nodes/{name}: only in the first" for name in ("large", "loop", "null")]
    assert set(wanted) <= set(differences), "the drop-in is not needed any more"
    attributes = ("xattrs [(b'trusted.", "xattrs [(b'security.backupd'")
    return [one for one in differences if one not in wanted and not any(text in one for text in attributes)]


@needs_systemd
@pytest.mark.root
@pytest.mark.platform("linux")
def test_the_machine_is_woken_by_who_was_given_that(tmp_path: Path) -> None:
    """A schedule that wakes the machine does so under its drop-in, wherever root can at all."""
    program = [sys.executable, "-c", "from backupd.daemon.wake_timer import WakeTimer; WakeTimer().close()"]
    codes = []
    for prefix in ([], Unit(SERVICE, UNITS / "drop-ins" / "wake.conf").prefix(), Unit(SERVICE).prefix()):
        done = subprocess.run([*prefix, *program], capture_output=True, text=True, check=False, timeout=60)
        codes.append((done.returncode, done.stderr.splitlines()[-1:]))
    assert codes[1] == codes[0]
    assert codes[2][0] == 1


@needs_systemd
@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.nightly
def test_a_whole_machine_comes_back_with_its_drop_in(zoo: Zoo, tmp_path: Path) -> None:
    """Device nodes and trusted attributes too."""
    with caged(tmp_path / "home", UNITS / "drop-ins" / "whole-machine.conf") as daemon:
        daemon.good("set", "create", "anna", "--source", zoo.root, "--to", tmp_path / "place")
        assert daemon.json("backup", "anna")["exit"] in (0, 3)
        assert daemon.json("restore", "anna", "--to", tmp_path / "out")["exit"] == 0
        assert compare_trees(zoo.root, tmp_path / "out" / str(zoo.root)[1:]) == []
