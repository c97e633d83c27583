"""As whom a command runs, and what has to be there for it."""

from __future__ import annotations

import os
import pwd

from backupd.command_errors import CommandRefusedError
from backupd.model.commands import CommandText
from backupd.operations.commands.process import Identity
from backupd.operations.commands.vouching import vouch

_SHELL = "/bin/sh"


def argv_of(command: CommandText) -> list[str]:
    """What is run. Raises CommandRefusedError where that could have been changed by others, or is not there."""
    argv = command.run or [_SHELL, "-c", command.shell or ""]
    vouch(argv[0], {0, os.geteuid()})
    return argv


def directory_of(command: CommandText) -> str:
    """Where it runs. Raises CommandRefusedError."""
    directory = command.directory or "/"
    if not os.path.isdir(directory):
        raise CommandRefusedError(f"its directory {directory} is not there", hint="make it, or name another")
    return directory


def account_of(user: str | None) -> tuple[pwd.struct_passwd | None, Identity | None]:
    """(the account, how to become it; None: as we are). Raises CommandRefusedError."""
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


def fault_of(command: CommandText) -> CommandRefusedError | None:
    """Why it would be refused now; None: it would not."""
    try:
        argv_of(command)
        directory_of(command)
        account_of(command.user)
    except CommandRefusedError as error:
        return error
    return None
