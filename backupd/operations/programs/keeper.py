"""The end of a program with the job that runs it, however that ends: killed, too, and with the daemon."""

from __future__ import annotations

import subprocess
from contextlib import suppress

from backupd.operations.programs.accounts import Identity, rights_of
from backupd.operations.programs.groups import REAP_SECONDS

_SCRIPT = "trap '' TERM INT HUP; read -r word || kill -s KILL -- -$$"


class Keeper:
    """A shell that kills its process group when this process is gone: then its standard input ends.

    It is there before the program, which is started into that group, so that there is no moment between.
    """

    def __init__(self, identity: Identity | None) -> None:
        """identity: as whom the program runs. Raises OSError, SubprocessError."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "backupd-keeper"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            # In our session: others can't be put into a group of another.
            process_group=0,
            **rights_of(identity),
        )

    @property
    def group(self) -> int:
        """The number of the group, which is nobody else's before `dismiss`."""
        return self._process.pid

    def dismiss(self) -> None:
        """The group was killed, or has no other member."""
        with suppress(OSError, subprocess.TimeoutExpired):
            if self._process.stdin is not None:
                with self._process.stdin as pipe:
                    pipe.write(b"\n")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_SECONDS)
