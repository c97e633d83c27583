"""`bkctl destination …`: the places that sets are stored in."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import click
import msgspec

from backupd.errors import BackupError, DestinationError, UsageError
from backupd.model.api import (
    Change,
    DestinationChange,
    DestinationList,
    DestinationView,
    EditDestination,
    SetView,
    Started,
    StartReplicate,
)
from backupd.model.destination_orders import DestinationHealOrder, DestinationSessionsOrder, DestinationTestOrder
from backupd.model.events import Failed
from backupd.model.jobs import JobView
from backupd.model.orders import ReplicateOrder
from backupd.model.places import is_place, is_url
from backupd.model.sets import DestinationText
from backupd.model.store_access import NO_ACCESS
from bkctl import destination_options, options
from bkctl.checks import replicated_together
from bkctl.commands.seeding import adopt, seed
from bkctl.commands.uncovering import uncover
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob, ask_daemon
from bkctl.dispatch import client_of, daemon_for
from bkctl.grammar import Noun, Verb
from bkctl.perform import View, follow, perform, reply_of
from bkctl.places import stored_place
from bkctl.render import destinations as render
from bkctl.render.replicate import replicate_lines
from bkctl.session import Reply, Session, described

_UNFIT = re.compile(r"[^\w.-]+")


@click.group("destination", cls=Noun, short_help="Places to store in.")
def destination() -> None:
    """The places that sets are stored in."""


@destination.command(
    "add",
    cls=Verb,
    short_help="Make a destination.",
    examples=[
        "bkctl destination add usb /media/anna/usb/backup --removable --absent skip",
        "bkctl destination add off-site s3://bucket/prefix --credentials-file /etc/backupd/off-site.login",
        "bkctl destination add both --pool mirror --member usb --member off-site",
    ],
)
@click.argument("name", metavar="NAME")
@click.argument("place", metavar="[PLACE]", required=False, type=click.Path(readable=False))
@click.option("--absent", type=click.Choice(["fail", "skip"]), help="When it is not there; default: fail.")
@destination_options.pool_options
@destination_options.destination_options
@click.option("--no-test", is_flag=True, help="Make it although its store can't be reached or used now.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; make nothing.")
@click.pass_obj
def add(session: Session, /, **given: Any) -> Reply:
    """Make a destination of a directory, a store's URL or other destinations.

    A directory is made when the first set is stored there. The daemon tries a store or pool at once; one that it can't
    use makes no destination.
    """
    fields = destination_options.given_destination_fields(given)
    pool = destination_options.given_pool(given, None)
    if (pool is None) == (given["place"] is None):
        raise UsageError("a destination has a PLACE or is a --pool", hint="give one of them")
    place = _place(given["place"]) if given["place"] is not None else ""
    if given["absent"] is not None:
        fields["absent"] = given["absent"]
    text = DestinationText(name=given["name"], place=place, pool=pool, **fields)
    client = client_of(session)
    edit = EditDestination(text=text, dry_run=given["dry_run"], said=list(fields))
    made = client.request("POST", "/v1/destinations", edit, DestinationChange)
    if (pool is not None or is_url(text.place)) and not given["no_test"] and not given["dry_run"]:
        is_good = False
        try:
            failed = _try_out(client, text.name)
            is_good = failed is None
        finally:
            # Whatever ends the trial, a Ctrl-C, too.
            if not is_good:
                client.request("DELETE", f"/v1/destinations/{made.destination.id}", None, Change)
        if failed is not None:
            hint = failed.error.get("hint") or "see what it says"
            told = {**failed.error, "hint": f"{hint}; --no-test makes the destination all the same"}
            return Reply(failed.exit_code, None, told)
    return Reply(0, _changed(made), lines=render.added_lines(made))


@destination.command(
    "list", cls=Verb, short_help="List destinations.", examples=["bkctl destination list", "bkctl destination list -q"]
)
@click.pass_obj
def list_destinations(session: Session) -> Reply:
    """List all destinations and the sets that are stored there."""
    found = client_of(session).get("/v1/destinations", DestinationList)
    documents = [render.document(one) for one in found.destinations]
    return Reply(0, {"destinations": documents, "next": None}, lines=render.list_lines(found))


@destination.command("show", cls=Verb, short_help="Show a destination.", examples=["bkctl destination show usb"])
@click.argument("name", metavar="DEST")
@click.pass_obj
def show(session: Session, /, name: str) -> Reply:
    """Show a destination."""
    found = _get(client_of(session), name)
    return Reply(0, {"destination": render.document(found)}, lines=render.show_lines(found))


@destination.command(
    "edit",
    cls=Verb,
    short_help="Change a destination.",
    examples=["bkctl destination edit usb --place /media/anna/new/backup", "bkctl destination edit usb --absent skip"],
)
@click.argument("name", metavar="DEST")
@click.option(
    "--place",
    metavar="PLACE",
    type=click.Path(readable=False),
    help="Where it is now, on whatever disk; what is stored moves not.",
)
@click.option("--absent", type=click.Choice(["fail", "skip"]), help="When it is not there.")
@destination_options.pool_options
@destination_options.destination_options
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def edit(session: Session, /, **given: Any) -> Reply:
    """Change where a destination is, what opens it, or what its absence means."""
    client = client_of(session)
    stored = _get(client, given["name"])
    place = _place(given["place"]) if given["place"] is not None else stored.text.place
    fields = destination_options.given_destination_fields(given)
    pool = destination_options.given_pool(given, stored.text.pool)
    absent = given["absent"] or stored.text.absent
    text = msgspec.structs.replace(stored.text, place=place, pool=pool, absent=absent, **fields)
    return _put(client, stored, text, is_dry=given["dry_run"], place_anew=given["place"] is not None)


@destination.command(
    "test",
    cls=Verb,
    short_help="What a store can do.",
    examples=["bkctl destination test off-site", "bkctl destination test sftp://me@host/backup --host-key SHA256:KEY"],
)
@click.argument("place", metavar="DEST", type=click.Path(readable=False))
@click.option("--quick", is_flag=True, help="Only whether it can be used at all.")
@options.store_options
@click.pass_obj
def test(session: Session, /, **given: Any) -> Reply:
    """Try a destination or a place: reach, login, rights, what the store can and can't do, how fast it is.

    What is written for it is deleted again. Exit 15 when it can't be used.
    """
    word = stored_place(given["place"], "DEST")
    order = DestinationTestOrder(place=word, access=options.store_access(session, given), quick=given["quick"])
    return perform(session, order, View(render.test_lines, is_wanted_quietly=True))


@destination.command(
    "replicate",
    cls=Verb,
    short_help="Copy snapshots to another destination.",
    examples=[
        "bkctl destination replicate --from usb --to off-site",
        "bkctl destination replicate --from usb --to off-site Documents --latest",
        "bkctl destination replicate --from /media/usb/backup --to /srv/backup",
    ],
)
@click.option("--from", "from_place", metavar="DEST", required=True, help="Destination or place that has them.")
@click.option("--to", "to_place", metavar="DEST", required=True, help="Destination or place that is to get them.")
@click.argument("sets", metavar="[SET]...", nargs=-1)
@click.option("--latest", is_flag=True, help="Only the newest finished snapshot of each set.")
@options.secret_options
@options.store_options
@click.pass_obj
def replicate(session: Session, /, **given: Any) -> Reply:
    """Copy the finished snapshots of SETs, or of all sets, to another destination; again: only what is missing there.

    What is stored is copied as it is, keys included, so each is restored there without the other. Destinations that
    need a login each have to be known to the daemon. A snapshot damaged where it is gives 20; all others are copied.
    """
    access = options.store_access(session, given)
    places = [stored_place(given["from_place"], "--from"), stored_place(given["to_place"], "--to")]
    if access != NO_ACCESS and all(map(is_url, places)):
        raise UsageError(
            "a login is given, and both places are stores",
            hint="make them destinations, each with its own: bkctl destination add NAME URL --credentials-file FILE",
        )
    common = options.common(session, places[0], given)
    common["access"] = access if is_url(places[0]) else NO_ACCESS
    order = ReplicateOrder(
        **common,
        to=places[1],
        to_access=access if is_url(places[1]) else NO_ACCESS,
        set_names=list(given["sets"]),
        latest=given["latest"],
    )
    client = daemon_for(session, order)
    if client is None:
        return perform(session, order, View(replicate_lines))
    jobs = client.request("POST", "/v1/replications", StartReplicate(order=order), Started).jobs
    return replicated_together([_replicated(session, client, job, is_one=len(jobs) == 1) for job in jobs])


def _replicated(session: Session, client: DaemonClient, job: JobView, *, is_one: bool) -> Reply:
    text = client.get(f"/v1/sets/{job.set_id}", SetView).text

    def lines(result: dict[str, Any]) -> list[str]:
        said = list(replicate_lines(result, text))
        return said if is_one else [f"{job.set_name}: {line}" for line in said]

    view = View(lines)
    reply = reply_of(session, follow(session, DaemonJob(client, job.id), view), view)
    return replace(reply, result={**reply.result, "set": job.set_name, "job": job.id}) if reply.result else reply


destination.add_command(seed)
destination.add_command(adopt)
destination.add_command(uncover)


@destination.command(
    "heal",
    cls=Verb,
    short_help="Make a pool's members whole again.",
    examples=["bkctl destination heal both"],
)
@click.argument("name", metavar="DEST")
@click.pass_obj
def heal(session: Session, /, name: str) -> Reply:
    """Copy to each member of a pool what it lacks: after it was away, when it is new, when another one is to lead.

    Do it while no backup to the pool runs. Exit 4 when a member could not be made whole.
    """
    return perform(session, DestinationHealOrder(place=name), View(render.heal_lines, is_wanted_quietly=True))


@destination.command(
    "sessions",
    cls=Verb,
    short_help="Who writes there.",
    examples=["bkctl destination sessions off-site", "bkctl destination sessions off-site --revoke s1f0c"],
)
@click.argument("place", metavar="DEST", type=click.Path(readable=False))
@click.option("--revoke", metavar="ID", help="End this session for a writer that does not come back.")
@options.secret_options
@options.store_options
@click.pass_obj
def sessions(session: Session, /, **given: Any) -> Reply:
    """List the writers at a destination or a place, of all hosts: a session holds back freeing until it ends.

    One that is revoked leaves its last checkpoint as a partial snapshot, or nothing. A writer that still runs has lost:
    its run fails, and the next one begins anew from there.
    """
    place = stored_place(given["place"], "DEST")
    order = DestinationSessionsOrder(**options.common(session, place, given), revoke=given["revoke"])
    return perform(session, order, View(render.session_lines, is_wanted_quietly=given["revoke"] is None))


@destination.command(
    "rename", cls=Verb, short_help="Rename a destination.", examples=["bkctl destination rename usb disk"]
)
@click.argument("name", metavar="DEST")
@click.argument("new_name", metavar="NAME")
@click.pass_obj
def rename(session: Session, /, name: str, new_name: str) -> Reply:
    """Give a destination another name; the sets that use it follow."""
    client = client_of(session)
    stored = _get(client, name)
    return _put(client, stored, msgspec.structs.replace(stored.text, name=new_name), is_dry=False)


@destination.command(
    "remove", cls=Verb, short_help="Forget a destination.", examples=["bkctl destination remove usb --yes"]
)
@click.argument("name", metavar="DEST")
@click.pass_obj
def remove(session: Session, /, name: str) -> Reply:
    """Forget a destination that no set uses. What is stored there stays."""
    client = client_of(session)
    stored = _get(client, name)
    options.must_agree(session, f"Forget the destination {stored.text.name}? What is stored there stays.")
    change = client.request("DELETE", f"/v1/destinations/{stored.id}", None, Change)
    lines = [f"Destination {stored.text.name} is forgotten; what lies in {render.place_line(stored.text)} stays."]
    return Reply(0, {"changed": change.changed, "destination": render.document(stored)}, lines=lines)


def named_destination(client: DaemonClient, word: str, *, is_dry: bool) -> str:
    """The name of the destination that a DEST means; a directory that is none yet becomes one, unless `is_dry`."""
    place = stored_place(word, "--to")
    known = client.get("/v1/destinations", DestinationList).destinations
    if not is_place(place):
        return next((one.text.name for one in known if one.id.startswith(place) and one.text.name != place), place)
    found = next((one.text.name for one in known if one.text.place == place), None)
    if found is not None:
        return found
    name = _free_name(place, {one.text.name.casefold() for one in known})
    text = DestinationText(name=name, place=place)
    client.request("POST", "/v1/destinations", EditDestination(text=text, dry_run=is_dry, said=[]), DestinationChange)
    return name


def _try_out(client: DaemonClient, name: str) -> Failed | None:
    """Have the daemon try a destination; None when it can be used."""
    try:
        last = ask_daemon(client, DestinationTestOrder(place=name, quick=True))
        if isinstance(last, Failed):
            return last
        bad = [one for one in last.result["findings"] if one["verdict"] == "failed"]
        if not bad:
            return None
        text = "; ".join(f"{one['name']}: {one['detail']}" for one in bad)
        raise DestinationError(f"{name} can't be used: {text}", hint="bkctl destination test says more")
    except BackupError as error:
        return Failed(exit_code=error.exit_code, error=described(error), warnings=[])


def _free_name(place: str, taken: set[str]) -> str:
    base = _UNFIT.sub("-", os.path.basename(place)).lstrip("-.")[:56] or "destination"
    names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
    return next(name for name in names if name.casefold() not in taken)


def _place(word: str) -> str:
    return stored_place(word if is_place(word) else f"./{word}", "PLACE")


def _get(client: DaemonClient, name: str) -> DestinationView:
    return client.get(f"/v1/destinations/{quote(name, safe='')}", DestinationView)


def _put(
    client: DaemonClient, stored: DestinationView, text: DestinationText, *, is_dry: bool, place_anew: bool = False
) -> Reply:
    edit = EditDestination(text=text, dry_run=is_dry, place_anew=place_anew)
    made = client.request("PUT", f"/v1/destinations/{stored.id}", edit, DestinationChange)
    return Reply(0, _changed(made), lines=render.change_lines(made))


def _changed(made: DestinationChange) -> dict[str, Any]:
    change = made.change
    document = render.document(made.destination)
    return {"changed": change.changed, "diff": change.diff, "dry_run": change.dry_run, "destination": document}
