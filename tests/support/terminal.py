"""`bkctl` on a terminal of its own, and somebody who types."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SECONDS = 60.0


def on_terminal(
    words: Sequence[str | Path], environ: Mapping[str, str], typed: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[int, bytes]:
    """Run bkctl; exit code and all that the terminal showed.

    typed: what is typed in, each after the words that it answers have been shown.
    """
    command = [sys.executable, "-P", "-m", "bkctl", *map(str, words)]
    child, terminal = pty.fork()
    if not child:
        os.execve(command[0], command, dict(environ))
    shown, begun, todo = b"", 0, list(typed)
    end = time.monotonic() + _SECONDS
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            part = os.read(terminal, 1 << 16)
            if not part:
                break
            shown += part
            if todo and todo[0][0] in shown[begun:]:
                begun = len(shown)
                os.write(terminal, todo.pop(0)[1] + b"\n")
    except OSError:
        # Linux says so when the other end is closed.
        pass
    finally:
        os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not todo, (code, shown)
    return code, shown
