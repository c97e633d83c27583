"""Retention policies as options give them: `--days 30`, `--weekly sat:4`, `--yearly 'new year=jan/1:7'`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.retention import KEEP_ALL, RetentionRule, RetentionText
from bkctl.options import Decorated, with_options
from bkctl.text import escape

_EXAMPLES = {"daily": "7", "weekly": "sat:4", "monthly": "1:3", "quarterly": "jan,apr,jul,oct/1:4", "yearly": "jan/1:7"}


def policy_options(command: Decorated) -> Decorated:
    """What a policy may consist of."""
    return with_options(command, _OPTIONS)


def given_policy(given: Mapping[str, Any]) -> RetentionText | None:
    """The policy of the options, None where none was given. Raises UsageError."""
    kinds = ("daily", "weekly", "monthly", "quarterly", "yearly")
    rules = [_rule(kind, word) for kind in kinds for word in given[kind]]
    if given["date"]:
        rules.append(RetentionRule(dates=[_date(word) for word in given["date"]]))
    simple = {name: given[name] for name in ("days", "jobs") if given[name] is not None}
    if given["keep_all"]:
        if simple or rules:
            raise UsageError("--keep-all leaves nothing to other rules", hint="give it alone, or leave it out")
        return RetentionText(keep=KEEP_ALL.keep, keep_tags=list(given["keep_tag"]))
    if not simple and not rules and not given["keep_tag"]:
        return None
    return RetentionText(**simple, rules=rules, keep_tags=list(given["keep_tag"]))


def _rule(kind: str, word: str) -> RetentionRule:
    """`[NAME=][DAYS:]N`."""
    name, equals, rest = word.rpartition("=")
    days, _, count = rest.rpartition(":")
    if not (count.isascii() and count.isdigit() and len(count) < 4):
        raise UsageError(
            f"--{kind} {escape(word)} has no count", hint=f"--{kind} [NAME=][DAYS:]N, as --{kind} {_EXAMPLES[kind]}"
        )
    return RetentionRule(**{kind: int(count)}, when=days or None, name=name if equals else None)  # type: ignore[arg-type]


def _date(word: str) -> date:
    try:
        return date.fromisoformat(word)
    except ValueError as error:
        raise UsageError(f"--date {escape(word)} is no day", hint="as 2026-12-24") from error


def _rule_option(kind: str, metavar: str, what: str) -> Any:
    return click.option(f"--{kind}", metavar=metavar, multiple=True, help=what)


_OPTIONS: Sequence[Any] = (
    click.option("--keep-all", is_flag=True, help="Everything, until it is deleted by hand."),
    click.option("--days", type=click.IntRange(1, 365), metavar="N", help="Each version N days after the next one."),
    click.option("--jobs", type=click.IntRange(1, 365), metavar="N", help="Each version until it has N newer ones."),
    _rule_option("daily", "[NAME=]N", "The last of each of N days; rules may be repeated and join."),
    _rule_option("weekly", "[NAME=][DAYS:]N", "As sat:4 or mon,fri:4; Saturdays where no day is given."),
    _rule_option("monthly", "[NAME=][DAY:]N", "As 1:3, last:3 or last-fri:3; the 1st where no day is given."),
    _rule_option("quarterly", "[NAME=][MONTHS/DAY:]N", "As jan,apr,jul,oct/1:4."),
    _rule_option("yearly", "[NAME=][DAY:]N", "As jan/1:7, jun/last-fri:7 or w1/mon:7."),
    click.option("--date", metavar="YYYY-MM-DD", multiple=True, help="What there was on that day; may be repeated."),
    click.option("--keep-tag", metavar="K[=V]", multiple=True, help="What carries this tag, besides."),
)
