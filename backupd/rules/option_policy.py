"""What a policy makes of a text: what nobody said is filled in, what it forbids is refused. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from backupd.errors import KeptInFileError
from backupd.model.policies import PolicyArea, PolicyRule

Options = TypeVar("Options", bound=msgspec.Struct)


def filled(text: Options, area: PolicyArea, rules: Iterable[PolicyRule], is_said: Callable[[str], bool]) -> Options:
    """The text with what is laid down for options that nobody spoke of."""
    for rule in _of(area, rules):
        if not is_said(rule.option):
            text = _with(text, rule)
    return text


def by_policy(
    text: Options,
    area: PolicyArea,
    rules: Sequence[PolicyRule],
    said: Collection[str] | None,
    check: Callable[[Options], Options],
) -> Options:
    """A new text with what is laid down, as `check` gives it. said: options that were given; None: all.

    Raises as `refuse`, and as `check`.
    """
    if said is not None:
        text = filled(text, area, rules, said.__contains__)
    text = check(text)
    refuse(text, area, rules)
    return text


def locked(text: Options, area: PolicyArea, rules: Iterable[PolicyRule]) -> Options:
    """The text with all that is locked as it has to be."""
    for rule in _of(area, rules):
        if rule.kind == "lock":
            text = _with(text, rule)
    return text


def refuse(
    text: msgspec.Struct, area: PolicyArea, rules: Iterable[PolicyRule], old: msgspec.Struct | None = None
) -> None:
    """Raises KeptInFileError for an option that is not as it has to be. old: what is as there was passes.

    text: in its one spelling, as values of rules are.
    """
    for rule in _of(area, rules):
        value = value_of(text, rule.option)
        if rule.kind == "preset" or value in rule.values or (old is not None and value == value_of(old, rule.option)):
            continue
        name = getattr(text, "name", "")
        shown = ", ".join(shown_value(one) for one in rule.values)
        is_lock = rule.kind == "lock"
        what = f"is locked to {shown}" if is_lock else f"may be {shown} alone"
        raise KeptInFileError(
            f"{name}: " * bool(name) + f"{rule.option} {what} by {rule.origin}, and can't be {shown_value(value)}",
            hint="leave it out, or ask root of this machine" if is_lock else "take one of these",
            context={"at": rule.option.split("."), "option": rule.option, "file": rule.origin.rpartition(", line ")[0]},
        )


def value_of(text: msgspec.Struct, option: str) -> Any:
    """What an option of dotted names is, in plain types; None: not given."""
    value: Any = text
    for step in option.split("."):
        value = value.get(step) if isinstance(value, dict) else getattr(value, step, None)
    return msgspec.to_builtins(value)


def shown_value(value: Any) -> str:
    """As people write it in a document, short."""
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


_SHOWN = 60


def _of(area: PolicyArea, rules: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    return (rule for rule in rules if rule.area == area)


def _with(text: Options, rule: PolicyRule) -> Options:
    whole = msgspec.to_builtins(text)
    part, steps = whole, rule.option.split(".")
    for step in steps[:-1]:
        part = part.setdefault(step, {})
    part[steps[-1]] = rule.values[0]
    return msgspec.convert(whole, type(text))
