"""`bkctl destination uncover`: after an attack, what a store with versions still has comes back."""

from __future__ import annotations

from typing import Any

import click

from backupd.model.destination_orders import DestinationUncoverOrder
from bkctl import options
from bkctl.grammar import Verb
from bkctl.perform import View, perform
from bkctl.places import stored_place
from bkctl.render import destinations as render
from bkctl.session import Reply, Session


@click.command(
    "uncover",
    cls=Verb,
    short_help="Bring back what was hidden or overwritten.",
    examples=[
        "bkctl destination uncover off-site --dry-run",
        "bkctl destination uncover s3://bucket/server1 --credentials-file owner.login",
    ],
)
@click.argument("place", metavar="DEST", type=click.Path(readable=False))
@click.option("--dry-run", is_flag=True, help="Only say what would be brought back.")
@options.store_options
@click.pass_obj
def uncover(session: Session, /, **given: Any) -> Reply:
    """Bring back what somebody hid by a deletion, or overwrote, in an S3 bucket that keeps versions.

    backupd writes each name once, so the first version is the true one. No byte is deleted: delete marks are taken
    away, and a first version is copied onto what lies on it. Take away the attacker's login before, and give one here
    that may list versions and delete them.
    """
    place = stored_place(given["place"], "DEST")
    access = options.store_access(session, given)
    order = DestinationUncoverOrder(place=place, access=access, dry_run=given["dry_run"])
    return perform(session, order, View(render.uncover_lines, is_wanted_quietly=given["dry_run"]))
