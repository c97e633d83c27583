"""`bkctl free`: give space back that no snapshot needs."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.api import Started, StartFree
from backupd.model.orders import FreeOrder
from bkctl import options
from bkctl.checks import freed_together
from bkctl.dispatch import daemon_for
from bkctl.grammar import Verb
from bkctl.perform import View, follow_each, perform
from bkctl.places import from_place
from bkctl.render.free import free_lines
from bkctl.session import Reply, Session


@click.command(
    "free",
    cls=Verb,
    short_help="Give space back that no snapshot needs.",
    examples=["bkctl free --all", "bkctl free Documents --dry-run", "bkctl free --from /media/usb/backup"],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All sets, at all their destinations.")
@options.reading_options
@click.option("--dry-run", is_flag=True, help="Only say what could be freed.")
@options.limit_options
@click.pass_obj
def free(session: Session, /, **given: Any) -> Reply:
    """Delete blocks that no snapshot needs any more, and write those anew that are mostly dead.

    SET says whose repositories are meant; sets that share one have their space given back together.
    Backups go on meanwhile, of any host. What a running one may still need is told as waiting, and deleted by the next
    freeing. Where anything can't be read, nothing is deleted: exit 20.
    """
    if given["is_all"] and given["sets"]:
        raise UsageError("--all and a SET are both given", hint="name sets, or give --all")
    if not given["is_all"] and not given["sets"] and not given["from_place"]:
        raise UsageError("what is to be freed is not said", hint="name sets, or give --all or --from PLACE")
    order = FreeOrder(
        **options.common(session, from_place(given["from_place"]), given),
        set_names=list(given["sets"]),
        dry_run=given["dry_run"],
        limits=options.limits(given),
    )
    client = daemon_for(session, order)
    if client is None:
        return perform(session, order, View(free_lines))
    jobs = client.request("POST", "/v1/freeings", StartFree(order=order), Started).jobs
    return freed_together(follow_each(session, client, jobs, free_lines))
