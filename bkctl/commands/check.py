"""`bkctl check`: verify what is stored."""

from __future__ import annotations

import shlex
from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.api import Change, Nothing, StartCheck, Started
from backupd.model.decisions import CheckDecision
from backupd.model.orders import CheckOrder, SiblingPlace
from backupd.sizes import parse_share
from backupd.store_errors import DecisionOutdatedError
from bkctl import options
from bkctl.checks import all_together, together
from bkctl.commands.job import find
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of, daemon_for
from bkctl.grammar import Verb
from bkctl.perform import View, follow_each, perform
from bkctl.places import from_place, stored_place
from bkctl.render.check import check_lines
from bkctl.render.decision import decision_document, decision_lines, discarded_lines, question_of
from bkctl.session import Reply, Session


@click.command(
    "check",
    cls=Verb,
    short_help="Verify what is stored.",
    examples=[
        "bkctl check --from /media/usb/backup",
        "bkctl check Documents --from /media/usb/backup --crc",
        "bkctl check --from /media/usb/backup --rebuild-index",
        "bkctl check --from /media/usb/backup --crc --repair --with /srv/backup",
        "bkctl check home --crc --share 10%",
        "bkctl check --apply j4f2a9c01",
    ],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All sets; the same as naming none.")
@options.reading_options
@click.option("--crc", is_flag=True, help="Read, decrypt and hash every stored byte.")
@click.option("--share", metavar="PERCENT", help="With --crc: only so much, what was read longest ago first.")
@click.option("--rebuild-index", is_flag=True, help="Make the index anew from the blocks.")
@click.option("--repair/--no-repair", help="Store again what is damaged, from its parity or another destination.")
@click.option("--with", "with_places", metavar="PLACE", multiple=True, help="Repair from the same repository there.")
@click.option("--apply", "apply_job", metavar="JOB", help="Repair, and give up as lost what that check found; else 17.")
@click.option("--discard", "discard_job", metavar="JOB", help="Give up nothing of what that check found.")
@click.option("--accept-rollback", is_flag=True, help="Accept that snapshots seen before are gone.")
@options.jobs_option
@options.limit_download_option
@click.pass_obj
def check(session: Session, /, **given: Any) -> Reply:
    """Verify that all that snapshots need is there, with --crc byte by byte; without SET and --from, all of them.

    Of all of them, sets without a snapshot are named as skipped; where no set has one: exit 10.

    Damage found: exit 20, with the files it hits; it is recorded there, so that the next backup stores again what the
    source still has. Nothing else is changed, unless --rebuild-index or --repair asks for it. All repaired: exit 0.

    What nobody can give, --repair notes as lost: up to 1,000 files, 512 MiB and 10 % of the files by itself; what is
    more wants --confirm SET beforehand, or --apply JOB afterwards. To apply or discard once more what was decided
    changes nothing and asks nothing: exit 0; but 17 where it was decided the other way.
    """
    if given["is_all"] and given["sets"]:
        raise UsageError("--all and a SET are both given", hint="name sets, or give --all")
    if given["with_places"] and not given["repair"]:
        raise UsageError("--with goes with --repair", hint="give --repair, too")
    if given["apply_job"] is not None or given["discard_job"] is not None:
        return _decided(session, given)
    if given["share"] is not None and not given["crc"]:
        raise UsageError("--share goes with --crc", hint="give --crc, too")
    order = CheckOrder(
        **options.common(session, from_place(given["from_place"]), given),
        set_names=list(given["sets"]),
        crc=given["crc"],
        share_permille=parse_share(given["share"]) if given["share"] is not None else None,
        rebuild_index=given["rebuild_index"],
        accept_rollback=given["accept_rollback"],
        repair=given["repair"],
        siblings=[SiblingPlace(place=stored_place(word, "--with")) for word in given["with_places"]],
        limits=options.limits(given),
    )
    client = daemon_for(session, order)
    if client is None:
        return perform(session, order, View(check_lines))
    started = client.request("POST", "/v1/checks", StartCheck(order=order), Started)
    replies = follow_each(session, client, started.jobs, check_lines)
    if given["sets"]:
        return together(replies)
    return all_together(replies, [job.set_name or "" for job in started.jobs], started.unstored)


_WITH_A_JOB = ("from_place", "crc", "share", "rebuild_index", "repair", "with_places", "accept_rollback", "is_all")


def _decided(session: Session, given: dict[str, Any]) -> Reply:
    """Carry out, or leave, what an earlier check left to be decided."""
    if given["apply_job"] is not None and given["discard_job"] is not None:
        raise UsageError("--apply and --discard are both given", hint="give one of them")
    beside = next((name for name in _WITH_A_JOB if given[name]), None)
    if beside is not None:
        raise UsageError("the job says what is checked, and where", hint="give --apply JOB or --discard JOB alone")
    client = client_of(session)
    job = find(client, given["apply_job"] or given["discard_job"])
    if given["sets"] not in ((), (job.set_name,), (job.set_id,)):
        raise UsageError(f"job {job.id[:9]} is about {job.set_name}", hint="leave SET out")
    decision = client.get(f"/v1/checks/{job.id}/decision", CheckDecision)
    if given["discard_job"] is not None:
        return _discarded(client, decision)
    if decision.state in ("applied", "healed"):
        return _reply(decision, decision_lines(decision), changed=False)
    if decision.state == "open" and session.confirmed != (job.set_name or ""):
        options.must_agree(session, question_of(decision))
    order = CheckOrder(**options.common(session, "", given), limits=options.limits(given))
    jobs = client.request("POST", "/v1/checks", StartCheck(order=order, apply=job.id), Started).jobs
    return together(follow_each(session, client, jobs, check_lines))


def _discarded(client: DaemonClient, decision: CheckDecision) -> Reply:
    """Have nothing given up of what a check found. Raises DecisionOutdatedError where it is given up already."""
    if decision.state == "applied":
        raise DecisionOutdatedError(
            " ".join(decision_lines(decision)[:1]),
            hint="what comes back to light may still be healed: bkctl check "
            f"{shlex.quote(decision.set or 'SET')} --from {shlex.quote(decision.destination)} --repair",
        )
    change = client.request("POST", f"/v1/checks/{decision.job}/discard", Nothing(), Change)
    now = client.get(f"/v1/checks/{decision.job}/decision", CheckDecision)
    return _reply(now, discarded_lines(now) if change.changed else decision_lines(now), change.changed, change.diff)


def _reply(
    decision: CheckDecision, lines: list[str], changed: bool, diff: dict[str, Any] | None = None
) -> Reply:
    result = {"changed": changed, "diff": diff or {}, "dry_run": False, **decision_document(decision)}
    return Reply(0, result, lines=lines)
