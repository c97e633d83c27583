"""The end of programs: seen without giving their number away, and brought about for all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

REAP_SECONDS = 5.0
"""How long the end of what was killed is waited for: stuck in the kernel, at a dead mount perhaps, it never comes."""
_SIGNAL = 'kill -s "$1" -- "-$2"'


def code_of(process: subprocess.Popen[bytes]) -> int | None:
    """How a leader ended, as Popen has it; None: it has not. Till it is reaped its group's number is nobody else's."""
    if process.returncode is not None or sys.platform == "darwin":
        return process.poll()
    found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def signal_group(group: int, uid: int | None, number: signal.Signals) -> None:
    """Send a signal to all of a group. uid: of its user, where that is another; from any thread, some seconds at most.

    Root may lack the right to signal others, but not that to become them: a child does, for rights are the whole
    process's.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    if uid is None or uid == os.geteuid():
        return
    words = ["/bin/sh", "-c", _SIGNAL, "kill", number.name.removeprefix("SIG"), str(group)]
    null = subprocess.DEVNULL
    with suppress(OSError, subprocess.SubprocessError):
        child = subprocess.Popen(words, stdin=null, stdout=null, stderr=null, env={}, user=uid, extra_groups=[])
        # Its user could stop it.
        child.wait(REAP_SECONDS)
