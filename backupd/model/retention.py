"""Which snapshots of a set are kept, as people write it (docs/retention.md): the grammar of `retention:` in a set.

Also what tells of a plan: its id, and the ids of several plans as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import msgspec

from backupd.model.structs import Text

MOST_DAYS = MOST_JOBS = MOST_COUNT = 365
MOST_RULES = 64
MOST_DATES = 365
WHEN = {"daily": "", "weekly": "sat", "monthly": "1", "quarterly": "jan,apr,jul,oct/1", "yearly": "jan/1"}
"""Kind of a rule -> its days where it names none."""
RULE_KINDS = (*WHEN, "dates")


class RetentionRule(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of an advanced policy: just one of its kinds, with a count."""

    name: str | None = None
    """For the reasons of a plan; none: made of the rule."""
    daily: int | None = None
    """So many of the last days."""
    weekly: int | None = None
    monthly: int | None = None
    quarterly: int | None = None
    yearly: int | None = None
    dates: list[date] | None = None
    """Days as `2026-12-24`."""
    when: str | int | None = None
    """Weekly: `sat` or `sat,sun`. Monthly: `1` to `31`, `last`, `first-mon` to `fourth-sun`, `last-fri`. Quarterly:
    `jan,apr,jul,oct/1`. Yearly: `jan/1`, `jun/last-fri`, `w1/mon` to `w53/sun`. None: `sat`, `1`, `jan,apr,jul,oct/1`,
    `jan/1`."""
    count: int | None = None
    """Of dates: so many of those that have passed; none: all."""


class RetentionText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A policy. What any part of it keeps is kept; so are what is pinned and the newest complete snapshot."""

    keep: Literal["all"] | None = None
    """Everything, until it is deleted by hand."""
    days: int | None = None
    """Each snapshot until so many days after the next one was made."""
    jobs: int | None = None
    """Each snapshot until so many newer ones are there."""
    rules: list[RetentionRule] = []
    keep_tags: list[str] = []
    """`KEY=VALUE`, or `KEY` of any value: what carries one is kept, whatever the rest says."""


KEEP_ALL = RetentionText(keep="all")
"""Of `once`, unless it is told otherwise."""
DEFAULT = RetentionText(days=7)
"""Of a set that says nothing."""


_FACTOR = (1 << 64) + 13


def joined_plan(plans: Sequence[str]) -> str:
    """One id for the plans of several destinations, in their order; of one its own."""
    if len(plans) == 1:
        return plans[0]
    number = 0
    # Ids are hashes; two rows of them are alike by chance alone.
    for plan in plans:
        number = (number * _FACTOR + int(plan[1:], 16) + 1) % (1 << 128)
    return f"p{number:032x}"


def policy_of(general: RetentionText | None, at: dict[str, RetentionText], destination: str) -> RetentionText:
    """The policy of a set at one destination. general: of the set, None: the default."""
    return at.get(destination) or general or DEFAULT


def document(policy: RetentionText) -> dict[str, Any]:
    """A policy as JSON output shows it."""
    built: dict[str, Any] = msgspec.to_builtins(policy)
    return built
