"""The tree of all commands; each is loaded when it is named, for the others take longer than most of them do."""

from __future__ import annotations

import importlib
from typing import cast

import click
from click.exceptions import NoSuchCommand

from backupd import __version__
from bkctl.grammar import Noun

COMMANDS: dict[str, str] = {
    "once": "bkctl.commands.once:once",
    "backup": "bkctl.commands.backup:backup",
    "restore": "bkctl.commands.restore:restore",
    "check": "bkctl.commands.check:check",
    "free": "bkctl.commands.free:free",
    "purge": "bkctl.commands.purge:purge",
    "status": "bkctl.commands.status:status",
    "watch": "bkctl.commands.watch:watch",
    "set": "bkctl.commands.set:set_noun",
    "destination": "bkctl.commands.destination:destination",
    "notice": "bkctl.commands.notice:notice",
    "contact": "bkctl.commands.contact:contact",
    "schedule": "bkctl.commands.schedule:schedule",
    "config": "bkctl.commands.config:config",
    "snapshot": "bkctl.commands.snapshot:snapshot",
    "retention": "bkctl.commands.retention:retention",
    "job": "bkctl.commands.job:job",
    "report": "bkctl.commands.report:report",
    "key": "bkctl.commands.key:key",
    "decrypt": "bkctl.commands.decrypt:decrypt",
    "info": "bkctl.commands.info:info",
    "doctor": "bkctl.commands.doctor:doctor",
    "daemon": "bkctl.commands.daemon:daemon",
    "completion": "bkctl.commands.completion:completion",
}
"""Name -> module and the command in it, in the order in which one meets them."""


class Root(Noun):
    """`bkctl` itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names; nothing is loaded."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, loaded; None: there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As of a group. Raises NoSuchCommand, with what was perhaps meant: click looks among what is loaded."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None


@click.group("bkctl", cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", message="bkctl %(version)s")
def root() -> None:
    """Back up, bring back, verify. `bkctl once PATH... --to DIRECTORY` is all it takes; COMMAND --help says more."""
