"""The tree of all commands."""

from __future__ import annotations

import click

from backupd import __version__
from bkctl.commands.backup import backup
from bkctl.commands.check import check
from bkctl.commands.completion import completion
from bkctl.commands.config import config
from bkctl.commands.decrypt import decrypt
from bkctl.commands.destination import destination
from bkctl.commands.doctor import doctor
from bkctl.commands.free import free
from bkctl.commands.info import info
from bkctl.commands.job import job
from bkctl.commands.key import key
from bkctl.commands.once import once
from bkctl.commands.purge import purge
from bkctl.commands.restore import restore
from bkctl.commands.retention import retention
from bkctl.commands.schedule import schedule
from bkctl.commands.set import set_noun
from bkctl.commands.snapshot import snapshot
from bkctl.commands.status import status
from bkctl.commands.watch import watch
from bkctl.grammar import Noun


class Root(Noun):
    """`bkctl` itself: commands in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order they were added."""
        return list(self.commands)


@click.group("bkctl", cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", message="bkctl %(version)s")
def root() -> None:
    """Back up, bring back, verify. `bkctl once PATH... --to DIRECTORY` is all it takes; COMMAND --help says more."""


for command in (
    once,
    backup,
    restore,
    check,
    free,
    purge,
    status,
    watch,
    set_noun,
    destination,
    schedule,
    config,
    snapshot,
    retention,
    job,
    key,
    decrypt,
    info,
    doctor,
    completion,
):
    root.add_command(command)
