"""`set edit --owner`: a set goes from one machine to another, asked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from backupd.errors import BackupError, UsageError
from backupd.model.api import Overview, OwnerView, SetView
from backupd.model.destination_orders import DestinationSessionsOrder
from backupd.model.events import Failed
from backupd.model.orders import SnapshotListOrder
from backupd.model.sets import OwnerText
from backupd.model.status import StatusReport
from backupd.sizes import format_seconds
from bkctl import options
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import ask_daemon
from bkctl.session import Session

_DAY_SECONDS = 86_400
_SOON_SECONDS = 2 * _DAY_SECONDS
"""Two intervals of a set that has no schedule."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A machine that stored the set at a destination."""

    destination: str
    host: str
    age_seconds: int
    """Since its snapshot was finished."""
    is_at_work: bool = False
    """A run of it is under way there."""

    @property
    def sentence(self) -> str:
        """When that was."""
        if self.is_at_work:
            return f"{self.host} is at work at {self.destination}"
        return f"{self.host} last wrote to {self.destination} {format_seconds(max(0, self.age_seconds))} ago"


def wanted_owner(here: Overview, stored: SetView, word: str) -> str | OwnerText:
    """What the set's text is to say. Raises UsageError."""
    if not word:
        raise UsageError("--owner names no machine", hint=f"this one is called {here.host}")
    owner = stored.owner
    is_here = word == here.host_id or word.casefold() == here.host.casefold()
    if owner is None or not is_here:
        return word
    if owner.is_here:
        return stored.text.owner if stored.text.owner is not None else word
    if owner.name.casefold() == here.host.casefold():
        # The name alone means the other machine of that name.
        return OwnerText(name=here.host, id=here.host_id, after=owner.after or None)
    return here.host if word == here.host_id else word


def traces(client: DaemonClient, stored: SetView, host: str) -> tuple[list[Seen], list[str]]:
    """What each destination of a set tells of a machine, and a warning for each that could not be asked."""
    seen: list[Seen] = []
    warnings: list[str] = []
    now_ns = client.get("/v1/status", StatusReport).now_ns
    for destination in stored.text.to:
        order = SnapshotListOrder(place=destination, set_name=f"{host}:{stored.text.name}", incomplete=True)
        for one in _asked(client, order, destination, warnings).get("snapshots", []):
            age = now_ns // 1_000_000_000 - int(datetime.fromisoformat(one["finished_at"]).timestamp())
            seen.append(Seen(destination, one["host"], age))
        seen += _sessions(client, stored, destination, warnings)
    return [one for one in seen if one.host.casefold() == host.casefold()], list(dict.fromkeys(warnings))


def _sessions(client: DaemonClient, stored: SetView, destination: str, warnings: list[str]) -> Iterator[Seen]:
    for one in _asked(client, DestinationSessionsOrder(place=destination), destination, warnings).get("sessions", []):
        if one["set"] == stored.text.name and one["host"] is not None and one["holds_back_freeing"]:
            yield Seen(destination, one["host"], int(one["age_seconds"] or 0), is_at_work=True)


def _asked(client: DaemonClient, order: Any, destination: str, warnings: list[str]) -> dict[str, Any]:
    try:
        last = ask_daemon(client, order)
    except BackupError as error:
        last = None
        if error.exit_code != 10:
            warnings.append(f"{destination} could not be asked: {error.message}")
    if isinstance(last, Failed) and last.exit_code != 10:
        warnings.append(f"{destination} could not be asked: {last.error['message']}")
    return (last.result if last is not None else None) or {}


def confirm_move(
    session: Session, stored: SetView, moved: SetView, client: DaemonClient, *, is_dry: bool
) -> list[str]:
    """Have the user agree to a set's new owner; warnings. Raises AnswerNeededError, CancelledError.

    moved: as it would be. is_dry: nothing is asked.
    """
    old, new, name = stored.owner, moved.owner, stored.text.name
    if old is None or new is None or old == new or (new.is_here and old.is_here):
        return []
    asked = old if new.is_here else new
    found, warnings = traces(client, stored, asked.name) if is_named(asked) else ([], [])
    if new.is_here:
        told = _told_of(found, name, stored.limit_seconds or _SOON_SECONDS)
        warnings += [f"{told}: see that it stops there"] if "may still" in told else []
        question = f"{name} belongs to {old.name}, and this machine would run it from now on."
        question += f" As it looks, {told}." if told else ""
    else:
        doubt = ""
        if is_named(new) and not found and not warnings:
            doubt = f"nothing of {name} by {new.name} is there yet: make sure that `hostname -s` says {new.name} there"
            warnings.append(doubt)
        what = f"nothing of {name} would run here any more" if old.is_here else f"{old.name} would run it no more"
        question = f"{name} would belong to {new.name}, and {what}."
        question += f" As it looks, {doubt}." if doubt else ""
    if not is_dry:
        options.must_agree(session, f"{question} Go on?")
    return warnings


def is_named(owner: OwnerView) -> bool:
    """Whether the name of a machine is known, and not its host id alone."""
    return owner.id is None or owner.name != owner.id[:8]


def begun_anew(client: DaemonClient, stored: SetView, moved: SetView) -> OwnerText | None:
    """The owner, where all destinations tell that none of those before stored any of the set; else None.

    moved: as it would be. So a name with a typo that is taken back before the first run leaves no history to look for.
    """
    new, written = moved.owner, moved.text.owner
    if new is None or not (new.is_here and new.after) or stored.repositories or not isinstance(written, OwnerText):
        return None
    if any(found for host in new.after for found in traces(client, stored, host)):
        return None
    return msgspec.structs.replace(written, after=[])


def hand_over(name: str, owner: OwnerView) -> str:
    """The command that gives a set's text to the machine that it belongs to."""
    host = shlex.quote(owner.name) if is_named(owner) else "HOST"
    return f"bkctl set export {shlex.quote(name)} | ssh {host} bkctl set apply -f -"


def _told_of(found: list[Seen], name: str, limit_seconds: int) -> str:
    """When the machine that had the set wrote last; and what that may mean. Empty where it never did."""
    latest = _latest(found)
    told = "; ".join(one.sentence for one in latest)
    if any(one.is_at_work or one.age_seconds < limit_seconds for one in latest):
        told += f"; it may still back {name} up, and then two machines would store and drop as one"
    return told


def _latest(found: list[Seen]) -> list[Seen]:
    """The newest of each destination, and what is under way."""
    newest: dict[str, Seen] = {}
    for one in found:
        known = newest.get(one.destination)
        if not one.is_at_work and (known is None or one.age_seconds < known.age_seconds):
            newest[one.destination] = one
    return [*newest.values(), *(one for one in found if one.is_at_work)]


def next_lines(stored: SetView, moved: SetView, here: Overview) -> list[str]:
    """What a move means, and the commands that follow it on both machines."""
    old, new, name = stored.owner, moved.owner, moved.text.name
    if old is None or new is None or old.is_here == new.is_here:
        return []
    word, host = shlex.quote(name), shlex.quote(new.name) if is_named(new) else "HOST"
    if new.is_here:
        goes_on = old.name in new.after
        then = f". Its next run goes on with what {old.name} stored" if goes_on else ""
        lines = [f"{name} runs here from now on{then}:", f"  bkctl backup {word}"]
        if goes_on and not stored.repositories:
            lines.append("Its key has to be in the key directory of this machine for that; where it is, says there:")
            lines.append(f"  bkctl key show {word}")
        so_that = f"So that {old.name} leaves it alone" if goes_on else f"If {old.name} was given its text, too"
        lines.append(f"{so_that}, there:")
        return [*lines, f"  bkctl set edit {word} --owner {host}"]
    lines = [f"Nothing of {name} runs here any more."]
    if stored.repositories:
        lines = [f"{lines[0]} What it stored stays:"]
        lines.append(f"  bkctl restore {shlex.quote(here.host)}:{word} --to restored")
        lines.append(f"{new.name} needs its key in the key directory there; where it is here, says:")
        lines.append(f"  bkctl key show {word}")
    lines.append("Then give it the text, and have it run:")
    lines.append(f"  {hand_over(name, new)}")
    return [*lines, f"  ssh {host} bkctl backup {word}"]
