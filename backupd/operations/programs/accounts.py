"""As whom a program of others runs, and what it finds around itself for that."""

from __future__ import annotations

import os
import pwd
from typing import Any, NamedTuple

from backupd.command_errors import CommandRefusedError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for unless somebody says otherwise."""


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


def base_environment(account: pwd.struct_passwd | None) -> dict[str, str]:
    """What each program finds in its environment."""
    name = account.pw_name if account is not None else str(os.geteuid())
    home = account.pw_dir if account is not None else "/"
    return {"PATH": SEARCH_PATH, "HOME": home, "USER": name, "LOGNAME": name}


def rights_of(identity: Identity | None) -> dict[str, Any]:
    """With whose rights a child works, for Popen; for good: a job that works for a caller could take its own back."""
    if identity is not None:
        return {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}
    if os.getuid() != os.geteuid():
        return {"user": os.geteuid(), "group": os.getegid()}
    return {}
