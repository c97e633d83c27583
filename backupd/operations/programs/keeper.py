"""The end of a program with the job that runs it, however that ends: killed, too, and with the daemon."""

from __future__ import annotations

import subprocess
from contextlib import suppress

from backupd.operations.programs.accounts import Identity, rights_of
from backupd.operations.programs.groups import REAP_SECONDS

_SCRIPT = 'read -r word || kill -s KILL -- "-$1"'


class Keeper:
    """A shell that kills a group when this process is gone: then its standard input ends."""

    def __init__(self, group: int, identity: Identity | None) -> None:
        """identity: of the group's user. Raises OSError, SubprocessError."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "backupd-keeper", str(group)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            # Who ends a job at once ends its groups, but not this one.
            start_new_session=True,
            **rights_of(identity),
        )

    def dismiss(self) -> None:
        """The group is ended, or about to be; to be called while its number is nobody else's."""
        with suppress(OSError, subprocess.TimeoutExpired):
            if self._process.stdin is not None:
                with self._process.stdin as pipe:
                    pipe.write(b"\n")
            self._process.wait(REAP_SECONDS)
