"""`bkctl doctor`: what is wrong, and how it is mended."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import AttentionError, UsageError
from backupd.sizes import count
from bkctl.bundle import collected, write_bundle
from bkctl.dispatch import client_of
from bkctl.examining import examine
from bkctl.grammar import Verb
from bkctl.places import absolute_text
from bkctl.reaching import reach
from bkctl.render import doctor as render
from bkctl.service.diagnosis import diagnose
from bkctl.service.scope import scope_of
from bkctl.session import Reply, Session, described


@click.command(
    "doctor",
    cls=Verb,
    short_help="What is wrong, and its mend.",
    examples=["bkctl doctor", "bkctl doctor --bundle report.tar.gz"],
)
@click.option("--bundle", metavar="FILE", type=click.Path(), help="Write all that a helper needs; secrets struck out.")
@click.option("--dry-run", is_flag=True, help="With --bundle: say what would go in; write nothing.")
@click.pass_obj
def doctor(session: Session, /, bundle: str | None, dry_run: bool) -> Reply:
    """Look at service, daemon, state, keys, clock, settings and destinations, and say how to mend what is wrong.

    Exit 21 when something was found. A destination is tried by a process of its own that writes nothing lasting.
    """
    if dry_run and bundle is None:
        raise UsageError("--dry-run goes with --bundle", hint="doctor alone changes nothing")
    client, scope = client_of(session), scope_of(session)
    findings = [*diagnose(scope, client), *examine(client), *reach(client)]
    found = [one for one in findings if one.verdict != "ok"]
    result: dict[str, Any] = {"findings": [render.document(one) for one in findings], "next": None, "bundle": None}
    lines = render.lines(findings)
    if bundle is not None:
        files = collected(client, scope, findings)
        path = absolute_text(bundle)
        if not dry_run:
            write_bundle(path, files)
        result["bundle"], result["files"] = path, {name: len(data) for name, data in files.items()}
        lines += render.bundle_lines(path, result["files"], dry_run=dry_run)
    error = None
    if found:
        text = f"{len(found)} of {count(len(findings), 'check')} found something"
        error = described(AttentionError(text, hint="each line above says how to mend it"))
    return Reply(
        AttentionError.exit_code if found else 0, result, error, lines=[] if session.is_quiet else lines
    )
