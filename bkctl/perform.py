"""From an order to the reply that main prints: what all commands that need a job have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from backupd.model.any_order import AnyOrder
from backupd.model.events import Done, Failed
from backupd.model.jobs import JobView
from backupd.model.orders import Unlock
from bkctl.conversation import Conversation, Listener
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonJob
from bkctl.dispatch import begin
from bkctl.passwords import ask_secret
from bkctl.screen import Screen
from bkctl.session import Reply, Session

Lines = Callable[[dict[str, Any]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class View:
    """How one command's results look as text, and what they are."""

    lines: Lines
    listener: Listener = Listener()
    items_name: str = ""
    """Listings: where the items stand in the JSON document."""
    is_wanted_quietly: bool = False
    """Whether the result is what was asked for, so that `-q` shows it all the same."""


def perform(session: Session, order: AnyOrder, view: View) -> Reply:
    """Have a job carry out the order; asks once on the terminal for a key that is not at hand.

    The daemon has it done where it knows the place, else a job process of our own.
    """
    screen = Screen(session)
    last = Conversation(session, screen, view.listener).hold(lambda: begin(session, order))
    if isinstance(last, Failed) and last.error.get("code") == "key.missing" and session.is_interactive:
        secret = ask_secret("Password or key of the repository: ") if order.unlock.secret is None else None
        if secret is not None:
            unlocked = msgspec.structs.replace(order, unlock=Unlock(secret=secret))
            last = Conversation(session, screen, view.listener).hold(lambda: begin(session, unlocked))
    return reply_of(session, last, view)


def follow(session: Session, job: DaemonJob, view: View) -> Done | Failed:
    """Follow a job of the daemon to its last word."""
    return Conversation(session, Screen(session), view.listener).hold(lambda: job)


def follow_each(session: Session, client: DaemonClient, jobs: Sequence[JobView], lines: Lines) -> list[Reply]:
    """Follow jobs of the daemon one after the other; of several each line says whose it is."""
    return [_followed(session, client, job, lines, is_one=len(jobs) == 1) for job in jobs]


def _followed(session: Session, client: DaemonClient, job: JobView, lines: Lines, *, is_one: bool) -> Reply:
    view = View(lines if is_one else lambda result: [f"{job.set_name}: {line}" for line in lines(result)])
    reply = reply_of(session, follow(session, DaemonJob(client, job.id), view), view)
    return replace(reply, result={**reply.result, "set": job.set_name, "job": job.id}) if reply.result else reply


def reply_of(session: Session, last: Done | Failed, view: View) -> Reply:
    """What main prints for a job's last word."""
    is_shown = session.form == "text" and (view.is_wanted_quietly or not session.is_quiet)
    return Reply(
        exit_code=last.exit_code,
        result=last.result,
        error=last.error,
        warnings=last.warnings,
        lines=list(view.lines(last.result)) if is_shown and last.result is not None else [],
        items_name=view.items_name,
    )
