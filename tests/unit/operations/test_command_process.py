"""Processes of commands: ended in time with all that they start, their output bounded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.command_errors import CommandRefusedError
from backupd.errors import CancelledError
from backupd.operations.commands.process import Ended, Program, run_program
from backupd.operations.programs.output import Lines

ENVIRONMENT = {"PATH": os.environ["PATH"]}


class Run:
    """One script that was run, and what was heard of it."""

    def __init__(
        self, text: str, *, seconds: float = 20, grace_seconds: float = 5, cancel: Cancel | None = None
    ) -> None:
        self.lines: list[str] = []
        self.groups: list[int] = []
        began = time.monotonic()
        program = Program(["/bin/sh", "-c", text], ENVIRONMENT, "/", None)
        lines = Lines(self.lines.append)
        self.ended: Ended = run_program(
            program, seconds, SystemClock(), cancel or Cancel(), lines, self.groups.append, grace_seconds
        )
        self.seconds = time.monotonic() - began

    def is_gone(self) -> bool:
        """Whether nothing of its group lives; a zombie of who is init here does not."""
        try:
            os.killpg(self.groups[0], 0)
        except ProcessLookupError:
            return True
        return not [one for one in os.listdir("/proc") if one.isdigit() and self._lives(one)]

    def _lives(self, pid: str) -> bool:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return int(fields[2]) == self.groups[0] and fields[0] not in "ZX"


def until(look: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not look() and time.monotonic() < end:
        time.sleep(0.02)
    return look()


def test_what_it_says_comes_line_by_line_and_its_exit_is_told() -> None:
    run = Run("echo one; echo two >&2; printf '\\033[31mred\\377'; exit 7")
    assert run.lines == ["one", "two", "\\x1b[31mred\\xff"]
    assert run.ended == Ended(7, "itself", is_left_behind=False)


def test_a_signal_that_ends_it_is_told_as_a_shell_tells_it() -> None:
    assert Run("kill -9 $$").ended.exit == 137


def test_its_input_is_empty_and_nothing_of_ours_is_open(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        run = Run("cat; ls /proc/self/fd | tr '\\n' ' '")
    assert run.lines == ["0 1 2 3 "]


@pytest.mark.platform("linux")
def test_a_timeout_ends_its_whole_group() -> None:
    """Else a hung dump holds its database for ever."""
    run = Run("sleep 300 & sleep 300", seconds=0.3)
    assert (run.ended.because, run.ended.exit) == ("timeout", 143)
    assert run.seconds < 4
    assert until(run.is_gone)


@pytest.mark.platform("linux")
def test_what_ignores_the_signal_is_killed() -> None:
    run = Run("trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & while :; do sleep 0.1; done", seconds=0.3,
              grace_seconds=0.5)  # fmt: skip
    assert run.ended.exit == 137
    assert until(run.is_gone)


def test_a_group_has_time_to_put_things_right(tmp_path: Path) -> None:
    """A database that is told to stop needs more than its shell does."""
    done = tmp_path / "done"
    run = Run(f"(trap 'sleep 0.5; echo x > {done}; exit' TERM; while :; do sleep 0.05; done) & sleep 300", seconds=0.3)
    assert run.ended.because == "timeout"
    assert done.exists()


@pytest.mark.platform("linux")
def test_a_cancel_ends_it() -> None:
    cancel = Cancel()
    threading.Timer(0.3, lambda: cancel.request(CancelledError("cancelled"))).start()
    run = Run("sleep 300", cancel=cancel)
    assert run.ended.because == "cancel"
    assert until(run.is_gone)


def test_what_stays_in_the_background_and_holds_the_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run = Run(f"sleep 30 & echo $! > {pid}; echo started")
    try:
        assert run.ended == Ended(0, "itself", is_left_behind=True)
        assert run.lines == ["started"]
        assert run.seconds < 5
        os.kill(int(pid.read_text()), 0)
    finally:
        os.kill(int(pid.read_text()), 9)


def test_a_flood_is_cut_and_counted() -> None:
    """44 MB of it: neither the log nor memory grows with it."""
    run = Run("yes 0123456789 | head -n 4000000")
    assert run.ended.exit == 0
    assert sum(map(len, run.lines)) < 64 << 10
    kept = len(run.lines) - 1
    assert run.lines[-1] == f"{4_000_000 - kept:,} more lines left out"


def test_a_line_without_an_end_is_cut_too() -> None:
    run = Run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end")
    assert sum(map(len, run.lines)) < 65 << 10
    assert max(map(len, run.lines)) <= 4096
    assert run.lines[-1].endswith("more lines left out")


def test_what_can_not_be_begun_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "no-program"
    plain.write_bytes(b"\x00\x01\x02")
    plain.chmod(0o755)
    for argv, directory, said in (
        ([str(tmp_path / "gone")], "/", "No such file"),
        ([str(plain)], "/", "Exec format error"),
        (["/bin/true"], str(tmp_path / "nowhere"), "nowhere"),
        (["/bin/true", "a\0b"], "/", "null byte"),
    ):
        with pytest.raises(CommandRefusedError, match=said):
            run_program(Program(argv, {}, directory, None), 5, SystemClock(), Cancel(), Lines(print), print)
