"""`bkctl destination seed` and `adopt`: the first copy travels on a disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import click

from backupd.errors import NotFoundError, UsageError
from backupd.model.api import Change, DestinationView, Started, StartSeeding
from backupd.model.destination_orders import DestinationAdoptOrder
from backupd.model.jobs import JobView
from backupd.model.places import is_url
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import Verb
from bkctl.perform import View, follow, perform, reply_of
from bkctl.places import absolute_text, stored_place
from bkctl.render import destinations as render
from bkctl.render import seeding as lines_of
from bkctl.render.once import once_lines
from bkctl.render.replicate import replicate_lines
from bkctl.runs import rank
from bkctl.session import Reply, Session


@click.command(
    "seed",
    cls=Verb,
    short_help="Write the first copy to a disk.",
    examples=[
        "bkctl destination seed off-site --on /media/usb/for-off-site",
        "bkctl destination seed off-site --on /media/usb/for-off-site Documents --all",
        "bkctl destination seed off-site --cancel",
    ],
)
@click.argument("name", metavar="DEST")
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--on", metavar="DIRECTORY", type=click.Path(readable=False), help="Directory on the disk to carry.")
@click.option("--all", "is_all", is_flag=True, help="The whole history, not the newest snapshot alone.")
@click.option("--cancel", "is_cancelled", is_flag=True, help="Await no disk any longer; what lies on it stays.")
@click.pass_obj
def seed(session: Session, /, **given: Any) -> Reply:
    """Write the first copy of SETs, or of all that have none at DEST yet, to a disk that is carried there.

    It is copied from another destination of the set, else backed up to the disk. From now on DEST is seeding: runs of
    these sets pass it over and say so, until `bkctl destination adopt DEST`. Given again, it goes on.
    """
    client = client_of(session)
    stored = _get(client, given["name"])
    path = f"/v1/destinations/{stored.id}/seeding"
    if given["is_cancelled"]:
        if given["on"] is not None or given["sets"] or given["is_all"]:
            raise UsageError("--cancel goes alone", hint="it ends the seeding of the destination, for all its sets")
        changed = client.request("DELETE", path, None, Change).changed
        result = {"changed": changed, "diff": {}, "dry_run": False, "destination": render.document(stored)}
        return Reply(0, result, lines=lines_of.cancelled_lines(stored))
    if given["on"] is None:
        raise UsageError("where is the disk?", hint="give --on DIRECTORY")
    if is_url(given["on"]):
        raise UsageError("--on is a directory of a disk, not a store", hint="bkctl destination replicate copies to one")
    place = absolute_text(given["on"])
    wanted = StartSeeding(on=place, sets=list(given["sets"]), all=given["is_all"])
    jobs = client.request("POST", path, wanted, Started).jobs
    return _seeded(stored, place, jobs, [_follow(session, client, job) for job in jobs])


def _follow(session: Session, client: DaemonClient, job: JobView) -> Reply:
    view = View(once_lines if job.kind == "backup" else replicate_lines)
    return reply_of(session, follow(session, DaemonJob(client, job.id), view), view)


def _seeded(stored: DestinationView, place: str, jobs: Sequence[JobView], replies: Sequence[Reply]) -> Reply:
    sets = [lines_of.seeded_document(job, reply) for job, reply in zip(jobs, replies, strict=True)]
    result = {"destination": stored.text.name, "place": place, "sets": sets}
    shown = [line for reply in replies for line in reply.lines]
    return _joined(replies, result, [*shown, *lines_of.seeded_lines(stored, result)] if shown else [])


@click.command(
    "adopt",
    cls=Verb,
    short_help="Take over what came on a disk.",
    examples=["bkctl destination adopt off-site", "bkctl destination adopt off-site Documents --sample 200"],
)
@click.argument("name", metavar="DEST")
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option(
    "--sample",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    metavar="N",
    help="Verify every byte of so many blocks.",
)
@click.pass_obj
def adopt(session: Session, /, **given: Any) -> Reply:
    """Check what was carried to DEST, and let runs go there again: the next one sends only what changed.

    Each block that the index lists has to be there in its size, all that snapshots need has to be named, a sample of
    blocks is read whole. Exit 20 when something is missing or wrong; DEST is seeding then as before.
    """
    client = client_of(session)
    stored = _get(client, given["name"])
    names = list(given["sets"]) or (stored.seeding.sets if stored.seeding is not None else [])
    if not names:
        raise NotFoundError(
            f"{stored.text.name} awaits no disk",
            hint=f"bkctl destination seed {stored.text.name} --on DIRECTORY writes one",
        )
    replies: list[Reply] = []
    for name in names:
        order = DestinationAdoptOrder(place=stored.text.name, set_name=name, sample=given["sample"])
        replies.append(perform(session, order, View(lines_of.adopted_lines)))
    result = {"destination": stored.text.name, "sets": [one.result for one in replies if one.result is not None]}
    return _joined(replies, result, [line for reply in replies for line in reply.lines])


def _joined(replies: Sequence[Reply], result: dict[str, Any], lines: list[str]) -> Reply:
    worst = min(replies, key=lambda reply: rank(reply.exit_code))
    warnings = list(dict.fromkeys(warning for reply in replies for warning in reply.warnings))
    return Reply(worst.exit_code, result, worst.error, warnings, lines)


def _get(client: DaemonClient, word: str) -> DestinationView:
    name = stored_place(word, "DEST")
    return client.get(f"/v1/destinations/{quote(name, safe='')}", DestinationView)
