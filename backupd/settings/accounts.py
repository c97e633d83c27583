"""The accounts of this machine's users, and which of them this process may become."""

from __future__ import annotations

import os
import pwd
import sys
from typing import NamedTuple

from backupd.command_errors import CommandRefusedError, RunAsError
from backupd.model.orders import Caller


class Identity(NamedTuple):
    """As whom a program runs, where that is another user than ours."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def account_of(user: str | None) -> tuple[pwd.struct_passwd | None, Identity | None]:
    """(the account, how to become it; None: as we are). Raises CommandRefusedError.

    Who we are may have no account: containers give numbers that no table holds.
    """
    uid = os.geteuid()
    if user is None:
        try:
            return pwd.getpwuid(uid), None
        except KeyError:
            return None, None
    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise CommandRefusedError(f"there is no user {user}", hint="the name is that of a login") from error
    if account.pw_uid == uid:
        return account, None
    if uid != 0:
        hint = "leave user out, or have root's backupd do it"
        raise CommandRefusedError(f"it can't run as {user}: only a backupd of root can do that", hint=hint)
    groups = tuple(os.getgrouplist(user, account.pw_gid))
    return account, Identity(account.pw_uid, account.pw_gid, groups)


def reader_of(name: str | None) -> Caller | None:
    """The user with whose rights sources are read; None: who we are. Raises RunAsError. May wait for name services."""
    if name is None:
        return None
    try:
        identity = account_of(name)[1]
    except CommandRefusedError as error:
        is_root = os.geteuid() == 0
        hint = "check the spelling: getent passwd" if is_root else "leave run_as out, or have root's backupd do it"
        raise RunAsError(f"run_as: {error.message}", hint=hint) from error
    if identity is None:
        return None
    if not sys.platform.startswith("linux"):
        raise RunAsError(
            f"run_as: on this system sources can't be read as {name}",
            hint=f"leave run_as out, or have a backupd of {name}'s own make the backups",
        )
    return Caller(uid=identity.uid, gid=identity.gid, groups=list(identity.groups))
