"""Carries out the commands of an order, one after the other, and says of each what became of it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from backupd.errors import BackupError
from backupd.model import events
from backupd.model.command_orders import CommandOrder
from backupd.model.commands import POLITE_EXIT, CommandStatus, CommandText
from backupd.operations.commands.accounts import argv_of, directory_of
from backupd.operations.commands.process import Ended, Program, run_program
from backupd.operations.context import JobContext
from backupd.operations.programs.accounts import base_environment
from backupd.operations.programs.output import Lines
from backupd.rules.command_rules import ends_run, timeout_seconds
from backupd.settings.accounts import account_of

_USUAL_LANGUAGE = "C.UTF-8"


def run(order: CommandOrder, context: JobContext) -> events.Done:
    """Run all of them; of those before a run none after one that keeps it from being made."""
    # A command is to see signals as any program does; nobody sends this one to us.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    told: list[dict[str, Any]] = []
    is_ended = False
    for command in order.commands:
        if is_ended or context.cancel.is_requested:
            found = _told(command, "not_run", None, "it was not begun", 0.0)
        else:
            found = _carry_out(command, order.environment, context)
            is_ended = command.when == "pre" and ends_run(command, found["status"]) is not None
        told.append(found)
        context.send(events.Item(item={"command": found}))
    return events.Done(exit_code=0, result={}, warnings=context.warnings)


def _carry_out(command: CommandText, environment: Mapping[str, str], context: JobContext) -> dict[str, Any]:
    context.step(f"{command.when} command {command.name}")
    clock = context.clock
    began = clock.monotonic()

    def tell(line: str) -> None:
        context.tell("information", f"{command.name}: {line}", verbosity=1)

    status: CommandStatus
    exit_code: int | None = None
    try:
        program = _program(command, environment, context.environ)
        uid = program.identity.uid if program.identity is not None else None
        ended = run_program(
            program,
            timeout_seconds(command),
            clock,
            context.cancel,
            Lines(tell),
            lambda group: context.send(events.Item(item={"group": group, "uid": uid})),
        )
    except BackupError as error:
        status, message = "refused", error.message + f" ({error.hint})" * bool(error.hint)
    else:
        exit_code = ended.exit
        status, message = _verdict(ended, command)
        if ended.is_left_behind and ended.because != "itself":
            message += ", but can't be killed and lives on"
        elif ended.is_left_behind:
            tell("what it left running in the background stays; its output is not read any more")
    if status == "skipped":
        context.tell("information", f"{command.name}: {message}")
    elif status != "done":
        context.tell("warning" if command.on_error == "warn" else "error", f"{command.name}: {message}")
    return _told(command, status, exit_code, message, clock.monotonic() - began)


def _verdict(ended: Ended, command: CommandText) -> tuple[CommandStatus, str]:
    if ended.because == "timeout":
        return "timed_out", f"it was ended after its timeout of {command.timeout}"
    if ended.because == "cancel":
        return "stopped", "it was ended with the job"
    if ended.exit == 0:
        return "done", ""
    if ended.exit == POLITE_EXIT:
        return "skipped", "it says that there is nothing to do now (exit 75)"
    if ended.exit > 128:
        return "failed", f"it was ended by signal {ended.exit - 128}"
    return "failed", f"it ended with exit {ended.exit}"


def _told(
    command: CommandText, status: CommandStatus, exit_code: int | None, message: str, seconds: float
) -> dict[str, Any]:
    return {
        "name": command.name,
        "when": command.when,
        "status": status,
        "exit": exit_code,
        "seconds": round(seconds, 3),
        "message": message,
    }


def _program(command: CommandText, told: Mapping[str, str], ours: Mapping[str, str]) -> Program:
    """Raises CommandRefusedError."""
    account, identity = account_of(command.user)
    environment = {
        **base_environment(account),
        "LANG": ours.get("LANG") or _USUAL_LANGUAGE,
        **command.environment,
        **told,
        "BACKUPD_WHEN": command.when,
        "BACKUPD_COMMAND": command.name,
    }
    return Program(argv_of(command), environment, directory_of(command), identity)
