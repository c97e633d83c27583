"""What the commands of a set must be like. Errors carry in `at` which part of the text is to blame."""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from backupd.errors import ConfigError, UsageError
from backupd.model.commands import MOST_COMMANDS, CommandStatus, CommandText
from backupd.sizes import parse_duration

OWN_PREFIX = "BACKUPD_"
_NOT_OWN = "BACKUPD_SOCKET"
"""Tells bkctl which daemon is meant; a command may call it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_USER = re.compile(r"[^\s:/\0-][^\s:/\0]{0,255}")
_MOST_BYTES = 64 << 10
_MOST_VARIABLES = 64
_MOST_SECONDS = 7 * 86400


def check_commands(set_name: str, commands: list[CommandText]) -> None:
    """Raises ConfigError."""
    if len(commands) > MOST_COMMANDS:
        message = f"{set_name}: {len(commands)} commands"
        raise ConfigError(message, hint=f"{MOST_COMMANDS} at most", context={"at": ["commands"]})
    seen: set[str] = set()
    for number, command in enumerate(commands):
        field, message, hint = _fault(command)
        if not message and command.name in seen:
            field, message, hint = "name", "a second one of that name", "give each its own"
        if message:
            at: list[Any] = ["commands", number, *([field] if field else [])]
            raise ConfigError(f"{set_name}: command '{_shown(command.name)}': {message}", hint=hint, context={"at": at})
        seen.add(command.name)


def check_login(user: str) -> None:
    """Raises UsageError for what can be no login name."""
    if _USER.fullmatch(user) is None:
        raise UsageError(f"'{_shown(user)}' is no login name", hint="run_as: alice")


def timeout_seconds(command: CommandText) -> int:
    """How long it may take. Raises UsageError."""
    return parse_duration(command.timeout)


def ends_run(command: CommandText, status: CommandStatus) -> Literal["skip", "fail"] | None:
    """What becomes of the run after a command before it that ended so; None: the run is made."""
    if status == "skipped":
        return "skip"
    if status in ("done", "not_run") or command.on_error == "warn":
        return None
    return command.on_error


def fault_of_variable(name: str, value: str) -> tuple[str, str] | None:
    """(what is wrong, hint) of a variable that is put into the environment of a program of others."""
    if _VARIABLE.fullmatch(name) is None:
        return f"'{_shown(name)}' is no name of a variable", "letters, digits and '_'"
    if name.startswith(OWN_PREFIX) and name != _NOT_OWN:
        return f"{name} is told by backupd itself", "take another name"
    if "\0" in value or not _is_text([value]) or len(value.encode()) > _MOST_BYTES:
        return f"{name} has a value that no variable can have", "text without NUL, 64 KiB at most"
    return None


def _fault(command: CommandText) -> tuple[str, str, str]:
    """(field, what is wrong, hint); all empty: nothing is."""
    if _NAME.fullmatch(command.name) is None:
        return "name", "that is no name", "letters, digits, '.', '_' and '-', 64 at most"
    found = _fault_of_program(command) or _fault_of_surroundings(command)
    if found is not None:
        return found
    if command.on_error != "warn" and command.when != "pre":
        hint = "only a command before the run can keep it from being made"
        return "on_error", f"on_error: {command.on_error} with when: {command.when}", hint
    return "", "", ""


def _fault_of_program(command: CommandText) -> tuple[str, str, str] | None:
    if bool(command.run) == (command.shell is not None):
        return "", "it has one of run and shell", "write it as run: [/path/of/program, argument]"
    words = command.run if command.shell is None else [command.shell]
    field = "run" if command.shell is None else "shell"
    if not words[0].strip():
        return field, "it is empty", "leave the command out instead"
    if command.run and not os.path.isabs(words[0]):
        return field, f"'{_shown(words[0])}' is no absolute path of a program", "begin it with /"
    if any("\0" in word for word in words) or not _is_text(words):
        return field, "it holds what no argument can", "leave out NUL and what is no UTF-8"
    if sum(len(word.encode()) + 1 for word in words) > _MOST_BYTES:
        return field, "it is too long", "64 KiB at most; write a script"
    return None


def _fault_of_surroundings(command: CommandText) -> tuple[str, str, str] | None:
    if command.directory is not None and (not os.path.isabs(command.directory) or "\0" in command.directory):
        return "directory", f"'{_shown(command.directory)}' is no absolute path", "begin it with /"
    if command.user is not None and _USER.fullmatch(command.user) is None:
        return "user", f"'{_shown(command.user)}' is no login name", "user: postgres"
    try:
        seconds = timeout_seconds(command)
    except UsageError as error:
        return "timeout", error.message, error.hint
    if not 0 < seconds <= _MOST_SECONDS:
        return "timeout", f"timeout: {command.timeout}", "more than nothing, and 7 days at most"
    if len(command.environment) > _MOST_VARIABLES:
        return "environment", f"{len(command.environment)} variables", f"{_MOST_VARIABLES} at most"
    found = next((found for one in command.environment.items() if (found := fault_of_variable(*one))), None)
    return ("environment", *found) if found is not None else None


def _is_text(words: list[str]) -> bool:
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:100])
