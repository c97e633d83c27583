"""The end of a program with the job that runs it, however that ends: killed, too, and with the daemon."""

from __future__ import annotations

import subprocess
from contextlib import suppress

from backupd.operations.programs.accounts import rights_of
from backupd.operations.programs.groups import REAP_SECONDS
from backupd.settings.accounts import Identity

_LISTEN = "read -r word || kill -s KILL -- -$$"
_SCRIPT = f"trap '' TERM INT HUP; {_LISTEN}; exec >/dev/null; {_LISTEN}"


class Keeper:
    """A shell that kills its process group when this process is gone: then its standard input ends.

    It is there before the program, which is started into that group, so that there is no moment between.
    """

    def __init__(self, identity: Identity | None, held: int = subprocess.DEVNULL) -> None:
        """identity: as whom the program runs. held: a pipe that it reads, which is not to end before the program does.

        Raises OSError, SubprocessError.
        """
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "backupd-keeper"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=held,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            # In our session: others can't be put into a group of another.
            process_group=0,
            **rights_of(identity),
        )
        self._holds = True

    @property
    def group(self) -> int:
        """The number of the group, which is nobody else's before `dismiss`."""
        return self._process.pid

    def let_go(self) -> None:
        """All is written to the pipe that it holds."""
        if self._holds:
            self._holds = False
            self._say(b"\n")

    def dismiss(self) -> None:
        """The group was killed, or has no other member."""
        self.let_go()
        self._say(b"\n")
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_SECONDS)

    def _say(self, word: bytes) -> None:
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(word)
