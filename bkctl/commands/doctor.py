"""`bkctl doctor`: what is wrong, and how it is mended."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from backupd.errors import AttentionError, BackupError
from backupd.model.api import ConfigView, DestinationList, JobList, LogPage, Overview, SetList
from backupd.model.status import Finding, StatusReport
from backupd.model.striking import strike
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.examining import examine
from bkctl.grammar import Verb
from bkctl.output import OutputFile, encode
from bkctl.places import absolute_text
from bkctl.render import doctor as render
from bkctl.session import Reply, Session, described

_JOBS, _LOGS, _LINES = 50, 10, 500
"""In a bundle: so many jobs, so many of them with their logs' last lines."""


@click.command(
    "doctor",
    cls=Verb,
    short_help="What is wrong, and its mend.",
    examples=["bkctl doctor", "bkctl doctor --bundle report.json"],
)
@click.option("--bundle", metavar="FILE", type=click.Path(), help="Write all that a helper needs; secrets struck out.")
@click.pass_obj
def doctor(session: Session, /, bundle: str | None) -> Reply:
    """Look at the daemon, its state, keys, clock and settings, try each destination, and say how to mend what is wrong.

    Exit 21 when something was found. A destination is tried by a process of its own that writes nothing lasting.
    """
    client = client_of(session)
    findings = list(examine(client))
    found = [one for one in findings if one.verdict != "ok"]
    result: dict[str, Any] = {"findings": [render.document(one) for one in findings], "next": None, "bundle": None}
    lines = render.lines(findings)
    if bundle is not None:
        path = absolute_text(bundle)
        _write(path, _collected(client, findings))
        result["bundle"] = path
        lines.append(f"Written: {path}, for you alone to read. Names of files stand in it; look before you send it.")
    error = None
    if found:
        text = f"{len(found)} of {len(findings)} checks found something"
        error = described(AttentionError(text, hint="each line above says how to mend it"))
    return Reply(
        AttentionError.exit_code if found else 0, result, error, lines=[] if session.is_quiet else lines
    )


def _write(path: str, document: dict[str, Any]) -> None:
    file = OutputFile(path, is_secret=True)
    try:
        file.stream.write(msgspec.json.format(encode(strike(document)), indent=2) + b"\n")
    except OSError as error:
        file.abandon()
        raise BackupError(f"{path} can't be written: {error.strerror}", hint="give another FILE") from error
    file.commit()


def _collected(client: DaemonClient, findings: list[Finding]) -> dict[str, Any]:
    """Versions, settings, how the sets stand, the last jobs and logs; for what is refused, why."""
    document: dict[str, Any] = {"schema": "backupd-bundle/1", "findings": findings}
    for name, path, kind in (
        ("daemon", "/v1/daemon", Overview),
        ("sets", "/v1/sets", SetList),
        ("destinations", "/v1/destinations", DestinationList),
        ("status", "/v1/status", StatusReport),
    ):
        document[name] = _got(client, path, kind)
    config = _got(client, "/v1/config", ConfigView)
    if isinstance(config, ConfigView):
        document["settings"] = {one.key: one.value for one in config.settings}
        document["settings_warnings"] = config.warnings
    else:
        document["settings"] = config
    jobs = _got(client, f"/v1/jobs?limit={_JOBS}", JobList)
    document["jobs"] = jobs
    listed = jobs.jobs[:_LOGS] if isinstance(jobs, JobList) else []
    document["logs"] = {job.id: _last_lines(client, job.id) for job in listed}
    built: dict[str, Any] = msgspec.to_builtins(document, str_keys=True)
    return built


def _got(client: DaemonClient, path: str, kind: Any) -> Any:
    try:
        return client.get(path, kind)
    except BackupError as error:
        return {"not_told": error.message}


def _last_lines(client: DaemonClient, job_id: str) -> Any:
    lines: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = _got(client, f"/v1/jobs/{job_id}/log?after={after}&limit=1000", LogPage)
        if not isinstance(page, LogPage):
            return page
        lines = [*lines, *page.lines][-_LINES:]
        after = page.next
    return lines
