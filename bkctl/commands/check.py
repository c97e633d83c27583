"""`bkctl check`: verify what is stored."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.api import Change, Nothing, StartCheck, Started
from backupd.model.jobs import JobView
from backupd.model.orders import CheckOrder, SiblingPlace
from backupd.sizes import format_bytes, parse_share
from bkctl import options
from bkctl.checks import together
from bkctl.commands.job import find
from bkctl.dispatch import client_of, daemon_for
from bkctl.grammar import Verb
from bkctl.perform import View, follow_each, perform
from bkctl.places import from_place, stored_place
from bkctl.render.check import check_lines
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

    Damage found: exit 20, with the files it hits; it is recorded there, so that the next backup stores again what the
    source still has. Nothing else is changed, unless --rebuild-index or --repair asks for it. All repaired: exit 0.

    What nobody can give, --repair notes as lost: up to 1,000 files, 512 MiB and 10 % of the files by itself; what is
    more wants --confirm SET beforehand, or --apply JOB afterwards.
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
    jobs = client.request("POST", "/v1/checks", StartCheck(order=order), Started).jobs
    return together(follow_each(session, client, jobs, check_lines))


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
    if given["discard_job"] is not None:
        change = client.request("POST", f"/v1/checks/{job.id}/discard", Nothing(), Change)
        line = f"Nothing of what job {job.id[:9]} found is given up." if change.changed else "It was discarded already."
        result = {"changed": change.changed, "diff": change.diff, "dry_run": False, "job": job.id, "set": job.set_name}
        return Reply(0, result, lines=[line])
    if session.confirmed is None or session.confirmed != job.set_name:
        options.must_agree(session, _question(job))
    order = CheckOrder(**options.common(session, "", given), limits=options.limits(given))
    jobs = client.request("POST", "/v1/checks", StartCheck(order=order, apply=job.id), Started).jobs
    return together(follow_each(session, client, jobs, check_lines))


def _question(job: JobView) -> str:
    decisions = (job.result or {}).get("decisions") or []
    files, size = (sum(one.get(name, 0) for one in decisions) for name in ("files", "bytes"))
    return f"Repair {job.set_name}, and give up as lost what stays of {files:,} files ({format_bytes(size)})?"
