"""The machine's sleep: held off while jobs run, and ended for a schedule that says so (FEATURES 3.4)."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from backupd.daemon.wake_timer import WakeTimer
from backupd.model.status import Finding

_WAIT_SECONDS = 5
_BOOTED = "/run/systemd/system"
"""There where systemd is the first process (sd_booted(3)): else there is no login manager to ask."""

_log = logging.getLogger("backupd.sleep")


class Sleep:
    """What one daemon asks of its machine. Methods may take milliseconds: they run on another thread."""

    def __init__(self, environment: Mapping[str, str], booted: str = _BOOTED) -> None:
        """booted: directory that is there where systemd runs the machine."""
        self._environment, self._booted = environment, booted
        self._holder: subprocess.Popen[bytes] | None = None
        self._has_failed = self._has_said = False
        self._timer: WakeTimer | None = None
        self._wakes_at_ns: int | None = None

    def ask(self, is_busy: bool, wakes_at: datetime | None) -> None:
        """Both of what follows."""
        self.hold_off(is_busy=is_busy)
        self.wake_at(int(wakes_at.timestamp()) * 1_000_000_000 if wakes_at is not None else None)

    def hold_off(self, *, is_busy: bool) -> None:
        """Keep the machine from falling asleep while jobs run, where it can be."""
        if self._holder is not None and self._holder.poll() is not None:
            said = self._holder.stderr.read(400) if self._holder.stderr is not None else b""
            if not self._has_said:
                self._has_said = True
                _log.info("sleep can't be held off while jobs run: %s", said.decode(errors="replace").strip())
            self._holder, self._has_failed = None, True
        if is_busy and self._holder is None and not self._has_failed:
            self._begin()
        elif not is_busy:
            self._end()

    def wake_at(self, at_ns: int | None) -> None:
        """Have the machine awake at a moment, in place of the one before; None: at none."""
        if at_ns == self._wakes_at_ns:
            return
        self._wakes_at_ns = at_ns
        if at_ns is None:
            self._forget_timer()
            return
        try:
            self._timer = self._timer or WakeTimer()
            self._timer.set(at_ns)
        except OSError as error:
            _log.warning("the machine can't be woken for schedules: %s", error.strerror)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._end()
        self._forget_timer()

    def _forget_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()

    def _begin(self) -> None:
        words = holding_command(sys.platform, self._booted)
        if not words or shutil.which(words[0], path=self._environment.get("PATH")) is None:
            self._has_failed = True
            return
        with suppress(OSError):
            # It ends with its input: nothing is held off for ever by a daemon that was killed.
            self._holder = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self._environment
            )

    def _end(self) -> None:
        holder, self._holder, self._has_failed = self._holder, None, False
        if holder is None:
            return
        for end in (holder.stdin, holder.stderr):
            if end is not None:
                end.close()
        try:
            holder.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()


def holding_command(platform: str, booted: str = _BOOTED) -> Sequence[str]:
    """The words that hold off sleep until their input ends; none: nobody here could be asked."""
    if platform == "darwin":
        return ("caffeinate", "-i", "cat")
    if platform.startswith("linux") and os.path.isdir(booted):
        why = "--why=a backup job runs"
        return ("systemd-inhibit", "--what=sleep", "--who=backupd", why, "--mode=block", "cat")
    return ()


def findings(environment: Mapping[str, str], wakes: Sequence[str]) -> list[Finding]:
    """For `doctor`: whether sleep can be held off, and ended for these sets, which want it."""
    found: list[Finding] = []
    words = holding_command(sys.platform)
    told = "held off while jobs run" if words else "nobody here puts the machine to sleep that could be asked not to"
    if words and shutil.which(words[0], path=environment.get("PATH")) is None:
        message = "the machine may fall asleep while a job runs; the job goes on when it wakes"
        found.append(Finding(check="sleep", verdict="look", message=message, mend=f"install {words[0]}"))
    if wakes:
        try:
            WakeTimer().close()
        except OSError as error:
            message = f"{', '.join(wakes)}: the machine can't be woken for them: {error.strerror}"
            mend = "bkctl daemon install --system --with wake --start; or leave wake out: a missed run is made up for"
            found.append(Finding(check="wake", verdict="look", message=message, mend=mend))
    return found or [Finding(check="sleep", verdict="ok", message=told)]
