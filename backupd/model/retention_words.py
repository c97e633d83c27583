"""Policies in words, for people: what is kept, and what that means for a file that is deleted."""

from __future__ import annotations

from backupd.model.retention import WHEN, RetentionRule, RetentionText


def rule_label(rule: RetentionRule) -> str:
    """How reasons call a rule: by its name, else `weekly sat`."""
    if rule.name is not None:
        return rule.name
    if rule.dates is not None:
        return "dates"
    kind = next(kind for kind in WHEN if getattr(rule, kind) is not None)
    return f"{kind} {rule.when if rule.when is not None else WHEN[kind]}".rstrip()


def policy_words(policy: RetentionText) -> str:
    """The policy in a line, as `days 7`, `keep all`, `daily 7, weekly sat 4`."""
    words = ["keep all"] if policy.keep == "all" else []
    words += [f"days {policy.days}"] if policy.days is not None else []
    words += [f"jobs {policy.jobs}"] if policy.jobs is not None else []
    words += [_rule_words(rule) for rule in policy.rules]
    words += [f"tag {tag}" for tag in policy.keep_tags]
    return ", ".join(words)


def meaning(policy: RetentionText) -> str:
    """What it means for a file that is deleted at its source: a sentence."""
    if policy.keep == "all":
        return "What is deleted at its source stays restorable until it is deleted here by hand."
    parts: list[str] = []
    if policy.days is not None:
        parts.append(f"for {policy.days} {_plural('day', policy.days)} after the first backup without it")
    if policy.jobs is not None:
        parts.append(f"until {policy.jobs} {_plural('backup', policy.jobs)} without it were made")
    if policy.rules:
        kept = ", ".join(_rule_words(rule) for rule in policy.rules)
        parts.append(f"as long as a kept snapshot holds it ({kept})")
    return f"What is deleted at its source stays restorable {', or '.join(parts)}."


def _rule_words(rule: RetentionRule) -> str:
    if rule.dates is not None:
        days = f"dates {' '.join(map(str, rule.dates))}"
        return days if rule.count is None else f"{days} {rule.count}"
    count = next(n for n in (getattr(rule, kind) for kind in WHEN) if n is not None)
    return f"{rule_label(rule)} {count}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
