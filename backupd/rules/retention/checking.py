"""Policies as they come in: refused where they keep nothing or say nothing sensible, else in their one spelling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import msgspec

from backupd.errors import ConfigError, UsageError
from backupd.model.retention import (
    MOST_COUNT,
    MOST_DATES,
    MOST_RULES,
    RULE_KINDS,
    RetentionRule,
    RetentionText,
)
from backupd.rules.retention.marks import marks_of
from backupd.store_errors import EmptyPolicyError

_MOST_NAME = 64
_MOST_TAGS = 100


def check_policy(policy: RetentionText) -> RetentionText:
    """The policy in its one spelling.

    Raises EmptyPolicyError where it keeps nothing but the newest snapshot and what is pinned or tagged, ConfigError.
    `at` in their context is the way to the part that is to blame.
    """
    if policy.keep == "all" and (policy.days is not None or policy.jobs is not None or policy.rules):
        _refuse("keep: all leaves nothing to days, jobs and rules", "write keep: all alone, or leave it out", "keep")
    if policy.keep is None and policy.days is None and policy.jobs is None and not policy.rules:
        raise EmptyPolicyError(
            "a retention policy that keeps nothing",
            hint="write keep: all, or days, jobs or rules, as: retention: {days: 7}",
        )
    for field in ("days", "jobs"):
        _check_count(field, getattr(policy, field), [field])
    if len(policy.rules) > MOST_RULES:
        _refuse(f"{len(policy.rules)} rules", f"{MOST_RULES} at most", "rules")
    rules = [_check_rule(rule, at) for at, rule in enumerate(policy.rules)]
    if len(policy.keep_tags) > _MOST_TAGS or not all(_is_tag(tag) for tag in policy.keep_tags):
        _refuse("keep_tags holds what is no tag", "write KEY=VALUE, or KEY alone", "keep_tags")
    return msgspec.structs.replace(policy, rules=rules, keep_tags=list(dict.fromkeys(policy.keep_tags)))


def check_retention(
    name: str, general: RetentionText | None, at: dict[str, RetentionText], destinations: Iterable[str]
) -> tuple[RetentionText | None, dict[str, RetentionText]]:
    """A set's policies in their one spelling. destinations: names of those of the set. Raises as `check_policy`."""
    unknown = sorted(set(at) - set(destinations))
    if unknown:
        raise ConfigError(
            f"{name}: retention_at names {unknown[0]}, which is no destination of the set",
            hint="leave it out, or store there",
            context={"at": ["retention_at", unknown[0]]},
        )
    checked = _check_named(name, general, ["retention"]) if general is not None else None
    return checked, {one: _check_named(name, policy, ["retention_at", one]) for one, policy in at.items()}


def _check_named(name: str, policy: RetentionText, way: list[str]) -> RetentionText:
    try:
        return check_policy(policy)
    except ConfigError as error:
        context = {"at": [*way, *error.context.get("at", [])]}
        raise type(error)(f"{name}: {error.message}", hint=error.hint, context=context) from error


def _check_rule(rule: RetentionRule, at: int) -> RetentionRule:
    way: list[str | int] = ["rules", at]
    given = [kind for kind in RULE_KINDS if getattr(rule, kind) is not None]
    if len(given) != 1:
        _refuse(f"a rule has one of {', '.join(RULE_KINDS)}", "as: {weekly: 4, when: sat}", *way)
    (kind,) = given
    if rule.name is not None and not (0 < len(rule.name) <= _MOST_NAME and rule.name.isprintable()):
        _refuse("a rule's name is no short line of text", f"{_MOST_NAME} characters at most", *way, "name")
    if rule.dates is None:
        if rule.count is not None:
            _refuse(f"count goes with dates; {kind} has its own", f"as: {{{kind}: 4}}", *way, "count")
        _check_count(kind, getattr(rule, kind), [*way, kind])
    else:
        if not 1 <= len(rule.dates) <= MOST_DATES or rule.when is not None:
            _refuse(f"dates takes 1 to {MOST_DATES} days and no `when`", "as: {dates: [2026-12-24]}", *way, "dates")
        _check_count("count", rule.count, [*way, "count"])
    try:
        marks = marks_of(rule)
    except UsageError as error:
        _refuse(error.message, error.hint, *way, "when")
    if rule.dates is not None:
        return msgspec.structs.replace(rule, dates=sorted(set(rule.dates)))
    return msgspec.structs.replace(rule, when=marks.text) if rule.when is not None else rule


def _check_count(what: str, count: int | None, way: list[str | int] | list[str]) -> None:
    if count is not None and not 1 <= count <= MOST_COUNT:
        _refuse(f"{what}: {count}", f"1 to {MOST_COUNT}", *way)


def _is_tag(tag: str) -> bool:
    return bool(tag.partition("=")[0]) and tag.isprintable()


def _refuse(message: str, hint: str, *way: str | int) -> NoReturn:
    raise ConfigError(message, hint=hint, context={"at": [*way]})
