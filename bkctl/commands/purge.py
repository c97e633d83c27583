"""`bkctl purge`: delete backup data, whatever the policy says."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from bkctl import options
from bkctl.grammar import Verb
from bkctl.purging import Purging
from bkctl.session import Reply, Session


@click.command(
    "purge",
    cls=Verb,
    short_help="Delete backup data for good.",
    examples=[
        "bkctl purge home --path /home/anna/letter.odt --dry-run",
        "bkctl purge home --path /home/anna/letter.odt --and-exclude --confirm home",
        "bkctl purge home --snapshot s4f1c --confirm home",
        "bkctl purge home --from usb --apply p3f9a --yes --evidence deleted.json",
        "bkctl purge --all --from /media/usb/backup --confirm /media/usb/backup",
    ],
)
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--path", "paths", metavar="PATH", multiple=True, help="Only this path and all below it.")
@click.option("--snapshot", "snapshots", metavar="ID", multiple=True, help="Only of this snapshot; default: all.")
@click.option("--job", "made_by", metavar="JOB", multiple=True, help="Only of the snapshots that this job made.")
@click.option("--host", metavar="NAME", help="All sets of this host.")
@click.option("--all", "is_all", is_flag=True, help="All of the repository, its keys first.")
@options.reading_options
@click.option("--and-exclude", is_flag=True, help="Have the set leave these paths out from now on.")
@click.option("--dry-run", is_flag=True, help="Show what would go; delete nothing.")
@click.option("--apply", "plan_id", metavar="PLAN", help="Just what that plan showed; exit 17 when it is out of date.")
@click.option("--evidence", metavar="FILE", type=click.Path(), help="Write a signed list of what was deleted.")
@options.limit_options
@click.pass_obj
def purge(session: Session, /, **given: Any) -> Reply:
    """Delete backup data at all destinations of a set, or at one. Nothing of it can be restored any more.

    Without --path snapshots go, pinned ones too, whatever the policy says. With it each snapshot that holds the PATH is
    written anew without it, under a new id and with the times that it had. Their space is given back at once.
    Sets, schedules and destinations stay; what still lies in a source is stored again by the next backup.

    First it is shown what would go. Then the name of the set, the host or the destination has to be typed, or given by
    --confirm; with the plan of a --dry-run, --apply PLAN --yes does the same. Where anything can't be read, nothing is
    deleted: exit 20. What waits for others who write there is told: exit 23.
    """
    ways = [bool(given["sets"]), given["host"] is not None, given["is_all"]]
    if sum(ways) != 1:
        raise UsageError("what is to be purged is not said", hint="name sets, or give --host NAME, or --all")
    if not given["sets"] and not given["from_place"]:
        raise UsageError("where is not said", hint="give --from DEST with --all and --host")
    if given["dry_run"] and given["plan_id"] is not None:
        raise UsageError("--dry-run and --apply are both given", hint="give one of them")
    if given["is_all"] and (given["paths"] or given["snapshots"] or given["made_by"]):
        raise UsageError("--all deletes the repository", hint="name a SET for --path, --snapshot and --job")
    if given["and_exclude"] and not given["paths"]:
        raise UsageError("--and-exclude goes with --path", hint="bkctl set edit SET --exclude PATTERN")
    return Purging(session, given).run()
