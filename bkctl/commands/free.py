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
from bkctl.grammar import Size, Verb
from bkctl.perform import View, follow_each, perform
from bkctl.places import from_place
from bkctl.render.free import free_lines
from bkctl.session import Reply, Session


@click.command(
    "free",
    cls=Verb,
    short_help="Drop what the policy drops, and give the space back.",
    examples=[
        "bkctl free --all",
        "bkctl free Documents --dry-run",
        "bkctl free --from /media/usb/backup",
        "bkctl free Documents --from usb --target 200G --dry-run",
    ],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All sets, at all their destinations.")
@options.reading_options
@click.option(
    "--target", type=Size(), metavar="SIZE", help="Give so much back: the SETs' oldest snapshots go, too; asks."
)
@click.option("--apply", "plan_id", metavar="PLAN", help="Do just what that plan of --target --dry-run showed, or 17.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped and freed.")
@options.limit_options
@click.pass_obj
def free(session: Session, /, **given: Any) -> Reply:
    """Drop the snapshots that the set's policy does not keep, then give back the space that no snapshot needs.

    First the policy: what `bkctl retention plan SET` says is dropped, without a question, and can't be restored any
    more; a set that keeps all, and a place without its daemon, lose no snapshot. Then blocks that no snapshot needs are
    deleted, and those that are mostly dead are written anew. --dry-run says before how many snapshots and how much
    space would go, and changes nothing.

    SET says whose repositories are meant; sets that share one have their space given back together.
    Backups go on meanwhile, of any host. What a running one may still need is told as waiting, and deleted by the next
    freeing. Where anything can't be read, nothing is deleted: exit 20.

    --target SIZE is how much is to be given back in all, at each destination. What freeing and the policy give is not
    enough: then the SET's oldest snapshots go, as many as it takes, but never the newest complete one, nor what is
    pinned, tagged to be kept, or built on by a run. That asks for the SET's name (--confirm), or takes a plan. 23: what
    running backups hold back is given back by a later `bkctl free`; 3: it could not be reached.
    """
    if given["is_all"] and given["sets"]:
        raise UsageError("--all and a SET are both given", hint="name sets, or give --all")
    if not given["is_all"] and not given["sets"] and not given["from_place"]:
        raise UsageError("what is to be freed is not said", hint="name sets, or give --all or --from PLACE")
    _check_target(given)
    order = FreeOrder(
        **options.common(session, from_place(given["from_place"]), given),
        set_names=list(given["sets"]),
        target_bytes=given["target"],
        plan=given["plan_id"] or "",
        dry_run=given["dry_run"],
        limits=options.limits(given),
    )
    client = daemon_for(session, order)
    if client is None:
        return perform(session, order, View(free_lines))
    jobs = client.request("POST", "/v1/freeings", StartFree(order=order), Started).jobs
    return freed_together(follow_each(session, client, jobs, free_lines))


def _check_target(given: dict[str, Any]) -> None:
    if given["plan_id"] is not None and given["dry_run"]:
        raise UsageError("--apply and --dry-run are both given", hint="give one of them")
    if given["plan_id"] == "" or given["target"] == 0:
        raise UsageError("what is to be given back is not said", hint="as: --target 200G, or --apply PLAN")
    is_targeted = given["plan_id"] is not None or given["target"] is not None
    if is_targeted and not given["is_all"] and not given["sets"]:
        raise UsageError(
            "which sets may lose snapshots is not said", hint="name them: bkctl free SET... --target SIZE"
        )
