"""`bkctl set …`: what is backed up, where to, how."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import quote

import click
import msgspec

from backupd.errors import UsageError
from backupd.model.api import Change, EditSet, Overview, SetChange, SetList, SetView, StartBackup, Started
from backupd.model.explain_order import ExplainOrder
from backupd.model.filters import FilterText
from backupd.model.sets import SetText
from bkctl import options, owning, stream_words
from bkctl.applying import apply_texts, applying_options, export_texts
from bkctl.commands.destination import named_destination
from bkctl.commands.searching import coverage, suggest
from bkctl.condition_options import with_conditions
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import client_of
from bkctl.grammar import FilteringVerb, Noun, Verb
from bkctl.hooks import hook_option, with_hooks
from bkctl.perform import View, follow, perform, reply_of
from bkctl.places import absolute_path, absolute_text, source_text, stored_place
from bkctl.render import sets as render
from bkctl.render.estimate import estimate_lines
from bkctl.render.explained import explained_lines
from bkctl.session import Reply, Session
from bkctl.set_options import given_set_fields, set_options


@click.group("set", cls=Noun, short_help="What is backed up, where to, how.")
def set_noun() -> None:
    """Backup sets: what is backed up, where to, how."""


set_noun.add_command(suggest)
set_noun.add_command(coverage)


@set_noun.command(
    "create",
    cls=FilteringVerb,
    short_help="Make a set.",
    examples=[
        "bkctl set create home --source /home --to /media/usb/backup --exclude .cache",
        "bkctl set create etc --source /etc --to usb --max-age 26h --backup-now",
    ],
)
@click.argument("name", metavar="NAME")
@set_options
@hook_option
@click.option(
    "--source",
    metavar="PATH",
    multiple=True,
    type=click.Path(readable=False),
    help="What to back up: paths, or home, documents, music; may be repeated.",
)
@click.option("--stream", metavar="NAME=KIND:WHAT", multiple=True, help=stream_words.HELP)
@click.option("--to", metavar="DEST", multiple=True, help="Where to store: a destination, or a directory.")
@click.option("--backup-now", is_flag=True, help="Run it at once.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; make nothing.")
@click.pass_context
def create(ctx: click.Context, /, **given: Any) -> Reply:
    """Make a backup set; a directory that is no destination yet becomes one, named after it."""
    session = ctx.find_object(Session) or ctx.fail("no session")
    client = client_of(session)
    client.check_version()
    if not (given["source"] or given["stream"]) or not given["to"]:
        raise UsageError("--source and --to are needed", hint="bkctl set create NAME --source PATH --to DEST")
    text = SetText(
        name=given["name"],
        sources=[source_text(word) for word in given["source"]],
        to=[],
        filters=_filters(ctx),
        commands=with_hooks([], given["hook"]),
    )
    fields = given_set_fields(given)
    if given["stream"]:
        fields["streams"] = stream_words.with_streams([], given["stream"], ())
    if (conditions := with_conditions(None, given)) is not None:
        fields["conditions"] = conditions
    said = [*fields, *(name for name in ("filters", "commands") if getattr(text, name))]
    # Last: a word that is refused leaves no destination behind.
    fields["to"] = [named_destination(client, word, is_dry=given["dry_run"]) for word in given["to"]]
    edit = EditSet(text=msgspec.structs.replace(text, **fields), dry_run=given["dry_run"], said=said)
    made = client.request("POST", "/v1/sets", edit, SetChange)
    lines = render.created_lines(made)
    if given["backup_now"] and not given["dry_run"]:
        started = client.request("POST", "/v1/backups", StartBackup(sets=[made.set.id]), Started)
        lines.append(f"Job {started.jobs[0].id[:9]} begun; follow it: bkctl watch {started.jobs[0].id[:9]}")
    return Reply(0, _changed(made), warnings=made.change.warnings, lines=lines)


@set_noun.command("list", cls=Verb, short_help="List sets.", examples=["bkctl set list", "bkctl set list --json"])
@click.pass_obj
def list_sets(session: Session) -> Reply:
    """List all sets."""
    found = client_of(session).get("/v1/sets", SetList)
    return Reply(
        0, {"sets": [render.document(one) for one in found.sets], "next": None}, lines=render.list_lines(found)
    )


@set_noun.command(
    "show",
    cls=Verb,
    short_help="Show a set.",
    examples=["bkctl set show home", "bkctl set show home --origins"],
)
@click.argument("name", metavar="SET")
@click.option("--origins", is_flag=True, help="Each setting as it holds, defaults too, with where it comes from.")
@click.pass_obj
def show(session: Session, /, name: str, *, origins: bool) -> Reply:
    """Show all of a set's settings and where it is stored."""
    found = _get(client_of(session), name)
    if origins:
        result = {"set": render.document(found), "origins": msgspec.to_builtins(found.origins or [])}
        return Reply(0, result, lines=render.origin_lines(found))
    return Reply(0, {"set": render.document(found)}, lines=render.show_lines(found))


@set_noun.command(
    "edit",
    cls=FilteringVerb,
    short_help="Change a set.",
    examples=[
        "bkctl set edit home --add-source /srv --max-age 26h",
        "bkctl set edit home --remove-to usb --add-to /mnt/nas/backup --dry-run",
    ],
)
@click.argument("name", metavar="SET")
@set_options
@hook_option
@click.option("--add-source", metavar="PATH", multiple=True, type=click.Path(readable=False), help="Back this up, too.")
@click.option(
    "--remove-source",
    metavar="PATH",
    multiple=True,
    type=click.Path(readable=False),
    help="Back it up no longer.",
)
@click.option("--stream", metavar="NAME=KIND:WHAT", multiple=True, help=stream_words.HELP)
@click.option("--remove-stream", metavar="NAME", multiple=True, help="Store this one no longer; what is there stays.")
@click.option("--add-to", metavar="DEST", multiple=True, help="Store there, too.")
@click.option("--remove-to", metavar="DEST", multiple=True, help="Store there no longer; what is there stays.")
@click.option("--owner", metavar="HOST", help="The machine that alone runs it from now on, by name or host id; asked.")
@click.option("--no-filters", is_flag=True, help="Take all filters away; those given now come instead.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_context
def edit(ctx: click.Context, /, **given: Any) -> Reply:
    """Change a set; taking a source or destination away never deletes what is stored."""
    session = ctx.find_object(Session) or ctx.fail("no session")
    client = client_of(session)
    stored = _get(client, given["name"])
    text = stored.text
    removed = {source_text(word) for word in given["remove_source"]}
    unknown = removed - set(text.sources)
    if unknown:
        raise UsageError(f"{min(unknown)} is no source of {text.name}", hint=f"bkctl set show {text.name}")
    sources = [path for path in text.sources if path not in removed]
    sources += [word for word in map(source_text, given["add_source"]) if word not in sources]
    gone = {named_destination(client, word, is_dry=True) for word in given["remove_to"]}
    if gone - set(text.to):
        raise UsageError(f"{min(gone - set(text.to))} is no destination of {text.name}")
    filters = ([] if given["no_filters"] else text.filters) + _filters(ctx)
    fields = given_set_fields(given)
    fields["streams"] = stream_words.with_streams(text.streams, given["stream"], given["remove_stream"])
    fields["commands"] = with_hooks(text.commands, given["hook"])
    fields["conditions"] = with_conditions(text.conditions, given)
    # Last: a word that is refused leaves no destination behind.
    to = [name for name in text.to if name not in gone]
    added = [named_destination(client, word, is_dry=given["dry_run"]) for word in given["add_to"]]
    to += [name for name in added if name not in to]
    fields["retention_at"] = {name: policy for name, policy in text.retention_at.items() if name in to}
    text = msgspec.structs.replace(text, sources=sources, to=to, filters=filters, **fields)
    if given["owner"] is not None:
        return _move(session, stored, text, given["owner"], is_dry=given["dry_run"])
    return _put(client, stored, text, is_dry=given["dry_run"])


def _move(session: Session, stored: SetView, text: SetText, word: str, *, is_dry: bool) -> Reply:
    """Change a set whose owner is named, asked where that is another one."""
    client = client_of(session)
    here = client.get("/v1/daemon", Overview)
    text = msgspec.structs.replace(text, owner=owning.wanted_owner(here, stored, word))
    # First as it would be: who is meant is known to the daemon.
    would = client.request("PUT", f"/v1/sets/{stored.id}", EditSet(text=text, dry_run=True), SetChange)
    if would.change.changed and (anew := owning.begun_anew(client, stored, would.set)) is not None:
        text = msgspec.structs.replace(text, owner=anew)
        would = client.request("PUT", f"/v1/sets/{stored.id}", EditSet(text=text, dry_run=True), SetChange)
    warnings: list[str] = []
    if would.change.changed:
        warnings = owning.confirm_move(session, stored, would.set, client, is_dry=is_dry)
    reply = _put(client, stored, text, is_dry=is_dry)
    lines = [*reply.lines, *([] if is_dry else owning.next_lines(stored, would.set, here))]
    return dataclasses.replace(reply, warnings=[*warnings, *reply.warnings], lines=lines)


@set_noun.command("rename", cls=Verb, short_help="Rename a set.", examples=["bkctl set rename home homes"])
@click.argument("name", metavar="SET")
@click.argument("new_name", metavar="NAME")
@click.pass_obj
def rename(session: Session, /, name: str, new_name: str) -> Reply:
    """Give a set another name; its id, its jobs and all that it stored stay with it."""
    client = client_of(session)
    stored = _get(client, name)
    return _put(client, stored, msgspec.structs.replace(stored.text, name=new_name), is_dry=False)


@set_noun.command("copy", cls=Verb, short_help="Copy a set.", examples=["bkctl set copy home home-weekly"])
@click.argument("name", metavar="SET")
@click.argument("new_name", metavar="NAME")
@click.pass_obj
def copy(session: Session, /, name: str, new_name: str) -> Reply:
    """Make a new set with the settings of another; it shares nothing that is stored."""
    client = client_of(session)
    text = msgspec.structs.replace(_get(client, name).text, name=new_name, owner=None)
    made = client.request("POST", "/v1/sets", EditSet(text=text), SetChange)
    return Reply(0, _changed(made), warnings=made.change.warnings, lines=render.created_lines(made))


@set_noun.command("enable", cls=Verb, short_help="Let a set run.", examples=["bkctl set enable home"])
@click.argument("name", metavar="SET")
@click.pass_obj
def enable(session: Session, /, name: str) -> Reply:
    """Let `backup --all` and schedules run a set again."""
    return _switch(session, name, is_on=True)


@set_noun.command("disable", cls=Verb, short_help="Let a set rest.", examples=["bkctl set disable home"])
@click.argument("name", metavar="SET")
@click.pass_obj
def disable(session: Session, /, name: str) -> Reply:
    """Keep `backup --all` and schedules from running a set; by its name it can still be run."""
    return _switch(session, name, is_on=False)


@set_noun.command(
    "export",
    cls=Verb,
    short_help="Write sets as text.",
    examples=["bkctl set export home --output home.yaml", "bkctl set export | ssh backup2 bkctl set apply -f -"],
)
@click.argument("names", metavar="[SET]...", nargs=-1)
@click.pass_obj
def export_sets(session: Session, /, names: tuple[str, ...]) -> Reply:
    """Write sets with their destinations as a document that `set apply` takes; no secrets stand in it."""
    return export_texts(session, names)


@set_noun.command(
    "apply", cls=Verb, short_help="Bring sets to a text.", examples=["bkctl set apply -f sets.yaml --dry-run"]
)
@applying_options
@click.pass_obj
def apply_sets(session: Session, /, **given: Any) -> Reply:
    """Make and change sets until they are as documents say; the same again changes nothing."""
    return apply_texts(session, given)


@set_noun.command(
    "delete", cls=Verb, short_help="Forget a set.", examples=["bkctl set delete home", "bkctl set delete home --yes"]
)
@click.argument("name", metavar="SET")
@click.pass_obj
def delete(session: Session, /, name: str) -> Reply:
    """Forget a set. What it stored stays, and can be restored with --from."""
    client = client_of(session)
    stored = _get(client, name)
    options.must_agree(session, f"Forget the set {stored.text.name}? What it stored stays.")
    change = client.request("DELETE", f"/v1/sets/{stored.id}", None, Change)
    lines = [f"Set {stored.text.name} is forgotten. What it stored stays:"]
    lines += [f"  bkctl restore {stored.text.name} --from {one.place} --to restored" for one in stored.repositories]
    return Reply(0, {"changed": change.changed, "set": render.document(stored)}, lines=lines)


@set_noun.command(
    "estimate",
    cls=Verb,
    short_help="What a run would store, and whether it fits.",
    examples=["bkctl set estimate home", "bkctl set estimate home --to usb --json"],
)
@click.argument("name", metavar="SET")
@click.option("--to", metavar="DEST", multiple=True, help="Only for this destination of the set; may be repeated.")
@click.pass_obj
def estimate(session: Session, /, name: str, to: tuple[str, ...]) -> Reply:
    """Look at all files as a run would, and say what it would store at each destination; nothing is written.

    Exit 16 where it would not fit into what is free or into a quota, 4 where it fits at some destinations only.
    """
    client = client_of(session)
    client.check_version()
    words = [stored_place(word, "--to") for word in to]
    wanted = StartBackup(sets=[name], to=words, dry_run=True, estimate=True)
    started = client.request("POST", "/v1/backups", wanted, Started)
    view = View(estimate_lines, is_wanted_quietly=True)
    return reply_of(session, follow(session, DaemonJob(client, started.jobs[0].id), view), view)


@set_noun.command(
    "explain",
    cls=Verb,
    short_help="Whether paths are backed up, and by which rule.",
    examples=["bkctl set explain home /home/anna/notes.tmp", "bkctl set explain home ~/.cache ~/letter.odt --json"],
)
@click.argument("name", metavar="SET")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(readable=False))
@click.pass_obj
def explain(session: Session, /, name: str, paths: tuple[str, ...]) -> Reply:
    """Say of each PATH whether a run would take it in, and which rule, line or directory above it decides.

    A PATH that does not exist is taken for an empty new file, or for a directory where it ends with a slash.
    """
    client_of(session).check_version()
    order = ExplainOrder(place="", set_name=name, paths=[_asked(path) for path in paths])
    return perform(session, order, View(explained_lines, is_wanted_quietly=True))


def _asked(path: str) -> bytes:
    return absolute_path(path) + b"/" * (path.endswith("/") and path.strip("/") != "")


def _filters(ctx: click.Context) -> list[FilterText]:
    made: list[FilterText] = []
    for kind, value in ctx.meta["filters"]:
        match kind:
            case "filter-file":
                made.append(FilterText(file=absolute_text(value)))
            case "include":
                made.append(FilterText(include=value))
            case _:
                made.append(FilterText(exclude=value))
    return made


def _get(client: DaemonClient, name: str) -> SetView:
    return client.get(f"/v1/sets/{quote(name, safe='')}", SetView)


def _put(client: DaemonClient, stored: SetView, text: SetText, *, is_dry: bool) -> Reply:
    made = client.request("PUT", f"/v1/sets/{stored.id}", EditSet(text=text, dry_run=is_dry), SetChange)
    lines = render.change_lines(made.set.text.name, made.change)
    return Reply(0, _changed(made), warnings=made.change.warnings, lines=lines)


def _switch(session: Session, name: str, *, is_on: bool) -> Reply:
    client = client_of(session)
    stored = _get(client, name)
    return _put(client, stored, msgspec.structs.replace(stored.text, enabled=is_on), is_dry=False)


def _changed(made: SetChange) -> dict[str, Any]:
    change = made.change
    return {
        "changed": change.changed,
        "diff": change.diff,
        "dry_run": change.dry_run,
        "set": render.document(made.set),
    }
