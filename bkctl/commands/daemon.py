"""`bkctl daemon …`: the daemon as a service of the machine or of a user."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable
from operator import methodcaller
from typing import Any

import click

from backupd.errors import AnswerNeededError, BackupError, CancelledError, ConflictError, UsageError
from backupd.model.api import Change as Settings
from backupd.model.api import Nothing
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.grammar import Noun, Verb
from bkctl.places import absolute_text
from bkctl.render import config as render_config
from bkctl.render import service as render
from bkctl.service import purging
from bkctl.service.installing import (
    PROGRAM,
    Change,
    direct,
    install,
    must_be_installed,
    uninstall,
    variables_of,
)
from bkctl.service.manager import Manager, Standing, Wanted
from bkctl.service.scope import Scope, must_be_root, scope_of
from bkctl.service.shipped import drop_ins
from bkctl.service.standing import stands
from bkctl.session import Reply, Session, described


@click.group("daemon", cls=Noun, short_help="The daemon as a service.")
def daemon() -> None:
    """Have the daemon run unattended: started at boot, by systemd or launchd, for the machine (root) or for a user."""


@daemon.command(
    "install",
    cls=Verb,
    short_help="Put the service in place.",
    examples=[
        "bkctl daemon install --start",
        "bkctl daemon install --system --socket-group backup --with fs-snapshots --dry-run",
        "bkctl daemon install --system --root /mnt/image",
    ],
)
@click.option("--socket-group", metavar="GROUP", help="Who may reach the socket; default: backupd. Made if need be.")
@click.option("--socket-mode", type=click.Choice(["0660", "0666"]), help="0666: everybody reaches the socket.")
@click.option("--with", "added", metavar="NAME", multiple=True, help=f"Further rights: {', '.join(drop_ins())}.")
@click.option("--without", "taken", metavar="NAME", multiple=True, help="Take such rights back.")
@click.option("--start", is_flag=True, help="Start it now, too; one that runs is started anew if it changed.")
@click.option("--root", metavar="DIR", type=click.Path(), help="Into an image of another system below DIR.")
@click.option("--dry-run", is_flag=True, help="Say what would be written and run; change nothing.")
@click.pass_obj
def install_service(session: Session, /, **given: Any) -> Reply:
    """Write the units of this very program, make the socket's group, and have the daemon start at boot.

    Root's is the machine's, anybody else's his own. The same again changes nothing; what is not given stays as it is.
    """
    root = absolute_text(given["root"]) if given["root"] is not None else ""
    if root and given["start"]:
        raise UsageError("--start and --root exclude each other", hint="it starts with the other system")
    scope = scope_of(session, root, is_new=True)
    wanted = Wanted(
        program=PROGRAM,
        variables=variables_of(scope),
        socket_group=given["socket_group"],
        socket_mode=given["socket_mode"],
        added=given["added"],
        taken=given["taken"],
    )
    change = install(scope, wanted, start=given["start"], dry_run=given["dry_run"])
    following = render.after_install(scope, is_started=given["start"], dry_run=given["dry_run"])
    return _reply(scope, change, given["dry_run"], following)


@daemon.command(
    "uninstall",
    cls=Verb,
    short_help="Take the service away.",
    examples=["bkctl daemon uninstall", "bkctl daemon uninstall --purge --dry-run"],
)
@click.option("--purge", is_flag=True, help="Also settings, catalog, logs and keys; refused while a key is unproved.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.pass_obj
def uninstall_service(session: Session, /, purge: bool, dry_run: bool) -> Reply:
    """Stop the daemon, its jobs at their checkpoints, and remove its units. What destinations hold is never touched."""
    scope = scope_of(session)
    must_be_root(scope)
    client = DaemonClient(scope.socket, f"start it first, to be asked what it knows: bkctl daemon start {scope.option}")
    doomed: list[str] = []
    known = purging.Known()
    if purge:
        known = purging.known_to(client)
        purging.refuse_loss(scope, known)
        doomed = purging.directories(scope)
        if not dry_run:
            _must_be_confirmed(session, doomed)
    change = uninstall(scope, dry_run=dry_run)
    if purge and not dry_run:
        if client.is_there():
            raise ConflictError(
                "a backupd that is no service still runs", hint=f"end it, then remove {', '.join(doomed)} by hand"
            )
        doomed = _purged(scope, known)
    reply = _reply(scope, change, dry_run, render.after_uninstall(doomed, change, is_purge=purge, dry_run=dry_run))
    assert reply.result is not None
    reply.result["purged"] = doomed
    reply.result["changed"] = reply.result["changed"] or bool(doomed)
    return reply


def _purged(scope: Scope, known: purging.Known) -> list[str]:
    """Remove what is there, unless something came in since it was looked at last: a run may have ended meanwhile."""
    try:
        purging.refuse_loss(scope, known)
    except BackupError as error:
        kept = ", ".join(purging.directories(scope))
        error.hint = f"{error.hint}; the service is gone, its directories are all there: {kept}"
        raise
    return purging.purge(scope)


def _must_be_confirmed(session: Session, doomed: list[str]) -> None:
    """Raises AnswerNeededError, CancelledError."""
    name = socket.gethostname()
    if session.confirmed == name:
        return
    question = f"Remove {', '.join(doomed)} with all keys, sets and history for good? Type {name} to confirm"
    if session.confirmed is not None or not session.is_interactive:
        raise AnswerNeededError(question, hint=f"give --confirm {shlex.quote(name)}", context={"confirm": name})
    if click.prompt(question, err=True, default="", show_default=False) != name:
        raise CancelledError("not confirmed; nothing was changed")


@daemon.command("start", cls=Verb, short_help="Start it.", examples=["bkctl daemon start"])
@click.pass_obj
def start(session: Session) -> Reply:
    """Start the installed service and wait until it answers."""
    return _directed(session, methodcaller("start"), _is_up, "It runs: bkctl daemon status")


@daemon.command("stop", cls=Verb, short_help="Stop it.", examples=["bkctl daemon stop"])
@click.pass_obj
def stop(session: Session) -> Reply:
    """Stop it until the next start of the machine. Jobs make their checkpoints and go on with the next start."""
    line = "It is stopped until the next boot, or: bkctl daemon start"
    return _directed(session, methodcaller("stop"), _is_down, line)


@daemon.command("restart", cls=Verb, short_help="Restart it.", examples=["bkctl daemon restart"])
@click.pass_obj
def restart(session: Session) -> Reply:
    """Stop it, jobs at their checkpoints, and start it; the jobs go on under their ids."""
    return _directed(session, methodcaller("restart"), lambda _: False, "It runs anew; its jobs go on: bkctl watch")


@daemon.command("reload", cls=Verb, short_help="Read the settings again.", examples=["bkctl daemon reload"])
@click.pass_obj
def reload(session: Session) -> Reply:
    """Have the daemon read its settings again, as `config reload`; with a fault in any of them nothing changes."""
    change = client_of(session).request("POST", "/v1/config/reload", Nothing(), Settings)
    lines = render_config.applied_lines(change)
    return Reply(0, render_config.change_document(change), warnings=change.warnings, lines=lines)


@daemon.command("status", cls=Verb, short_help="How the service stands.", examples=["bkctl daemon status --json"])
@click.pass_obj
def status(session: Session) -> Reply:
    """Say whether the service is installed, starts at boot, runs and answers, and what to do next. 13: no answer."""
    scope = scope_of(session)
    found = stands(scope, client_of(session))
    error = found.error
    return Reply(
        error.exit_code if error is not None else 0,
        render.status_document(found),
        described(error) if error is not None else None,
        lines=[] if session.is_quiet else render.status_lines(found),
    )


def _is_up(standing: Standing) -> bool:
    return standing.activity == "running"


def _is_down(standing: Standing) -> bool:
    """Where the manager still listens, the next command would start it."""
    return standing.activity in ("stopped", "failed") and not standing.listens


def _directed(
    session: Session,
    commands: Callable[[Manager], list[list[str]]],
    is_so: Callable[[Standing], bool],
    line: str,
) -> Reply:
    """Have the manager do something, unless the service stands so already."""
    scope = scope_of(session)
    manager = must_be_installed(scope)
    change = Change()
    if not is_so(manager.standing()):
        change.commands = commands(manager)
        direct(scope, change.commands)
    return _reply(scope, change, False, [line])


def _reply(scope: Scope, change: Change, dry_run: bool, following: list[str]) -> Reply:
    result = render.change_document(scope, change, dry_run)
    return Reply(0, result, warnings=change.warnings, lines=[*render.change_lines(change, dry_run), *following])

