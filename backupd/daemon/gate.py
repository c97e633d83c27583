"""Who is at the other end of a connection, and what that user may do (DESIGN 1; CLI.md, Access)."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Literal

from backupd.errors import DaemonBusyError, RoleError
from backupd.model.orders import Caller
from backupd.model.structs import Struct

Role = Literal["auditor", "restorer", "operator", "admin"]

GRANTS: dict[Role, frozenset[Role]] = {
    "admin": frozenset({"admin", "operator", "restorer", "auditor"}),
    "operator": frozenset({"operator", "auditor"}),
    "restorer": frozenset({"restorer"}),
    "auditor": frozenset({"auditor"}),
}
"""What each role includes. admin is root's equal: hooks and restores run with the daemon's rights."""

EVERYONE: tuple[Role, ...] = ("restorer", "auditor", "operator", "admin")
"""All who have any role."""
WATCHERS: tuple[Role, ...] = ("auditor", "operator", "admin")
RUNNERS: tuple[Role, ...] = ("operator", "admin")
RESTORERS: tuple[Role, ...] = ("restorer", "admin")
ACTORS: tuple[Role, ...] = ("restorer", "operator", "admin")
ADMINS: tuple[Role, ...] = ("admin",)

_LOOKUPS_AT_ONCE = 4
_LOOKUP_SECONDS = 10.0

_SO_PEERCRED = getattr(socket, "SO_PEERCRED", 17)
_LOCAL_PEERCRED = 1
_SOL_LOCAL = 0


class Peer(Struct, frozen=True, kw_only=True):
    """The user at the other end."""

    uid: int
    gid: int
    name: str
    groups: list[int]
    roles: frozenset[Role]
    """With all that they include; empty: may do nothing."""

    @property
    def is_admin(self) -> bool:
        """Whether the user is root's equal here."""
        return "admin" in self.roles


class Gate:
    """Gives roles to users as `access:` says; root and the daemon's own user are always admin."""

    def __init__(self, access: Mapping[Any, Sequence[str]]) -> None:
        """access: role -> names, `%group` or `*`."""
        self.replace(access)
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "lookup")
        """Names and groups may come over the network, and who is asked may hang."""
        self._logins = {uid: _login(uid) for uid in (0, os.geteuid())}

    def replace(self, access: Mapping[Any, Sequence[str]]) -> None:
        """Give roles by another `access:` from now on."""
        self._access = {role: list(words) for role, words in access.items()}

    async def peer(self, uid: int, gid: int) -> Peer:
        """The user who has these `credentials`. Raises OSError, DaemonBusyError: nobody told his groups.

        Root and the daemon's own user wait for nobody.
        """
        if uid in (0, os.geteuid()):
            return Peer(uid=uid, gid=gid, name=self._logins[uid], groups=[gid], roles=GRANTS["admin"])
        lookup = asyncio.get_running_loop().run_in_executor(self._lookups, self._look_up, uid, gid)
        try:
            peer = await asyncio.wait_for(lookup, _LOOKUP_SECONDS)
        except TimeoutError as error:
            raise DaemonBusyError(
                f"the system does not tell the groups of user {uid}", hint="does its name service answer? Try: id"
            ) from error
        self._logins[uid] = peer.name
        return peer

    async def learn_logins(self, uids: Iterable[int]) -> None:
        """Have `login` know these users; one whose name is not told in time stays a number."""
        missing = {uid for uid in uids if uid not in self._logins}
        if missing:
            lookups = asyncio.get_running_loop().run_in_executor(
                self._lookups, lambda: {uid: _login(uid) for uid in missing}
            )
            with suppress(TimeoutError):
                self._logins |= await asyncio.wait_for(lookups, _LOOKUP_SECONDS)

    def login(self, uid: int) -> str:
        """A user's name, or number; as of its last lookup."""
        return self._logins.get(uid, str(uid))

    def _look_up(self, uid: int, gid: int) -> Peer:
        name, groups = _login(uid), [gid]
        with suppress(KeyError):
            groups = os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        return Peer(uid=uid, gid=gid, name=name, groups=groups, roles=self._roles(uid, name, groups))

    def _roles(self, uid: int, name: str, groups: Sequence[int]) -> frozenset[Role]:
        names = {name, str(uid), "*", *(f"%{one}" for one in _group_names(groups))}
        found: set[Role] = set()
        for role, included in GRANTS.items():
            if names & set(self._access.get(role, ())):
                found |= included
        return frozenset(found)


def check(peer: Peer, allowed: Sequence[Role]) -> None:
    """Let pass who has one of the roles. Raises RoleError with the line to add."""
    if not peer.roles & set(allowed):
        line = f"under `access:` in backupd.yaml: {allowed[0]}: [{peer.name}]"
        needs_root = set(allowed) == {"admin"}
        raise RoleError(
            f"{peer.name} has no role that allows this: it takes {' or '.join(allowed)}",
            hint=f"run it as root, whose equal is made {line}" if needs_root else f"an administrator adds {line}",
            context={"needed": list(allowed), "roles": sorted(peer.roles)},
        )


def caller_of(peer: Peer) -> Caller | None:
    """For whom a job is to work; None: for the daemon's own user.

    Raises RoleError where this daemon, no root's, can't take on another user's rights.
    """
    if peer.is_admin:
        return None
    if os.geteuid() != 0:
        raise RoleError(
            f"this backupd runs as user {os.geteuid()} and can't work with the rights of {peer.name}",
            hint="ask the machine's own one: bkctl --system",
        )
    return Caller(uid=peer.uid, gid=peer.gid, groups=peer.groups)


def credentials(end: socket.socket) -> tuple[int, int]:
    """(uid, gid) of who opened the other end. Raises OSError."""
    if sys.platform == "darwin":
        found = end.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        _, uid, count = struct.unpack_from("=IIh", found)
        gid = struct.unpack_from("=I", found, 12)[0] if count else 0
        return uid, gid
    _, uid, gid = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, 12))
    return uid, gid


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_names(groups: Sequence[int]) -> list[str]:
    found: list[str] = []
    for gid in groups:
        try:
            found.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            found.append(str(gid))
    return found
