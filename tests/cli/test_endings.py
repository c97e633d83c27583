"""Signals, time limits, closed pipes: what was stored stays, the exit code says why, and no job is left by accident."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.program import command, environment, start

ONCE = ("once", "/etc", "--to", "/nowhere/p")


def told(marker: Path) -> str:
    """What the job was told, once it was."""
    for _ in range(200):
        if marker.exists() and marker.read_text():
            return marker.read_text()
        time.sleep(0.05)
    return "nothing"


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    """Wait until the job is at work."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "int"), (signal.SIGTERM, 143, "term")])
def test_a_signal_cancels_the_job(tmp_path: Path, number: signal.Signals, code: int, word: str) -> None:
    marker = tmp_path / "told"
    with start(f"work:{marker}", *ONCE, "--jsonl", stdout=-1, stderr=-1, start_new_session=True) as process:
        first_line(process)
        process.send_signal(number)
        process.communicate(timeout=20)
    assert (process.returncode, told(marker)) == (code, word)


def test_a_second_signal_ends_a_deaf_job(tmp_path: Path) -> None:
    """A hung job must not keep the terminal for ever."""
    with start("sleep", *ONCE, "--jsonl", stdout=-1, stderr=-1) as process:
        first_line(process)
        process.send_signal(signal.SIGINT)
        for seconds in (0.3, 3, 3, 3, 3):
            # Two that arrive at once are one; one that comes in the last moment is nobody's any more.
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                break
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_hang_up_leaves_the_job_at_work(tmp_path: Path) -> None:
    """A closed laptop must not end a backup that runs on a server."""
    marker = tmp_path / "told"
    with start(f"work:{marker}", *ONCE, "--jsonl", stdout=-1, stderr=-1) as process:
        first_line(process)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=20)
    assert (process.returncode, told(marker)) == (124, "hangup")


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """`nohup bkctl` waits to the end."""
    words = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command(f"work:{tmp_path / 'told'}", *ONCE, "--jsonl")]
    with subprocess.Popen(words, env=environment(), stdout=-1, stderr=-1) as process:
        first_line(process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_a_time_limit_leaves_the_job_at_work(tmp_path: Path) -> None:
    marker = tmp_path / "told"
    with start(f"work:{marker}", *ONCE, "--timeout", "1s", stdout=-1, stderr=-1) as process:
        _, err = process.communicate(timeout=20)
    assert (process.returncode, told(marker)) == (124, "hangup")
    assert b"the job goes on" in err


def test_usr1_shows_where_it_stands(tmp_path: Path) -> None:
    with start(f"work:{tmp_path / 'told'}", *ONCE, "-q", "--jsonl", stdout=-1, stderr=-1) as process:
        first_line(process)
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert b"7 files" in err or b"store: " in err


def test_a_closed_pipe_is_quiet_and_the_backup_goes_on(tmp_path: Path) -> None:
    """`bkctl once --jsonl | head` must not end the backup."""
    marker = tmp_path / "told"
    with start(f"work:{marker}", *ONCE, "--jsonl", stdout=-1, stderr=-1) as process:
        first_line(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert told(marker) == "hangup"


def test_a_closed_pipe_ends_what_only_reads() -> None:
    with start("pour:1000000", "snapshot", "cat", "/a", "--from", ".", stdout=-1, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.wait(20) == 141


def test_closed_descriptors_are_not_taken_by_sockets() -> None:
    """cron and init scripts start programs with nothing open: messages must not go into the job's socket."""
    words = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command("echo", "info")]
    assert subprocess.run(words, env=environment(), check=False, timeout=20).returncode == 0


class Terminal:
    """bkctl at a terminal of its own."""

    def __init__(self, behaviour: str, *words: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            line = command(behaviour, *words)
            os.execve(line[0], line, environment())
        self.shown = b""

    def wait_for(self, text: bytes) -> None:
        """Read until the text is there."""
        for _ in range(200):
            if text in self.shown:
                return
            if select.select([self._fd], [], [], 0.1)[0]:
                self.shown += os.read(self._fd, 4096)
        raise AssertionError(self.shown)

    def type(self, text: bytes) -> None:
        """As if typed."""
        self.shown = b""
        os.write(self._fd, text)

    def end(self) -> int:
        """Read the rest; the exit code."""
        while select.select([self._fd], [], [], 20)[0]:
            try:
                data = os.read(self._fd, 4096)
            except OSError:
                break
            if not data:
                break
            self.shown += data
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def test_ctrl_c_at_a_terminal_asks_first(tmp_path: Path) -> None:
    """One slip of the hand must not end a backup of a night."""
    marker = tmp_path / "told"
    terminal = Terminal(f"work:{marker}", *ONCE)
    terminal.wait_for(b"store")
    terminal.type(b"\x03")
    terminal.wait_for(b"or cancel?")
    terminal.type(b"n\n")
    terminal.wait_for(b"store")
    terminal.type(b"\x03")
    terminal.wait_for(b"or cancel?")
    terminal.type(b"c\n")
    assert terminal.end() == 130
    assert told(marker) == "int"


def test_ctrl_c_at_a_terminal_can_detach(tmp_path: Path) -> None:
    """Who must leave can leave the job to itself."""
    marker = tmp_path / "told"
    terminal = Terminal(f"work:{marker}", *ONCE)
    terminal.wait_for(b"store")
    terminal.type(b"\x03")
    terminal.wait_for(b"or cancel?")
    terminal.type(b"d\n")
    assert terminal.end() == 124
    assert told(marker) == "hangup"


def test_ctrl_c_twice_cancels(tmp_path: Path) -> None:
    marker = tmp_path / "told"
    terminal = Terminal(f"work:{marker}", *ONCE)
    terminal.wait_for(b"store")
    terminal.type(b"\x03")
    terminal.wait_for(b"or cancel?")
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert told(marker) == "int"


def test_questions_are_asked_until_they_are_understood() -> None:
    terminal = Terminal("ask", "info", "--json")
    terminal.wait_for(b"Replace it? [y/N] ")
    terminal.type(b"perhaps\n")
    terminal.wait_for(b"Replace it? [y/N] ")
    terminal.type(b"y\n")
    terminal.wait_for(b"Type Documents to confirm: ")
    terminal.type(b"Documents\n")
    terminal.wait_for(b"[a]ll: ")
    terminal.type(b"a\n")
    assert terminal.end() == 0
    assert b'"Documents",' in terminal.shown


def test_a_missing_key_is_asked_for_and_not_shown() -> None:
    terminal = Terminal("want-key", "info")
    terminal.wait_for(b"Password or key of the repository: ")
    terminal.type(b"letters\n")
    assert terminal.end() == 0
    assert b"opened with:  letters" in terminal.shown
