"""Tolerance rules: which of them decides of a path, and which of them nothing was ever about (docs/tolerance.md).

Paths are matched as filters match them. What lies in a directory that a rule matches goes by it, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from backupd.errors import UsageError
from backupd.model.filters import PATTERN_KINDS
from backupd.model.tolerance import TOLERABLE, TolerableKind, Tolerance, ToleranceText
from backupd.rules.filter_rules import Rule, check_rule, directory_of
from backupd.rules.filtering import Filters

_NO_PLACE = b""


class Applied(NamedTuple):
    """The rule that decides of one kind of trouble with a path."""

    kind: TolerableKind
    tolerance: Tolerance
    place: int
    """Among the set's rules, from 1, those counted that are switched off."""
    rule: Rule


class Tolerances:
    """The rules of a set, compiled. Of one thread."""

    def __init__(self, texts: Sequence[ToleranceText] = ()) -> None:
        """texts: in their order. Raises UsageError."""
        self._texts = [one for one in texts if one.enabled]
        self._numbers = [at + 1 for at, one in enumerate(texts) if one.enabled]
        self._rules = [rule_of(one) for one in self._texts]
        self._waiting = set(range(len(self._rules)))
        """Places of rules that nothing was about so far."""
        self._seeing = Filters(self._rules)
        self._of_kind = {kind: _OfKind(kind, self._texts, self._rules) for kind in TOLERABLE}

    def of(self, path: bytes, kind: TolerableKind) -> Tolerance | None:
        """What the set says of something that happened to a path; None: nothing. path: absolute."""
        found = self._of_kind[kind].first(path)
        if found is None:
            return None
        self._waiting.discard(found)
        word: Tolerance = getattr(self._texts[found], kind)
        return word

    def applied(self, path: bytes) -> list[Applied]:
        """Of each kind that a rule speaks of for a path. path: absolute."""
        found = [(kind, self._of_kind[kind].first(path)) for kind in TOLERABLE]
        return [
            Applied(kind, getattr(self._texts[at], kind), self._numbers[at], self._rules[at])
            for kind, at in found
            if at is not None
        ]

    def see(self, directory: bytes, seen: Sequence[tuple[bytes, os.stat_result]]) -> None:
        """Note which rules are about entries of a directory; costs nothing once each was about one."""
        if self._waiting:
            level = self._seeing.level(directory)
            found = level.matches([name for name, _ in seen], [stat for _, stat in seen])
            self._waiting.difference_update([index for _, index in found])

    @property
    def unmatched(self) -> list[str]:
        """What messages call the rules that nothing was about."""
        return [self._rules[at].label for at in sorted(self._waiting)]


class _OfKind:
    """The rules that speak of one kind of trouble."""

    def __init__(self, kind: TolerableKind, texts: Sequence[ToleranceText], rules: Sequence[Rule]) -> None:
        self._places = [at for at, text in enumerate(texts) if getattr(text, kind) is not None]
        self._filters = Filters([rules[at] for at in self._places])
        self._last: tuple[bytes, int] = (_NO_PLACE, 0)
        """A directory, and the first rule that it goes by."""

    def first(self, path: bytes) -> int | None:
        """Place of the first rule of the set that matches a path or a directory above it."""
        if not self._places:
            return None
        directory, _, name = path.rpartition(b"/")
        # Nobody knows any more whether it was a directory.
        best = min(self._above(directory), *(self._match(directory, name, one) for one in (False, True)))
        return self._places[best] if best < len(self._places) else None

    def _above(self, directory: bytes) -> int:
        if self._last[0] == directory and directory:
            return self._last[1]
        best, path = len(self._places), directory
        while path:
            above, _, name = path.rpartition(b"/")
            best, path = min(best, self._match(above, name, True)), above
        self._last = (directory, best)
        return best

    def _match(self, directory: bytes, name: bytes, is_directory: bool) -> int:
        found = self._filters.level(directory or b"/").first(os.fsdecode(name), is_directory, None)
        return len(self._places) if found is None else found


def rule_of(text: ToleranceText) -> Rule:
    """What of a rule's text is about paths. Raises UsageError for what has no meaning."""
    lists = [kind for kind in PATTERN_KINDS if getattr(text, kind)]
    if len(lists) + (text.path is not None) > 1:
        raise UsageError("a rule has one kind of patterns", hint="path: GLOB, or one of " + ", ".join(PATTERN_KINDS))
    said = [kind for kind in TOLERABLE if getattr(text, kind) is not None]
    if not said:
        raise UsageError(
            "a rule says of nothing what becomes of it",
            hint="write it as {path: '*.log', changed: ok}, with any of changed, vanished, unreadable and live",
        )
    kind = lists[0] if lists else "glob"
    patterns = getattr(text, kind) if lists else [text.path] if text.path is not None else []
    words = [f"{kind} {', '.join(patterns)}" if lists else "".join(patterns)]
    words += [f"in {text.below}"] if text.below is not None else []
    words += [f"{one} {getattr(text, one)}" for one in said]
    rule = Rule(
        is_include=True,
        origin=", ".join(word for word in words if word),
        kind=kind,
        patterns=tuple(os.fsencode(pattern) for pattern in patterns),
        ignore_case=text.ignore_case,
        below=directory_of(text.below),
        name=text.name,
    )
    check_rule(rule)
    return rule
