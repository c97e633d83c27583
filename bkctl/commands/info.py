"""`bkctl info`: this program, this machine, and a repository."""

from __future__ import annotations

from typing import Any

import click

from backupd.model.orders import InfoOrder
from bkctl import options
from bkctl.conversation import Listener
from bkctl.grammar import Verb
from bkctl.perform import View, perform
from bkctl.places import from_place
from bkctl.render.info import info_lines
from bkctl.session import Reply, Session


@click.command(
    "info",
    cls=Verb,
    short_help="Facts of program, machine, repository.",
    examples=["bkctl info", "bkctl info --from /media/usb/backup --json"],
)
@options.reading_options
@click.pass_obj
def info(session: Session, /, **given: Any) -> Reply:
    """Show versions, paths and the machine; with --from, what the repository there is."""
    order = InfoOrder(**options.common(session, from_place(given["from_place"]), given))
    return perform(session, order, View(info_lines, Listener(goes_on_unread=False), is_wanted_quietly=True))
