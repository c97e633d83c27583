"""Options of the commands that add and change schedules, and the fields of a schedule's text that they fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from bkctl.options import Decorated, with_options


def schedule_options(command: Decorated) -> Decorated:
    """When a set runs, and how."""
    return with_options(command, _OPTIONS)


def given_schedule_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a schedule's text that the options of `schedule_options` give; those not given are left out."""
    when = ("daily", "every", "days", "weekly", "monthly", "once", "cron")
    how = ("stop_after", "retention", "window", "jitter", "missed", "overlap", "wake")
    # An empty word takes a setting away.
    return {name: None if given[name] == "" else given[name] for name in (*when, *how) if given[name] is not None}


_OPTIONS = (
    click.option("--daily", metavar="HH:MM", help="Each day at that time."),
    click.option("--every", metavar="15m|6h", help="As often as that, counted from midnight."),
    click.option("--days", metavar="DAYS", help="With --every: only on these, as mon,tue; '' for each day."),
    click.option("--weekly", metavar="DAYS@HH:MM", help="On weekdays, as sat,sun@03:00."),
    click.option("--monthly", metavar="DAY@HH:MM", help="As 1@04:00, last@04:00 or last-fri@04:00."),
    click.option("--once", metavar="DATE@HH:MM", help="On one day, as 2026-12-24@18:00."),
    click.option("--cron", metavar="TEXT", help="Minute, hour, day, month, weekday: '30 2 * * mon-fri'."),
    click.option("--stop-after", metavar="1h-24h", help="Stop the run then; the next one goes on; '' for no limit."),
    click.option("--retention/--no-retention", default=None, help="Drop after it what the policy drops; the default."),
    click.option("--window", metavar="FROM-TO", help="Work only then, as 22:00-06:00, else pause; '' for always."),
    click.option("--jitter", metavar="D", help="Begin up to so much later, by chance; '' for at once."),
    click.option("--missed", type=click.Choice(["run", "skip"]), help="Make up for one run that was slept through, or"
                 " for none; default: run."),
    click.option("--overlap", type=click.Choice(["skip", "queue"]), help="If the set still runs: pass over, or wait;"
                 " default: skip."),
    click.option("--wake/--no-wake", default=None, help="Wake the machine for it."),
)
