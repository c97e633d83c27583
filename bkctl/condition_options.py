"""Options of the conditions under which a set runs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import msgspec

from backupd.model.conditions import ConditionsText
from bkctl.options import Decorated, with_options
from bkctl.places import absolute_text

_OPTIONS = (
    click.option("--on-battery/--not-on-battery", default=None, help="Whether it runs by itself on battery; it does."),
    click.option("--on-metered/--not-on-metered", default=None, help="The same of a network paid for by volume."),
    click.option("--in-network", metavar="NAME", multiple=True, help="Run by itself in this network; '' for any."),
    click.option(
        "--if-present",
        metavar="PATH",
        multiple=True,
        type=click.Path(),
        help="Run by itself if this is there; '' for always.",
    ),
    click.option(
        "--if-mounted",
        metavar="DIR",
        multiple=True,
        type=click.Path(),
        help="Run by itself if something is mounted there; '' for always.",
    ),
)


def condition_options(command: Decorated) -> Decorated:
    """The options of conditions."""
    return with_options(command, _OPTIONS)


def with_conditions(former: ConditionsText | None, given: Mapping[str, Any]) -> ConditionsText | None:
    """A set's conditions with those that were given; None: there is none. A list that is '' alone is taken away."""
    fields: dict[str, Any] = {
        "battery": given["on_battery"],
        "metered": given["on_metered"],
        "networks": [word for word in given["in_network"] if word] if given["in_network"] else None,
    }
    for name, words in (("present", given["if_present"]), ("mounted", given["if_mounted"])):
        fields[name] = [absolute_text(word) for word in words if word] if words else None
    said = {name: value for name, value in fields.items() if value is not None}
    made = msgspec.structs.replace(former or ConditionsText(), **said)
    return made if made != ConditionsText() else None
