"""The user with whose rights a set's sources are read: looked up anew by each job."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from backupd.command_errors import CommandRefusedError, RunAsError
from backupd.model.orders import Caller
from backupd.operations.programs.accounts import account_of
from backupd.source.user_rights import SourceRights, rights_of


def user_of(name: str | None) -> Caller | None:
    """Who that is; None: who we are. Raises RunAsError. May wait for name services."""
    if name is None:
        return None
    try:
        identity = account_of(name)[1]
    except CommandRefusedError as error:
        raise RunAsError(f"run_as: {error.message}", hint=error.hint) from error
    if identity is None:
        return None
    if not sys.platform.startswith("linux"):
        raise RunAsError(
            f"run_as: on this system sources can't be read as {name}",
            hint=f"leave run_as out, or have a backupd of {name}'s own make the backups",
        )
    return Caller(uid=identity.uid, gid=identity.gid, groups=list(identity.groups))


@contextmanager
def rights_to_read(name: str | None) -> Iterator[SourceRights]:
    """That user's rights, for the block. Raises RunAsError."""
    with rights_of(user_of(name)) as rights:
        yield rights
