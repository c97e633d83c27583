"""The order that has commands of a set carried out."""

from __future__ import annotations

from backupd.model.commands import CommandText
from backupd.model.orders import Order


class CommandOrder(Order, frozen=True, kw_only=True, tag="commands"):
    """Run commands one after the other; `place` is empty.

    An item with `group`, the id of its process group, and `uid`, its user's where that is another one, as each begins;
    one with `command`, what became of it.
    """

    commands: list[CommandText]
    environment: dict[str, str]
    """What all of them are told of the run."""
