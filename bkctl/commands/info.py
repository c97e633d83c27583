"""`bkctl info`: this program, this machine, its daemon, and a repository."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from backupd.errors import AccessError, DaemonUnreachableError
from backupd.model.api import DestinationList, Overview
from backupd.model.orders import InfoOrder
from bkctl import options
from bkctl.conversation import Listener
from bkctl.dispatch import client_of
from bkctl.grammar import Verb
from bkctl.perform import View, perform
from bkctl.places import from_place
from bkctl.render.info import daemon_facts, info_lines
from bkctl.session import Reply, Session


@click.command(
    "info",
    cls=Verb,
    short_help="Facts of program, machine, daemon, repository.",
    examples=["bkctl info", "bkctl info --from /media/usb/backup --json"],
)
@options.reading_options
@click.pass_obj
def info(session: Session, /, **given: Any) -> Reply:
    """Show versions, paths, the machine and its daemon; with --from, what the repository there is."""
    order = InfoOrder(**options.common(session, from_place(given["from_place"]), given))
    reply = perform(session, order, View(info_lines, Listener(goes_on_unread=False), is_wanted_quietly=True))
    daemon = _daemon(session)
    if reply.result is None or daemon is None:
        return reply
    result = {**reply.result, "daemon": daemon}
    return dataclasses.replace(reply, result=result, lines=info_lines(result) if reply.lines else [])


def _daemon(session: Session) -> dict[str, Any] | None:
    """The daemon that this call means; None where none answers us."""
    if session.has_no_daemon:
        return None
    client = client_of(session)
    try:
        overview = client.get("/v1/daemon", Overview)
        destinations = client.get("/v1/destinations", DestinationList).destinations
    except (DaemonUnreachableError, AccessError):
        return None
    return daemon_facts(overview, destinations)
