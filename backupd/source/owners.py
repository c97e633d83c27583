"""Names of the owners of entries, asked of the system once each."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable


class Owners:
    """The names of users and groups that a run has met; a number without a name has an empty one.

    Names are bytes as the system's tables hold them. Threads may share one: at worst a name is asked for twice.
    """

    def __init__(self) -> None:
        self.users: dict[int, bytes] = {}
        self.groups: dict[int, bytes] = {}

    def user_name(self, uid: int) -> bytes:
        """The user's name."""
        name = self.users.get(uid)
        if name is None:
            name = self.users[uid] = _user_name(uid)
        return name

    def group_name(self, gid: int) -> bytes:
        """The group's name."""
        name = self.groups.get(gid)
        if name is None:
            name = self.groups[gid] = _group_name(gid)
        return name


    def adopt(self, users: Iterable[tuple[int, bytes]], groups: Iterable[tuple[int, bytes]]) -> None:
        """Names that somebody asked for before, where they were not asked for since."""
        for uid, name in users:
            self.users.setdefault(uid, name)
        for gid, name in groups:
            self.groups.setdefault(gid, name)


def _user_name(uid: int) -> bytes:
    try:
        return os.fsencode(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):
        return b""


def _group_name(gid: int) -> bytes:
    try:
        return os.fsencode(grp.getgrgid(gid).gr_name)
    except (KeyError, OSError):
        return b""
