"""The rules of bandwidth in backupd.yaml, understood."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from backupd.errors import ConfigError, UsageError
from backupd.model.bandwidth import MOST_RULES, BandwidthText
from backupd.rules.bandwidth import Rule, rule_of
from backupd.settings.zone import find_zone


def rules_of(text: BandwidthText) -> list[Rule]:
    """In the order of the text. Raises UsageError; `context["at"]` leads to what is wrong."""
    rules: list[Rule] = []
    for number, one in enumerate(text.rules):
        try:
            rules.append(rule_of(one, partial(find_zone, environ={})))
            if number >= MOST_RULES:
                raise UsageError(f"there are over {MOST_RULES} rules", hint="join some", context={"at": "name"})
            if any(one.name == other.name for other in text.rules[:number]):
                raise UsageError(f"two rules are called {one.name}", hint="rename one", context={"at": "name"})
        except UsageError as error:
            steps = ("bandwidth", "rules", number, error.context["at"])
            raise UsageError(error.message, hint=error.hint, context={"at": steps}) from error
    return rules


def check(text: BandwidthText, where: Callable[..., str]) -> None:
    """Raises ConfigError. where: file and line at the end of some steps."""
    try:
        rules_of(text)
    except UsageError as error:
        raise ConfigError(f"{where(*error.context['at'])}: {error.message}", hint=error.hint) from error


def unknown_destinations(text: BandwidthText, known: Iterable[str]) -> list[str]:
    """What is to be told of rules whose destinations there are not: such a rule limits nothing."""
    names = set(known)
    return [
        f"the rule {rule.name} of bandwidth names {one}, which is no destination: it limits nothing there"
        for rule in text.rules
        for one in rule.destinations
        if one not in names
    ]
