"""`bkctl retention …`: which snapshots of a set are kept; drops those that are not."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import msgspec

from backupd.errors import RepositoryNotFoundError, UsageError
from backupd.model.api import EditSet, SetChange, SetList, SetView
from backupd.model.orders import RetentionOrder
from backupd.sizes import count
from backupd.store_errors import PlanOutdatedError, error_of
from bkctl import options
from bkctl.commands.destination import named_destination
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.grammar import Noun, Verb
from bkctl.perform import View, perform
from bkctl.places import from_place
from bkctl.policies import given_policy, policy_options
from bkctl.render import retention as render
from bkctl.render import sets
from bkctl.session import Reply, Session


@click.group("retention", cls=Noun, short_help="Which snapshots are kept.")
def retention() -> None:
    """Which snapshots of a set are kept: show and set the policy, look at what it drops, drop it."""


@retention.command(
    "show",
    cls=Verb,
    short_help="Show which policy holds.",
    examples=["bkctl retention show", "bkctl retention show home"],
)
@click.argument("name", metavar="[SET]", required=False)
@click.pass_obj
def show(session: Session, /, name: str | None) -> Reply:
    """Show which policy holds for a set, or for all of them, at each destination."""
    client = client_of(session)
    found = [_get(client, name)] if name is not None else client.get("/v1/sets", SetList).sets
    shown = [{"set": one.text.name, "destinations": render.policies(one)} for one in found]
    return Reply(0, {"sets": shown}, lines=render.policy_lines(shown))


@retention.command(
    "set",
    cls=Verb,
    short_help="Give a set a policy.",
    examples=[
        "bkctl retention set home --days 30",
        "bkctl retention set home --daily 7 --weekly sat:4 --monthly 1:3 --quarterly 4 --yearly 'new year=jan/1:7'",
        "bkctl retention set home --keep-all --from archive",
    ],
)
@click.argument("name", metavar="SET")
@policy_options
@click.option("--from", "from_place", metavar="DEST", help="Only at this destination of the set.")
@click.option("--default", "is_default", is_flag=True, help="Take the policy away: the set's holds, or 7 days.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def set_policy(session: Session, /, **given: Any) -> Reply:
    """Give a set a policy in place of the one it has. What any part of it keeps is kept; nothing is dropped now."""
    policy = given_policy(given)
    if (policy is None) != given["is_default"]:
        raise UsageError("give a policy, or --default", hint="bkctl retention set SET --days 30")
    client = client_of(session)
    stored = _get(client, given["name"])
    text = stored.text
    if given["from_place"] is None:
        text = msgspec.structs.replace(text, retention=policy)
    else:
        at = named_destination(client, given["from_place"], is_dry=True)
        others = {name: one for name, one in text.retention_at.items() if name != at}
        text = msgspec.structs.replace(text, retention_at={**others, at: policy} if policy is not None else others)
    made = client.request("PUT", f"/v1/sets/{stored.id}", EditSet(text=text, dry_run=given["dry_run"]), SetChange)
    change, shown = made.change, render.policies(made.set)
    lines = [*sets.change_lines(made.set.text.name, change), *sets.retention_lines(made.set.text)]
    result = {
        "changed": change.changed,
        "diff": change.diff,
        "dry_run": change.dry_run,
        "set": sets.document(made.set),
        "destinations": shown,
    }
    return Reply(0, result, warnings=change.warnings, lines=lines)


@retention.command(
    "plan",
    cls=Verb,
    short_help="Show what would be dropped, and why the rest stays.",
    examples=["bkctl retention plan home", "bkctl retention plan home --from usb --json"],
)
@click.argument("name", metavar="SET")
@click.option("--from", "from_place", metavar="DEST", help="Only at this destination of the set.")
@click.pass_obj
def plan(session: Session, /, name: str, from_place: str | None) -> Reply:
    """Show each snapshot of a set with whether it stays, and why; changes nothing."""
    stored, names = _where(client_of(session), name, from_place)
    return _planned(session, stored.text.name, names)


@retention.command(
    "apply",
    cls=Verb,
    short_help="Drop what the policy does not keep.",
    examples=[
        "bkctl retention apply home",
        "bkctl retention apply home --dry-run",
        "bkctl retention apply home --apply p3f9a --yes",
    ],
)
@click.argument("name", metavar="SET")
@click.option("--from", "from_place", metavar="DEST", help="Only at this destination of the set.")
@click.option("--dry-run", is_flag=True, help="Show what would be dropped; drop nothing.")
@click.option("--apply", "plan_id", metavar="PLAN", help="Just what that plan showed; exit 17 when it is out of date.")
@click.pass_obj
def apply(session: Session, /, **given: Any) -> Reply:
    """Drop the snapshots of a set that its policy does not keep. Their space is given back when it is freed."""
    if given["dry_run"] and given["plan_id"] is not None:
        raise UsageError("--dry-run and --apply are both given", hint="give one of them")
    stored, names = _where(client_of(session), given["name"], given["from_place"])
    planned = _planned(session, stored.text.name, names)
    result = planned.result
    if given["dry_run"] or result is None:
        return planned
    wanted = given["plan_id"]
    if wanted is not None and (result["plan"] is None or not result["plan"].startswith(wanted) or len(wanted) < 5):
        raise PlanOutdatedError(
            f"plan {wanted} is out of date: other snapshots would be dropped now",
            hint=f"look at the new one: bkctl retention plan {stored.text.name}",
            context={"plan": result["plan"]},
        )
    if result["dropped_count"]:
        options.must_agree(session, f"Drop {count(result['dropped_count'], 'snapshot')} of {stored.text.name}?")
    replies = [
        _perform(session, stored.text.name, entry["destination"], plan=entry["plan"])
        if "plan" in entry
        else Reply(error_of(entry["error"]["code"], "").exit_code, error=entry["error"])
        for entry in result["destinations"]
    ]
    return render.retention_together(stored.text.name, names, replies, is_dry=False)


def _planned(session: Session, name: str, names: list[str]) -> Reply:
    replies = [_perform(session, name, one) for one in names]
    return render.retention_together(name, names, replies, is_dry=True)


def _perform(session: Session, name: str, destination: str, plan: str = "") -> Reply:
    """plan: to carry out; empty: to make one."""
    order = RetentionOrder(place=destination, set_name=name, apply=bool(plan), plan=plan)
    return perform(session, order, View(lambda _: []))


def _where(client: DaemonClient, name: str, word: str | None) -> tuple[SetView, list[str]]:
    """The set, and its destinations where something is stored, or the one of `--from`."""
    client.check_version()
    stored = _get(client, name)
    if word is not None:
        return stored, [named_destination(client, from_place(word), is_dry=True)]
    there = {one.destination for one in stored.repositories}
    names = [one for one in stored.text.to if one in there]
    if not names:
        name, owner = stored.text.name, stored.owner
        if owner is not None and not owner.is_here:
            message = f"{name} belongs to {owner.name}, and nothing of it was stored from here"
            raise RepositoryNotFoundError(message, hint="its retention is planned and applied there")
        raise RepositoryNotFoundError(f"nothing of {name} is stored yet", hint=f"run it first: bkctl backup {name}")
    return stored, names


def _get(client: DaemonClient, name: str) -> SetView:
    return client.get(f"/v1/sets/{quote(name, safe='')}", SetView)
