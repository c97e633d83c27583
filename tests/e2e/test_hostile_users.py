"""Users who may reach the daemon, a buggy script among them, against everybody else on the machine."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.ordinary_user import run_as

pytestmark = [pytest.mark.alone, pytest.mark.root, pytest.mark.platform("linux")]

FIRST, SECOND, THIRD = 32001, 32002, 32003
SETTINGS = f"access: {{restorer: ['{FIRST}', '{SECOND}', '{THIRD}']}}\n"
ESCAPES = "home\x1b[2J\x1b]0;owned\x07"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    home = tmp_path_factory.mktemp("hostile")
    for path in (home, *list(home.parents)[:2]):
        path.chmod(0o755)
    (home / "src").mkdir()
    (home / "src" / "file").write_text("text")
    with running_daemon(home / "d", settings=SETTINGS) as started:
        for path in (started.home, started.run):
            path.chmod(0o755)
        started.socket.chmod(0o666)
        started.good("set", "create", "one", "--source", home / "src", "--to", home / "place")
        started.good("backup", "one")
        yield started


def _raw(daemon: Daemon, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    with closing(socket.socket(socket.AF_UNIX)) as end:
        end.settimeout(60)
        end.connect(str(daemon.socket))
        end.sendall(f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: end.recv(1 << 16), b""))
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2].splitlines()[-1])


def _by(uid: int, daemon: Daemon, bodies: list[bytes], path: str = "/v1/restores") -> list[tuple[int, Any]]:
    """The answers to bodies that a user posts one after the other."""
    return cast(
        "list[tuple[int, Any]]", run_as(uid, uid, [uid], lambda: [_raw(daemon, "POST", path, one) for one in bodies])
    )


def _restore(to: str, **more: object) -> bytes:
    selection = {"set_name": more.pop("set_name", "one")}
    target = base64.b64encode(to.encode()).decode()
    order = {"type": "restore", "place": "place", "selection": selection, "to": target, **more}
    return json.dumps({"order": order}).encode()


@contextmanager
def _held_by(uid: int, daemon: Daemon, count: int) -> Generator[list[str], None, None]:
    """Restores of a user that never end: the file of owners that they name is a pipe."""
    pipe = daemon.home / f"pipe-{uid}"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    answers = _by(uid, daemon, [_restore("/tmp/nowhere", owner=str(pipe))] * count)
    jobs = [answer["jobs"][0]["id"] for status, answer in answers if status == 200]
    try:
        yield jobs
    finally:
        # The second request ends a job at once.
        for job in [*jobs, *jobs]:
            _raw(daemon, "POST", f"/v1/jobs/{job}/cancel", b'{"signal": "int"}')
        _wait_until(lambda: _raw(daemon, "GET", "/v1/daemon")[1]["jobs_running"] == 0)
        pipe.unlink()


def _wait_until(is_so: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def _state(daemon: Daemon, job: str) -> str:
    return str(_raw(daemon, "GET", f"/v1/jobs/{job}")[1]["state"])


def test_restores_that_never_end_keep_nobody_elses_waiting(daemon: Daemon) -> None:
    """Root, or another user, could not have had his files back until someone cancelled a stranger's restore."""
    with _held_by(FIRST, daemon, 3) as held:
        _wait_until(lambda: [_state(daemon, job) for job in held] == ["running", "running", "queued"])
        daemon.good("restore", "one", "--to", daemon.home / "roots")
        ((_, begun),) = _by(SECOND, daemon, [_restore(f"/tmp/hostile-{os.getpid()}", dry_run=True)])
        _wait_until(lambda: _state(daemon, begun["jobs"][0]["id"]) != "queued")
        assert _state(daemon, held[2]) == "queued"


def test_a_script_that_orders_for_ever_is_stopped(daemon: Daemon) -> None:
    """Each order may be of 4 MiB: a loop of them took all memory of a daemon that backs up everybody."""
    with _held_by(FIRST, daemon, 40) as held:
        assert len(held) == 32
        ((status, answer),) = _by(FIRST, daemon, [_restore("/tmp/nowhere")])
        assert (status, answer["error"]["code"]) == (503, "daemon.busy")
        assert "bkctl job cancel" in answer["error"]["hint"]


def test_the_orders_of_ended_restores_do_not_fill_the_disk(daemon: Daemon) -> None:
    """Below 96 MiB the daemon takes nothing on: a restorer with a loop could have ended all backups."""
    order = _restore("/tmp/nowhere", picks=["x" * 2_000_000], dry_run=True)
    for _ in range(3):
        answers = _by(FIRST, daemon, [order] * 12)
        assert {status for status, _ in answers} <= {200, 503}
        _wait_until(lambda: _raw(daemon, "GET", "/v1/daemon")[1]["jobs_running"] == 0)
    assert (daemon.state / "catalog.sqlite").stat().st_size < 24 << 20


def test_questions_of_users_keep_root_from_none(daemon: Daemon) -> None:
    """Users whose readers hang must not keep the administrator from looking into the backups."""
    order = {"type": "snapshot_list", "place": "", "set_name": "one"}
    body = json.dumps({"order": order, "name": ""}).encode()
    def ask_on(uid: int) -> None:
        def loop() -> int:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                _raw(daemon, "POST", "/v1/questions", body)
            return 0

        run_as(uid, uid, [uid], loop)

    askers = [threading.Thread(target=ask_on, args=(uid,)) for uid in (FIRST, SECOND, THIRD) for _ in range(6)]
    for one in askers:
        one.start()
    time.sleep(1)
    answers = [_raw(daemon, "POST", "/v1/questions", body) for _ in range(3)]
    for one in askers:
        one.join()
    assert [status for status, _ in answers] == [200] * 3


def test_a_long_wrong_word_holds_nobody_up(daemon: Daemon) -> None:
    """Looking for the nearest name of one with four million letters stopped the daemon for a second, for everybody."""
    wrong = b'{"' + b"x" * 4_000_000 + b'": 1}'
    began = daemon.cpu_seconds()
    ((status, answer),) = _by(FIRST, daemon, [wrong], "/v1/questions")
    assert status == 400
    assert len(answer["error"]["message"]) < 300
    assert daemon.cpu_seconds() - began < 0.4


def test_no_name_in_an_order_writes_to_the_terminal_of_who_watches(daemon: Daemon) -> None:
    """A user's restore could have typed into the terminal of the administrator who watched."""
    pipe = daemon.home / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    order = _restore("/tmp/nowhere", set_name=ESCAPES, owner=str(pipe))
    ((_, begun),) = _by(FIRST, daemon, [order])
    job = begun["jobs"][0]["id"]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "bkctl", "watch", job]
    environ = {**daemon.environ, "TERM": "xterm"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 1 << 16):
            said += part
    except OSError:
        pass
    finally:
        os.close(ours)
        process.wait(30)
        pipe.unlink()
    assert b"\x1b]0" not in said
    assert b"\x1b[2J" not in said


def test_a_directory_of_settings_that_anyone_may_write_to_gives_no_orders(daemon: Daemon) -> None:
    """A file that a user puts there would have been a set that backs /etc/shadow up for him."""
    above = daemon.config / "conf.d"
    above.mkdir()
    above.chmod(0o777)
    (above / "mine.yaml").write_text("sets: [{name: mine, sources: [/etc], to: [place]}]\n")
    (above / "mine.yaml").chmod(0o644)
    try:
        refused = daemon.json("config", "reload")
        assert refused["exit"] != 0
        assert f"chmod o-w {above}" in refused["error"]["hint"] + str(refused["error"]["context"])
        assert [one["name"] for one in daemon.good("set", "list")["sets"]] == ["one"]
    finally:
        (above / "mine.yaml").unlink()
        above.rmdir()
        daemon.good("config", "reload")


def _hear_nothing(daemon: Daemon) -> int:
    """Ask, and wait for an answer to the daemon's end."""
    with closing(socket.socket(socket.AF_UNIX)) as end:
        end.settimeout(60)
        end.connect(str(daemon.socket))
        end.sendall(b"GET /v1/daemon HTTP/1.0\r\n\r\n")
        try:
            return len(end.recv(100))
        except ConnectionError:
            return 0


def test_groups_that_nobody_tells_hold_only_their_user_up(tmp_path: Path) -> None:
    """A directory service that hangs must stop neither backups nor the administrator."""
    home = tmp_path / "d"
    daemon = Daemon(home, settings=SETTINGS)
    for path in (tmp_path, *list(tmp_path.parents)[:3], home):
        # The directory of all temporary ones may be among them: nobody else loses a right.
        path.chmod(path.stat().st_mode | 0o055)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/group && exec "$@"', str(pipe)]
    command += [sys.executable, "-P", "-m", "backupd", "--socket", str(daemon.socket), "--state", str(daemon.state)]
    command += ["--config", str(daemon.config)]
    process = subprocess.Popen(command, env=daemon.environ, cwd="/", stderr=subprocess.DEVNULL)
    asker = threading.Thread(target=run_as, args=(FIRST, FIRST, [FIRST], lambda: _hear_nothing(daemon)))
    try:
        _wait_until(daemon.answers)
        daemon.run.chmod(0o755)
        daemon.socket.chmod(0o666)
        asker.start()
        time.sleep(0.5)
        began = time.monotonic()
        assert _raw(daemon, "GET", "/v1/daemon")[0] == 200
        assert _raw(daemon, "GET", "/v1/jobs")[0] == 200
        assert time.monotonic() - began < 2
        assert asker.is_alive()
    finally:
        process.kill()
        process.wait()
        asker.join(10)


def test_a_hangup_while_it_starts_is_no_end(tmp_path: Path) -> None:
    """A reload that comes too early, as from a script at boot, left the machine without backups."""
    daemon = Daemon(tmp_path / "d")
    command = [sys.executable, "-P", "-m", "backupd", "--socket", str(daemon.socket), "--state", str(daemon.state)]
    lock = daemon.state / "backupd.lock"
    process = subprocess.Popen([*command, "--config", str(daemon.config)], env=daemon.environ, cwd="/")
    try:
        _wait_until(lambda: lock.exists() and lock.read_text() == str(process.pid))
        process.send_signal(signal.SIGHUP)
        _wait_until(lambda: daemon.answers() or process.poll() is not None)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("piece", "times"), [(b'{"jobs":' + b"[" * 100_000, 1), (b"x" * (1 << 20), 65)], ids=["deep", "endless"]
)
def test_what_answers_in_the_daemons_place_costs_an_error_and_no_more(
    tmp_path: Path, piece: bytes, times: int
) -> None:
    """A socket given by BACKUPD_SOCKET may be anyone's."""
    path = tmp_path / "s"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            end, _ = listener.accept()
            with closing(end), suppress(ConnectionError):
                end.recv(1 << 16)
                end.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                for _ in range(times):
                    end.sendall(piece)

        server = threading.Thread(target=serve)
        server.start()
        done = Daemon(tmp_path / "d").bkctl("job", "list", variables={"BACKUPD_SOCKET": str(path)}, seconds=30)
        server.join(10)
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"error: ")
