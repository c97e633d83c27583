"""`bkctl status`: whether every set has a good snapshot everywhere, for people and for monitoring."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from backupd.errors import AttentionError, BackupError, DamageError, NotFoundError, UsageError
from backupd.model.status import StatusReport
from bkctl import all_hosts
from bkctl.all_hosts import AllHosts
from bkctl.dispatch import client_of
from bkctl.grammar import Duration, Verb
from bkctl.render import all_hosts as hosts_render
from bkctl.render import status as render
from bkctl.render.motd import motd_lines
from bkctl.session import Reply, Session, described

_ERRORS: dict[int, tuple[type[BackupError], str]] = {
    NotFoundError.exit_code: (NotFoundError, "bkctl set create NAME --source PATH --to DIRECTORY"),
    DamageError.exit_code: (DamageError, "bkctl check SET names the files it hits; bkctl job log has what was found"),
    AttentionError.exit_code: (AttentionError, "bkctl backup SET runs one now; bkctl job log SET@latest has the last"),
}


@click.command(
    "status",
    cls=Verb,
    short_help="Is everything backed up?",
    examples=[
        "bkctl status",
        "bkctl status home --check --max-age 26h",
        "bkctl status --format nagios",
        "bkctl status --motd",
        "bkctl status --all-hosts --max-age 3d",
        "bkctl status --format prometheus --output /var/lib/node_exporter/textfile/backupd.prom",
    ],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--check", "is_check", is_flag=True, help="Exit 21 when overdue, 20 for damage, 10 without any set.")
@click.option("--max-age", type=Duration(), metavar="D", help="Hold all against this age; the same as --check with it.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "nagios", "prometheus"]),
    default="table",
    show_default=True,
    help="For people, one line of a Nagios plugin (exit 0 to 3), or metrics for node_exporter.",
)
@click.option("--motd", "is_motd", is_flag=True, help="A line or two for the message at log-in; always exit 0.")
@click.option(
    "--all-hosts",
    "is_all_hosts",
    is_flag=True,
    help="Every machine that backs up into the repositories of the SETs; those that fell silent stand out.",
)
@click.pass_obj
def status(session: Session, /, **given: Any) -> Reply:
    """Show for each set and destination the last good snapshot, its age against max_age, and what asks for a hand.

    Exit 0, whatever is shown, unless --check or --max-age is given. A set without max_age is unchecked.
    """
    if given["shape"] != "table" and session.form != "text":
        raise UsageError(f"--format {given['shape']} is no JSON", hint="leave out --json and --jsonl")
    if given["is_all_hosts"]:
        return _all_hosts(session, given)
    if given["is_motd"]:
        return _motd(session, given)
    if given["shape"] == "nagios":
        return _nagios(session, given)
    is_check = given["is_check"] or given["max_age"] is not None
    client = client_of(session)
    if given["shape"] == "prometheus":
        text = client.text(f"/v1/metrics{_query(given)}")
        error = _verdict(client.get(f"/v1/status{_query(given)}", StatusReport)) if is_check else None
        return Reply(_exit_of(error), {}, described(error) if error is not None else None, lines=text.splitlines())
    report = client.get(f"/v1/status{_query(given)}", StatusReport)
    error = _verdict(report) if is_check else None
    lines = [] if session.is_quiet else render.status_lines(report)
    return Reply(_exit_of(error), render.document(report), described(error) if error is not None else None, lines=lines)


def _all_hosts(session: Session, given: dict[str, Any]) -> Reply:
    """Repositories are asked, for the daemon knows of its own runs alone."""
    if given["is_motd"] or given["shape"] != "table":
        raise UsageError("--all-hosts goes with neither --motd nor --format", hint="bkctl status --all-hosts --check")
    found = all_hosts.find(session, client_of(session), given["sets"], given["max_age"])
    code, error = 0, None
    if given["is_check"] or given["max_age"] is not None:
        code, error = _verdict_of_all(found)
    lines = [] if session.is_quiet else hosts_render.lines(found)
    return Reply(code, hosts_render.document(found), error, found.warnings, lines)


def _verdict_of_all(found: AllHosts) -> tuple[int, dict[str, Any] | None]:
    """Damage first, then who is silent, then what nobody could read."""
    unread = sorted(found.unread, key=lambda one: one[1] != DamageError.exit_code)
    silent = [f"{one.set_name} of {one.host}" for one in found.sets if one.state == "silent"]
    if silent and not (unread and unread[0][1] == DamageError.exit_code):
        hint = "see what its daemon says there: bkctl status"
        error = AttentionError(f"silent: {', '.join(silent)}", hint=hint)
        return error.exit_code, described(error)
    if unread:
        return unread[0][1], unread[0][2]
    if not found.sets:
        nothing = NotFoundError("nothing is stored yet", hint="bkctl backup SET")
        return nothing.exit_code, described(nothing)
    return 0, None


def _nagios(session: Session, given: dict[str, Any]) -> Reply:
    """Whatever goes wrong is a line and one of four exit codes: monitoring shows nothing else."""
    try:
        report = client_of(session).get(f"/v1/status{_query(given)}", StatusReport)
    except BackupError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Reply(render.UNKNOWN, {}, lines=[render.nagios_line(render.UNKNOWN, error.message + hint)])
    level, line = render.nagios(report)
    return Reply(level, {}, lines=[line])


def _motd(session: Session, given: dict[str, Any]) -> Reply:
    """Who logs in is not kept from it by a daemon that does not answer."""
    if given["is_check"] or given["shape"] != "table":
        raise UsageError("--motd goes with neither --check nor --format", hint="bkctl status --motd")
    try:
        report = client_of(session).get(f"/v1/status{_query(given)}", StatusReport)
    except BackupError as error:
        return Reply(0, None, described(error), lines=[f"Backups: {error.message}", f"  {error.hint}"])
    return Reply(0, render.document(report), lines=motd_lines(report))


def _verdict(report: StatusReport) -> BackupError | None:
    if not report.check_exit:
        return None
    kind, hint = _ERRORS[report.check_exit]
    return kind(report.check_message, hint=hint)


def _exit_of(error: BackupError | None) -> int:
    return error.exit_code if error is not None else 0


def _query(given: dict[str, Any]) -> str:
    query: dict[str, str] = {}
    if given["sets"]:
        query["sets"] = ",".join(given["sets"])
    if given["max_age"] is not None:
        query["max_age_seconds"] = str(given["max_age"])
    return f"?{urlencode(query)}" if query else ""
