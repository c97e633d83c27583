"""What the filters of a set's text must be like, and what they come to."""

from __future__ import annotations

import os
from typing import Any

from backupd.errors import ConfigError, UsageError
from backupd.model.filters import FilterText
from backupd.model.orders import FilterWord
from backupd.model.sets import SetText
from backupd.rules.file_types import check_type, refuses_all
from backupd.rules.filter_rules import matches_all_of, rule_of

_MOST_MARKERS = 16
_MOST_PATTERNS = 2000
"""Of the text of a set, which is looked at while clients wait; a file holds what it holds."""


def filter_word(text: FilterText) -> FilterWord:
    """A filter as orders have it."""
    return FilterWord(kind="text", text=text)


def check_filters(name: str, text: SetText) -> None:
    """Raises ConfigError with the way to what is wrong in a set's filters, types and markers."""
    pattern_count = 0
    for at, one in enumerate(text.filters):
        context: dict[str, Any] = {"at": ["filters", at]}
        if one.file is not None:
            _check_file(name, one, context)
            continue
        try:
            pattern_count += len(rule_of(one).patterns)
            if pattern_count > _MOST_PATTERNS:
                raise UsageError(
                    f"more than {_MOST_PATTERNS} patterns in a set", hint="put them into a file: {file: PATH}"
                )
        except UsageError as error:
            called = f" '{one.name}'" if one.name is not None else ""
            message = f"{name}: filter {at + 1}{called}: {error.message}"
            raise ConfigError(message, hint=error.hint, context={**context, **error.context}) from error
    for field, words in (("only_types", text.only_types), ("never_types", text.never_types)):
        for at, word in enumerate(words):
            try:
                check_type(word)
            except UsageError as error:
                raise ConfigError(
                    f"{name}: {error.message}", hint=error.hint, context={"at": [field, at]}
                ) from error
    for at, marker in enumerate(text.markers):
        if not marker or "/" in marker or "\0" in marker or marker in (".", "..") or at >= _MOST_MARKERS:
            raise ConfigError(
                f"{name}: the marker '{marker}' is no name, or one of more than {_MOST_MARKERS}",
                hint="write the name of an entry, as .nobackup",
                context={"at": ["markers", at]},
            )


def filter_warnings(text: SetText) -> list[str]:
    """A sentence where a set's filters leave out all that lies in its sources."""
    has_includes = False
    left = [os.fsencode(path) for path in text.sources]
    for one in text.filters:
        if not one.enabled:
            continue
        if one.file is not None:
            # What stands in it is known when it is read.
            return []
        rule = rule_of(one)
        if rule.is_include:
            has_includes = True
        elif not has_includes and left:
            left = [source for source in left if not matches_all_of(rule, source)]
            if not left:
                return [f"{text.name}: {rule.label} leaves out all files of its sources, and none comes before it"]
    if has_includes:
        return []
    if text.unmatched == "exclude":
        return [f"{text.name}: no filter takes anything in, and what none matches is left out: all files are"]
    if refuses_all(text.only_types, text.never_types):
        return [f"{text.name}: of the types that it takes in none is left by those that it never takes in"]
    return []


def _check_file(name: str, one: FilterText, context: dict[str, Any]) -> None:
    if one != FilterText(file=one.file, name=one.name, enabled=one.enabled):
        raise ConfigError(
            f"{name}: a filter file stands alone", hint="its lines say what they match", context=context
        )
    if not os.path.isabs(one.file or ""):
        message = f"{name}: the filter file '{one.file}' is no absolute path"
        raise ConfigError(message, hint="begin it with /", context=context)
