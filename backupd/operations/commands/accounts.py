"""What has to be there for a command."""

from __future__ import annotations

import os

from backupd.command_errors import CommandRefusedError
from backupd.model.commands import CommandText
from backupd.model.sets import SetText
from backupd.operations.programs.vouching import vouch
from backupd.settings.accounts import account_of
from backupd.settings.config_documents import is_elsewhere

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


def fault_of(command: CommandText) -> CommandRefusedError | None:
    """Why it would be refused now; None: it would not."""
    try:
        argv_of(command)
        directory_of(command)
        account_of(command.user)
    except CommandRefusedError as error:
        return error
    return None


def command_warnings(text: SetText) -> list[str]:
    """A sentence for each command of a set that would be refused here now; reads directories."""
    if is_elsewhere(text):
        return []
    faults = [(one.name, fault_of(one)) for one in text.commands]
    return [f"{text.name}: command {name}: {fault.message}" for name, fault in faults if fault is not None]
