"""When a set whose sources are watched runs, and what such a set must be like; pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from backupd.errors import ConfigError, UsageError
from backupd.model.sets import ContinuousText
from backupd.model.shortcuts import is_shortcut
from backupd.sizes import parse_duration

_LEAST_QUIET, _MOST_SECONDS = 1, 7 * 86_400
_AT = "continuous"


class Pace(NamedTuple):
    """In seconds."""

    quiet: int
    longest: int
    shortest: int

    def due(self, first: float, last: float, began: float) -> float:
        """When a run is due. first, last: of the changes that wait; began: of the last run; all on one clock."""
        return max(min(last + self.quiet, first + self.longest), began + self.shortest)


def pace_of(text: ContinuousText) -> Pace:
    """Raises UsageError for what is no duration."""
    return Pace(parse_duration(text.quiet), parse_duration(text.longest), parse_duration(text.shortest))


def text_of(text: bool | ContinuousText) -> ContinuousText | None:
    """The text, or the defaults; None: the set is not watched."""
    if isinstance(text, ContinuousText):
        return text
    return ContinuousText() if text else None


def check_continuous(
    name: str, given: bool | ContinuousText, sources: Sequence[str], *, follows_links: bool = False
) -> None:
    """Raises ConfigError. name: of the set."""
    text = text_of(given)
    if text is None:
        return
    if follows_links:
        hint = "leave one of them out; a second set, with a schedule, may follow links"
        message = f"{name}: continuous with follow_links: what links lead to is not watched"
        raise ConfigError(message, hint=hint, context={"at": [_AT]})
    if not sources:
        hint = "name a source, or give the streams a schedule"
        raise ConfigError(f"{name}: continuous: there is no source to watch", hint=hint, context={"at": [_AT]})
    for field in ("quiet", "longest", "shortest"):
        value = getattr(text, field)
        try:
            seconds = parse_duration(value)
        except UsageError as error:
            raise _wrong(name, f"{field}: {error.message}", error.hint or "", field) from error
        if not (_LEAST_QUIET if field != "shortest" else 0) <= seconds <= _MOST_SECONDS:
            raise _wrong(name, f"{field} is {value}", "from 1s to 7d", field)
    if pace_of(text).longest < pace_of(text).quiet:
        what = f"longest is {text.longest}, and quiet {text.quiet}"
        raise _wrong(name, what, "longest is no less than quiet", "longest")
    for path in text.paths if not any(map(is_shortcut, sources)) else ():
        if not any(os.path.normpath(path) == one or path.startswith(one.rstrip("/") + "/") for one in sources):
            raise _wrong(name, f"{path} lies in no source", "name a source, or a path below one", "paths")


def _wrong(name: str, what: str, hint: str, field: str) -> ConfigError:
    return ConfigError(f"{name}: continuous: {what}", hint=hint, context={"at": [_AT, field]})
