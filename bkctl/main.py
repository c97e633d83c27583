"""Entry of bkctl: reads the environment, runs one command, prints what came of it. Nothing else prints errors."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.exceptions import Exit, NoArgsIsHelpError
from click.shell_completion import shell_complete

from backupd.errors import BackupError, CancelledError, UsageError
from backupd.private_memory import keep_private
from bkctl.commands.completion import VARIABLE
from bkctl.output import SCHEMA, ReaderGoneError
from bkctl.screen import Screen
from bkctl.session import Environment, Reply, Session, described
from bkctl.verbs import root

_READER_GONE = 141
_XDG = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_DONE_BUT_LOOK = 3


def main() -> int:
    """Run with the words and the environment of this process; returns the exit code."""
    keep_private()
    instruction = os.environ.get(VARIABLE)
    if instruction:
        session = Session(read_environment(os.environ))
        return shell_complete(root, {"obj": session}, "bkctl", VARIABLE, instruction)
    code = run(sys.argv[1:], read_environment(os.environ))
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _READER_GONE
    # As it ends Python would look for garbage among all objects, a fifth of what a short command takes.
    gc.freeze()
    return code


def read_environment(variables: Mapping[str, str]) -> Environment:
    """The few variables that count."""
    return Environment(
        password_file=variables.get("BKCTL_PASSWORD_FILE"),
        password_command=variables.get("BKCTL_PASSWORD_COMMAND"),
        credentials_file=variables.get("BKCTL_CREDENTIALS_FILE"),
        is_ci=variables.get("CI", "").lower() not in ("", "0", "false"),
        has_colour=not variables.get("NO_COLOR"),
        is_dumb_terminal=variables.get("TERM") == "dumb",
        socket_path=variables.get("BACKUPD_SOCKET"),
        runtime_directory=variables.get("XDG_RUNTIME_DIR"),
        xdg={name: variables[name] for name in _XDG if variables.get(name)},
    )


def run(arguments: Sequence[str], environment: Environment) -> int:
    """Run one command and print its reply; returns the exit code."""
    _open_standard_descriptors()
    session = Session(environment)
    try:
        return _finish(session, _reply(session, arguments))
    except ReaderGoneError:
        return _READER_GONE
    except BackupError as error:
        _print_error(session, described(error))
        return error.exit_code


def _reply(session: Session, arguments: Sequence[str]) -> Reply:
    """Carry the command out; every error becomes a reply."""
    try:
        with root.make_context("bkctl", list(arguments), obj=session) as ctx:
            reply: Reply = root.invoke(ctx)
            return reply
    except Exit as end:
        return Reply(end.exit_code)
    except NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return Reply(UsageError.exit_code)
    except click.ClickException as error:
        _guess_form(session, arguments)
        return _failed(UsageError(error.format_message().rstrip("."), hint=_usage_hint(session)))
    except UsageError as error:
        _guess_form(session, arguments)
        return _failed(error)
    except BackupError as error:
        return _failed(error)
    except (KeyboardInterrupt, click.Abort):
        return _failed(CancelledError("cancelled before anything was started"))
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except (UnicodeEncodeError, OSError) as error:
        return _failed(_of_python(error))


def _of_python(error: UnicodeEncodeError | OSError) -> BackupError:
    if isinstance(error, UnicodeEncodeError):
        return UsageError("a word of the command line is not UTF-8", hint="only paths may have any bytes")
    return BackupError(f"the system refused: {error}", hint="nothing was started, or what was goes on")


def _finish(session: Session, reply: Reply) -> int:
    """Write the result, then say what went wrong."""
    has_document = session.form != "text" and (reply.error is not None or reply.result is not None)
    lines = _wanted_lines(session, reply)
    if has_document or lines or session.writer is not None:
        writer = session.open_writer()
        if has_document:
            writer.document(_document(session, reply), reply.items_name)
        writer.lines(lines)
        writer.close(is_good=has_document or reply.result is not None)
    screen = Screen(session)
    for warning in reply.warnings:
        screen.say("warning", warning)
    if reply.error is not None:
        is_mild = reply.exit_code == _DONE_BUT_LOOK and not session.is_quiet
        _print_error(session, reply.error, "warning" if is_mild else "error")
    return reply.exit_code


def _wanted_lines(session: Session, reply: Reply) -> list[str]:
    """Text goes out where text was asked for; `-q` does without the report of a change that went well."""
    is_report = "changed" in (reply.result or {})
    return [] if session.form != "text" or (session.is_quiet and is_report) else reply.lines


def _print_error(session: Session, error: Mapping[str, Any], label: str = "error") -> None:
    screen = Screen(session)
    screen.say(label, str(error.get("message", "")))
    hint = error.get("hint") or _candidates_hint(error.get("context") or {})
    if hint:
        screen.say("hint", str(hint))


def _candidates_hint(context: Mapping[str, Any]) -> str:
    """What else the name could have been."""
    candidates = [str(candidate) for candidate in context.get("candidates") or []]
    return f"there is {', '.join(candidates)}" if candidates else ""


def _document(session: Session, reply: Reply) -> dict[str, Any]:
    result = reply.result
    if "changed" in (result or {}):
        # What can't be rehearsed, or has no fields to compare, says so in the same words.
        result = {"diff": {}, "dry_run": False, **(result or {})}
    return {
        "schema": SCHEMA,
        "command": session.command,
        "ok": reply.exit_code == 0,
        "exit": reply.exit_code,
        "result": result,
        "error": reply.error,
        "warnings": reply.warnings,
    }


def _failed(error: BackupError) -> Reply:
    return Reply(error.exit_code, error=described(error))


def _guess_form(session: Session, arguments: Sequence[str]) -> None:
    """Words that don't fit may end parsing before `--json` is met; the answer is JSON all the same."""
    options = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    session.is_json = session.is_json or "--json" in options
    session.is_jsonl = session.is_jsonl or "--jsonl" in options


def _usage_hint(session: Session) -> str:
    return f"see {' '.join(['bkctl', *session.command.split(), '--help'])}"


def _open_standard_descriptors() -> None:
    """A descriptor 0, 1 or 2 closed by the caller would be given to a socket, and messages written into it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
