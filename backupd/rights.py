"""Whose rights a process works with: its own, or an ordinary user's with its own for single steps (CLI.md, Access)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from backupd.errors import RoleError
from backupd.model.orders import Caller

_CAP_SYS_ADMIN = 21


def may_administrate() -> bool:
    """Whether this process may mount, and remove what root alone removes (CAP_SYS_ADMIN)."""
    try:
        with open("/proc/self/status", "rb") as file:
            rows = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        return bool(int(rows[b"CapEff"], 16) >> _CAP_SYS_ADMIN & 1)
    except (OSError, KeyError, ValueError):
        return os.geteuid() == 0


class Rights:
    """The rights of a process that may work for a caller. They are the whole process's, all its threads'.

    On Linux each change of them takes the parent-death signal away: what is left is the end of the socket.
    """

    def __init__(self, caller: Caller | None) -> None:
        """caller: None: the process keeps its own rights."""
        self.caller = caller
        self._is_lowered = False

    def lower(self) -> None:
        """Take on the caller's user and groups, if there is a caller; the real user stays root, so nobody signals us.

        Raises RoleError where this process is neither root nor that very user.
        """
        caller = self.caller
        if caller is None or os.geteuid() == caller.uid:
            return
        if os.geteuid() != 0:
            raise RoleError(
                f"user {os.geteuid()} can't work for user {caller.uid}",
                hint="run backupd as root, or as the user who restores",
            )
        os.setgroups(caller.groups)
        os.setegid(caller.gid)
        os.seteuid(caller.uid)
        self._is_lowered = True

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Within the block, the process's own rights; no path that the caller gave is touched there."""
        if not self._is_lowered:
            yield
            return
        former = os.geteuid()
        os.seteuid(0)
        try:
            yield
        finally:
            os.seteuid(former)
