"""`bkctl schedule …`: when sets run by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import click
import msgspec

from backupd.errors import ConflictError, NotFoundError, UsageError
from backupd.model.api import EditSet, SetChange, SetView
from backupd.model.schedules import WHEN, NextRuns, ScheduleList, ScheduleText
from bkctl import owning
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.grammar import Noun, Verb
from bkctl.render import schedules as render
from bkctl.schedule_options import given_schedule_fields, schedule_options
from bkctl.session import Reply, Session


@click.group("schedule", cls=Noun, short_help="When sets run by themselves.")
def schedule() -> None:
    """When sets run by themselves: daily, weekly, monthly, at intervals, on one day, or by cron text."""


@schedule.command(
    "add",
    cls=Verb,
    short_help="Have a set run by itself.",
    examples=[
        "bkctl schedule add home --daily 02:00",
        "bkctl schedule add home --name hourly --every 1h --days mon,tue,wed,thu,fri",
        "bkctl schedule add home --monthly last-fri@04:00 --stop-after 6h --jitter 30m",
    ],
)
@click.argument("set_word", metavar="SET")
@click.option("--name", metavar="N", help="What it is called; default: its kind, as daily.")
@schedule_options
@click.option("--disabled", is_flag=True, help="Don't turn it on yet.")
@click.option("--dry-run", is_flag=True, help="Say what would be added, and when it would run; change nothing.")
@click.pass_obj
def add(session: Session, /, set_word: str, name: str | None, disabled: bool, dry_run: bool, **given: Any) -> Reply:
    """Add a schedule to a set; says when it runs next. In the set's time zone."""
    kinds = [kind for kind in WHEN if given[kind]]
    if len(kinds) != 1:
        hint = f"one of {', '.join('--' + kind for kind in WHEN)}: bkctl schedule add {set_word} --daily 02:00"
        raise UsageError("say when, in one way", hint=hint)
    client = client_of(session)
    client.check_version()
    stored = _get(client, set_word)
    taken = {one.name.casefold() for one in stored.text.schedules}
    if name is not None and name.casefold() in taken:
        hint = f"choose another name, or: bkctl schedule edit {stored.text.name} {name}"
        raise ConflictError(f"{stored.text.name} has a schedule called {name} already", hint=hint)
    named = name if name is not None else _free_name(kinds[0], taken)
    text = ScheduleText(name=named, enabled=not disabled, **given_schedule_fields(given))
    return _change(client, stored, [*stored.text.schedules, text], named, dry_run=dry_run)


@schedule.command(
    "edit",
    cls=Verb,
    short_help="Change a schedule.",
    examples=["bkctl schedule edit home daily --daily 03:30", "bkctl schedule edit home hourly --disable"],
)
@click.argument("set_word", metavar="SET")
@click.argument("name", metavar="SCHEDULE")
@schedule_options
@click.option("--enable/--disable", "enabled", default=None, help="Turn it on or off.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def edit(
    session: Session, /, set_word: str, name: str, enabled: bool | None, dry_run: bool, **given: Any
) -> Reply:
    """Change a schedule of a set; what is not given stays as it was."""
    kinds = [kind for kind in WHEN if given[kind]]
    if len(kinds) > 1:
        raise UsageError("say when, in one way", hint=f"one of {', '.join('--' + kind for kind in WHEN)}")
    client = client_of(session)
    client.check_version()
    stored = _get(client, set_word)
    old = _find(stored, name)
    fields = given_schedule_fields(given)
    if kinds:
        fields = {**dict.fromkeys(WHEN), "days": None, **fields}
    if enabled is not None:
        fields["enabled"] = enabled
    new = msgspec.structs.replace(old, **fields)
    return _change(
        client, stored, [new if one is old else one for one in stored.text.schedules], old.name, dry_run=dry_run
    )


@schedule.command(
    "remove",
    cls=Verb,
    short_help="Take a schedule away.",
    examples=["bkctl schedule remove home hourly"],
)
@click.argument("set_word", metavar="SET")
@click.argument("name", metavar="SCHEDULE")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def remove(session: Session, /, set_word: str, name: str, dry_run: bool) -> Reply:
    """Take a schedule away; runs that it began go on."""
    client = client_of(session)
    client.check_version()
    stored = _get(client, set_word)
    old = _find(stored, name)
    return _change(client, stored, [one for one in stored.text.schedules if one is not old], None, dry_run=dry_run)


@schedule.command(
    "list",
    cls=Verb,
    short_help="List schedules.",
    examples=["bkctl schedule list", "bkctl schedule list home --json"],
)
@click.argument("words", metavar="[SET]...", nargs=-1)
@click.pass_obj
def list_schedules(session: Session, /, words: tuple[str, ...]) -> Reply:
    """List the schedules of sets, and when each runs next."""
    found = client_of(session).get(_query("/v1/schedules", words), ScheduleList)
    return Reply(
        0,
        {"schedules": [render.document(one) for one in found.schedules], "next": None},
        lines=render.list_lines(found, words),
    )


@schedule.command(
    "next",
    cls=Verb,
    short_help="Show the runs to come.",
    examples=["bkctl schedule next", "bkctl schedule next home --count 20"],
)
@click.argument("words", metavar="[SET]...", nargs=-1)
@click.option("--count", type=click.IntRange(1, 1000), default=20, metavar="N", help="How many; default: 20.")
@click.pass_obj
def next_runs(session: Session, /, words: tuple[str, ...], count: int) -> Reply:
    """Show the next runs of all sets, or of those named, in each set's time zone."""
    found = client_of(session).get(_query("/v1/schedules/next", words, count), NextRuns)
    return Reply(0, render.coming(found), lines=render.coming_lines(found))


def _change(
    client: DaemonClient, stored: SetView, schedules: list[ScheduleText], name: str | None, *, dry_run: bool
) -> Reply:
    """Give a set other schedules. name: of the one that is told of afterwards."""
    text = msgspec.structs.replace(stored.text, schedules=schedules)
    made = client.request("PUT", f"/v1/sets/{stored.id}", EditSet(text=text, dry_run=dry_run), SetChange)
    change, its = made.change, made.set.text
    lines = render.change_lines(its.name, stored.text.schedules, its.schedules, is_dry=dry_run)
    warnings = list(change.warnings)
    runs: list[dict[str, Any]] = []
    new = next((one for one in its.schedules if one.name == name), None)
    if new is not None:
        if not its.enabled:
            warnings.append(f"{its.name} is disabled and runs no schedule: bkctl set enable {its.name}")
        owner = made.set.owner
        if owner is not None and not owner.is_here:
            warnings.append(
                f"{its.name} belongs to {owner.name}: its schedules run there alone, by the text that it has there: "
                f"{owning.hand_over(its.name, owner)}"
            )
        elif not dry_run:
            found = client.get(_query("/v1/schedules/next", [made.set.id], 3, new.name), NextRuns)
            runs = [render.run(one) for one in found.runs]
            lines += render.next_lines(its.name, found.runs)
    result = {"changed": change.changed, "diff": change.diff, "dry_run": change.dry_run, "set": its.name}
    result |= {"schedule": render.fields(new) if new is not None else None, "runs": runs}
    return Reply(0, result, warnings=warnings, lines=lines)


def _free_name(kind: str, taken: set[str]) -> str:
    return next(name for name in (kind, *(f"{kind}-{n}" for n in range(2, 100))) if name not in taken)


def _find(stored: SetView, name: str) -> ScheduleText:
    for one in stored.text.schedules:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in stored.text.schedules)
    hint = f"it has {names}" if names else f"bkctl schedule add {stored.text.name} --daily 02:00"
    raise NotFoundError(f"{stored.text.name} has no schedule called '{name}'", hint=hint)


def _query(path: str, words: Sequence[str], count: int | None = None, schedule: str | None = None) -> str:
    given = {"sets": ",".join(words), "count": str(count or ""), "schedule": schedule or ""}
    return f"{path}?{urlencode({name: text for name, text in given.items() if text})}"


def _get(client: DaemonClient, word: str) -> SetView:
    return client.get(f"/v1/sets/{quote(word, safe='')}", SetView)
