"""`bkctl check`: verify what is stored."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.api import StartCheck, Started
from backupd.model.orders import CheckOrder, SiblingPlace
from bkctl import options
from bkctl.checks import together
from bkctl.dispatch import daemon_for
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
    ],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All sets; the same as naming none.")
@options.reading_options
@click.option("--crc", is_flag=True, help="Read, decrypt and hash every stored byte.")
@click.option("--rebuild-index", is_flag=True, help="Make the index anew from the blocks.")
@click.option("--repair", is_flag=True, help="Store again what is damaged, from its parity or another destination.")
@click.option("--with", "with_places", metavar="PLACE", multiple=True, help="Repair from the same repository there.")
@click.option("--accept-rollback", is_flag=True, help="Accept that snapshots seen before are gone.")
@options.jobs_option
@options.limit_download_option
@click.pass_obj
def check(session: Session, /, **given: Any) -> Reply:
    """Verify that all that snapshots need is there, with --crc byte by byte; without SET and --from, all of them.

    Damage found: exit 20, with the files it hits; it is recorded there, so that the next backup stores again what the
    source still has. Nothing else is changed, unless --rebuild-index or --repair asks for it. All repaired: exit 0.
    """
    if given["is_all"] and given["sets"]:
        raise UsageError("--all and a SET are both given", hint="name sets, or give --all")
    if given["with_places"] and not given["repair"]:
        raise UsageError("--with goes with --repair", hint="give --repair, too")
    order = CheckOrder(
        **options.common(session, from_place(given["from_place"]), given),
        set_names=list(given["sets"]),
        crc=given["crc"],
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
