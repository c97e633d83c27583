"""Filters as a snapshot's settings hold them, for who restores: `{"exclude": GLOB}`, or all that a rule says."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from backupd.errors import UsageError
from backupd.model.filters import FilterWords, PatternKind
from backupd.model.results import shown
from backupd.rules.file_types import TypeRules
from backupd.rules.filter_rules import Rule, check_rule


class _Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A rule that is more than a glob."""

    kind: PatternKind = "glob"
    patterns: list[str] = []
    of: Literal["files", "directories", "both"] = "both"
    ignore_case: bool = False
    below: str | None = None
    larger_than: int | None = None
    smaller_than: int | None = None
    older_than_ns: int | None = None
    newer_than_ns: int | None = None


def as_setting(rule: Rule) -> dict[str, Any]:
    """A rule, for JSON."""
    word = "include" if rule.is_include else "exclude"
    kept = _Kept(
        kind=rule.kind,
        patterns=[shown(pattern) for pattern in rule.patterns],
        of=rule.of,
        ignore_case=rule.ignore_case,
        below=shown(rule.below) if rule.below is not None else None,
        larger_than=rule.larger_than,
        smaller_than=rule.smaller_than,
        older_than_ns=rule.older_than_ns,
        newer_than_ns=rule.newer_than_ns,
    )
    is_plain = len(kept.patterns) == 1 and kept == _Kept(patterns=kept.patterns)
    return {word: kept.patterns[0] if is_plain else msgspec.to_builtins(kept)}


def rule_of_setting(setting: Any) -> Rule:
    """The rule again; what can't be understood leaves out all there is. setting: of JSON, from anyone."""
    try:
        (word, value), *_ = setting.items()
        if word not in ("include", "exclude"):
            return _UNKNOWN
        kept = _Kept(patterns=[value]) if isinstance(value, str) else msgspec.convert(value, _Kept)
        rule = Rule(
            is_include=word == "include",
            origin=f"{word} {', '.join(kept.patterns)}",
            kind=kept.kind,
            patterns=tuple(text.encode(errors="surrogatepass") for text in kept.patterns),
            of=kept.of,
            ignore_case=kept.ignore_case,
            below=kept.below.encode(errors="surrogatepass") if kept.below is not None else None,
            larger_than=kept.larger_than,
            smaller_than=kept.smaller_than,
            older_than_ns=kept.older_than_ns,
            newer_than_ns=kept.newer_than_ns,
        )
        check_rule(rule)
    except (AttributeError, ValueError, TypeError, RecursionError, UsageError):
        return _UNKNOWN
    return rule


def words_of_settings(settings: Any) -> FilterWords | None:
    """What a snapshot's set left out beside its filters; None: that can't be understood. settings: of JSON."""
    kept = settings.get("filter_words") if isinstance(settings, dict) else None
    if kept is None:
        return FilterWords()
    try:
        words = msgspec.convert(kept, FilterWords)
        TypeRules(words.only_types, words.never_types)
    except (msgspec.ValidationError, UsageError):
        return None
    return words


_UNKNOWN = Rule(is_include=False, origin="a rule that can't be understood")
