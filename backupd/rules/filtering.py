"""Filters, compiled: ordered rules of which the first that matches decides (docs/filters.md; FEATURES 2.5)."""

from __future__ import annotations

import os
import re
import stat as modes
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from blake3 import blake3

from backupd.rules.filter_patterns import Pattern, patterns_of
from backupd.rules.filter_rules import Rule
from backupd.rules.regular_expressions import ExpressionSet, NameOutlines

_FINGERPRINT_DOMAIN = b"backupd filters 2\0"
_PAYS_FROM = 2000


class Decision(NamedTuple):
    """Whether an entry is in, and the origin of the rule that said so; None: no rule did."""

    included: bool
    rule: str | None


class Filters:
    """Rules compiled once and asked for each directory of a walk: the first that matches decides, none means in.

    An excluded directory is not entered, so nothing below it is ever asked for. A source itself is not asked for: it
    was named outright. Without rules `is_empty` is true and callers need not ask at all.
    """

    def __init__(self, rules: Sequence[Rule], now_ns: int = 0, pays_from: int = _PAYS_FROM) -> None:
        """now_ns: by which ages are told. pays_from: after so many names whole directories are asked for at once."""
        self.rules = list(rules)
        self.is_empty = not self.rules
        self.hits: Counter[int] = Counter()
        """How often each rule decided, by its place; of one thread."""
        self._fingerprint = _fingerprint(rules)
        self._conditions = [_Condition(rule, now_ns) if rule.has_conditions else None for rule in rules]
        patterns = [one for index, rule in enumerate(rules) for one in patterns_of(index, rule)]
        self._local = _Local([one for one in patterns if one.is_local])
        general = [one for one in patterns if not one.is_local]
        self._prefilter = _Prefilter(general, rules, pays_from)
        self._expressions = _Expressions(general)
        self._sides = tuple(_Side(general, rules, for_directories=one) for one in (False, True))

    def level(self, directory: bytes) -> Level:
        """The rules as they hold for what lies in a directory. directory: absolute."""
        text = os.fsdecode(directory)
        return Level(self, "" if text == "/" else text, self._sides, self._local.holding(text if text != "/" else ""))

    def decide(self, path: bytes, name: bytes, is_directory: bool, stat: os.stat_result | None = None) -> Decision:
        """Decide on one entry. path: absolute, ends with name, no trailing slash.

        stat: None: what excludes by size or age counts as met, what includes by them as not met.
        """
        directory = path[: len(path) - len(name) - 1] or b"/"
        index = self.level(directory).first(os.fsdecode(name), is_directory, stat)
        return Decision(self.rules[index].is_include, self.rules[index].origin) if index is not None else _NONE

    def fingerprint(self) -> bytes:
        """16 bytes that differ when the rules differ, for the keys of caches.

        The time by which ages are told is no part of it: a walk asks of each entry anew, and what came or went by its
        age shows in the digest of its directory.
        """
        return self._fingerprint

    def none_matches(self, names: bytes, directory: str, stats: Sequence[os.stat_result]) -> bool:
        """Whether it is sure that no rule that holds everywhere matches one of these entries.

        names: with a slash between two. directory: the root is empty.
        """
        return self._prefilter.is_none(names, stats) and not self._expressions.may_match(names, directory)

    def holds(self, index: int, stat: os.stat_result | None) -> bool:
        """Whether size and age are as a rule wants them."""
        condition = self._conditions[index]
        if condition is None:
            return True
        return condition.holds(stat) if stat is not None else not self.rules[index].is_include


_NONE = Decision(True, None)


class Level:
    """The rules as they hold in one directory."""

    __slots__ = ("_extra", "_filters", "_none", "_sides", "directory")

    def __init__(
        self, filters: Filters, directory: str, sides: tuple[_Side, ...], extra: tuple[list[Pattern], list[Pattern]]
    ) -> None:
        """directory: empty for the root. extra: patterns that hold here alone, of files and of directories."""
        self._filters, self.directory, self._sides, self._extra = filters, directory, sides, extra
        self._none = len(filters.rules)

    def matches(self, names: Sequence[bytes], stats: Sequence[os.stat_result]) -> list[tuple[int, int]]:
        """(place among the entries, index of the rule) of each that a rule matches; counted as hits."""
        if not names:
            return []
        joined = b"/".join(names)
        if not (self._extra[0] or self._extra[1]) and self._filters.none_matches(joined, self.directory, stats):
            return []
        texts = joined.decode("utf-8", "surrogateescape").split("/")
        may = [side.expressions.may_match(joined, self.directory) for side in self._sides]
        found = []
        none, sides, extra, is_directory_mode = self._none, self._sides, self._extra, modes.S_ISDIR
        for at, text in enumerate(texts):
            stat = stats[at]
            kind = is_directory_mode(stat.st_mode)
            best = sides[kind].first(text)
            if may[kind] or extra[kind] or sides[kind].single:
                best = self._refined(best, text, kind, stat, may[kind])
            if best != none:
                found.append((at, best))
        self._filters.hits.update([index for _, index in found])
        return found

    def first(self, name: str, is_directory: bool, stat: os.stat_result | None) -> int | None:
        """Index of the first rule that matches one entry; None: no rule does."""
        best = self._refined(self._sides[is_directory].first(name), name, is_directory, stat, True)
        return best if best != self._none else None

    def _refined(
        self, best: int, name: str, is_directory: bool, stat: os.stat_result | None, asks_expressions: bool
    ) -> int:
        """The first rule that matches, from the first of those that are looked up by name."""
        side, holds = self._sides[is_directory], self._filters.holds
        if asks_expressions:
            best = side.expressions.first(best, self.directory, name)
        for listed in (side.single, self._extra[is_directory]):
            for one in listed:
                if one.index < best and holds(one.index, stat) and _fits_name(one, self.directory, name):
                    best = one.index
        return best


class _Prefilter:
    """Spares directories none of whose names any pattern fits the look at each name.

    It is made when so many names were seen that it pays to load what it is made with.
    """

    def __init__(self, patterns: Sequence[Pattern], rules: Sequence[Rule], pays_from: int) -> None:
        self._pays_from = pays_from
        open_ones = [rules[one.index] for one in patterns if one.fits_all]
        named = [one for one in patterns if not one.fits_all and one.regex is None]
        self._sizes = [rule.larger_than for rule in open_ones if rule.larger_than is not None]
        is_open = len(self._sizes) < len(open_ones) or any(one.outline is None or one.is_path for one in named)
        self._outlines = None if is_open else [one.outline for one in named if one.outline is not None]
        self._least_bytes = min(self._sizes, default=None)
        self._made: NameOutlines | None = None
        self._seen = 0

    def is_none(self, names: bytes, stats: Sequence[os.stat_result]) -> bool:
        """Whether no pattern but regular expressions can match; names: with a slash between two."""
        if self._outlines is None:
            return False
        if self._made is None and self._outlines:
            self._seen += len(stats)
            if self._seen < self._pays_from:
                return False
            self._made = NameOutlines(self._outlines)
        if self._made is not None and self._made.may_fit(names):
            return False
        least = self._least_bytes
        return least is None or not any([stat.st_size > least for stat in stats])


class _Side:
    """Patterns that hold in all directories, of files or of directories.

    What can be is looked up in dictionaries. The others are joined into one expression whose groups say which of them
    fits; nearly all names fit none.
    """

    def __init__(self, patterns: Sequence[Pattern], rules: Sequence[Rule], *, for_directories: bool) -> None:
        of_kind = [one for one in patterns if (one.of_directories if for_directories else one.of_files)]
        own = [one for one in of_kind if not rules[one.index].has_conditions]
        none = self._none = len(rules)
        self._names: dict[str, int] = {}
        self._extensions: dict[str, int] = {}
        joined: list[tuple[int, str]] = []
        self.single = [
            one for one in of_kind if rules[one.index].has_conditions or (one.is_path and one.regex is None)
        ]
        """Those that are tried one after the other: for size and age, or for whole paths."""
        self._always = min((one.index for one in own if one.fits_all), default=none)
        for one in own:
            if one.is_path or one.regex is not None or one.fits_all:
                continue
            suffix = one.suffix
            if one.literal is not None:
                self._names.setdefault(one.literal, one.index)
            elif suffix is not None and suffix[0] == "." and suffix.count(".") == 1:
                self._extensions.setdefault(suffix[1:], one.index)
            else:
                joined.append((one.index, one.expression or f".*{re.escape(suffix or '')}"))
        self._order = [index for index, _ in joined]
        self._joined = (
            re.compile("|".join(f"({expression})" for _, expression in joined), re.DOTALL).fullmatch if joined else None
        )
        self.expressions = _Expressions(own)

    def first(self, name: str) -> int:
        """Index of the first rule whose patterns of names fit, expressions apart; how many rules there are, if none."""
        best = self._names.get(name, self._none)
        if self._extensions:
            _, dot, extension = name.rpartition(".")
            if dot:
                index = self._extensions.get(extension, best)
                best = min(index, best)
        if self._joined is not None:
            match = self._joined(name)
            if match is not None:
                best = min(best, self._order[(match.lastindex or 1) - 1])
        return min(best, self._always)


class _Expressions:
    """The regular expressions among patterns."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        of_names = [(one.regex, one.index) for one in patterns if one.regex is not None and not one.is_path]
        of_paths = [(one.regex, one.index) for one in patterns if one.regex is not None and one.is_path]
        self._name_set = ExpressionSet([regex for regex, _ in of_names]) if of_names else None
        self._path_set = ExpressionSet([regex for regex, _ in of_paths]) if of_paths else None
        self._name_order = [index for _, index in of_names]
        self._path_order = [index for _, index in of_paths]

    def may_match(self, joined: bytes, directory: str) -> bool:
        """Whether an expression may match one of the names in a directory; False is sure."""
        if self._name_set is not None and self._name_set.may_match(joined.replace(b"/", b"\n")):
            return True
        if self._path_set is None:
            return False
        top = os.fsencode(directory) + b"/"
        return self._path_set.may_match(top + joined.replace(b"/", b"\n" + top))

    def first(self, best: int, directory: str, name: str) -> int:
        """Index of the first rule, before `best`, of which one matches; else `best`."""
        if self._name_set is not None:
            found = self._name_set.matches(os.fsencode(name))
            best = min([best, *(self._name_order[at] for at in found)])
        if self._path_set is not None:
            found = self._path_set.matches(os.fsencode(f"{directory}/{name}"))
            best = min([best, *(self._path_order[at] for at in found)])
        return best


class _Local:
    """Patterns that hold in some directories alone, found by the directory."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._at: dict[str, list[Pattern]] = {}
        self._ends: dict[str, list[Pattern]] = {}
        self._others: list[Pattern] = []
        expressions = []
        for one in patterns:
            if one.at is not None:
                self._at.setdefault(one.at, []).append(one)
            elif one.end is not None:
                self._ends.setdefault(one.end.rpartition("/")[2], []).append(one)
            else:
                self._others.append(one)
                expressions.append(_directories_of(one))
        self._any_other = re.compile("|".join(expressions), re.DOTALL).fullmatch if expressions else None
        self.is_empty = not patterns

    def holding(self, directory: str) -> tuple[list[Pattern], list[Pattern]]:
        """Those that hold in a directory, of files and of directories, in the order of their rules."""
        if self.is_empty:
            return _NOTHING
        found = [*self._at.get(directory, ()), *self._ends.get(directory.rpartition("/")[2], ())]
        if self._any_other is not None and self._any_other(directory):
            found += self._others
        if not found:
            return _NOTHING
        holding = sorted((one for one in found if one.holds_in(directory)), key=lambda one: one.index)
        return [one for one in holding if one.of_files], [one for one in holding if one.of_directories]


_NOTHING: tuple[list[Pattern], list[Pattern]] = ([], [])


class _Condition:
    """Size and age of a file."""

    def __init__(self, rule: Rule, now_ns: int) -> None:
        self._larger, self._smaller = rule.larger_than, rule.smaller_than
        self._before_ns = now_ns - rule.older_than_ns if rule.older_than_ns is not None else None
        self._after_ns = now_ns - rule.newer_than_ns if rule.newer_than_ns is not None else None
        self._asks_size = self._larger is not None or self._smaller is not None

    def holds(self, stat: os.stat_result) -> bool:
        """Whether a file is so."""
        if self._asks_size:
            size = stat.st_size
            if not modes.S_ISREG(stat.st_mode) or (self._larger is not None and size <= self._larger):
                return False
            if self._smaller is not None and size >= self._smaller:
                return False
        if self._before_ns is not None and stat.st_mtime_ns >= self._before_ns:
            return False
        return self._after_ns is None or stat.st_mtime_ns > self._after_ns


def _directories_of(pattern: Pattern) -> str:
    """An expression for at least the directories that a pattern holds in."""
    if pattern.directory is not None:
        flag = "(?i:" if pattern.directory.flags & re.IGNORECASE else "(?:"
        return f"{flag}{pattern.directory.pattern})"
    return re.escape((pattern.below or "/").removesuffix("/")) + "(?:/.*)?"


def _fits_name(pattern: Pattern, directory: str, name: str) -> bool:
    text = f"{directory}/{name}" if pattern.is_path else name
    if pattern.literal is not None:
        return text == pattern.literal
    if pattern.suffix is not None:
        return text.endswith(pattern.suffix)
    if pattern.regex is not None:
        return bool(_single(pattern.regex).matches(os.fsencode(text)))
    return pattern.expression is None or _expression(pattern.expression).fullmatch(text) is not None


_SINGLE: dict[tuple[bytes, bool], ExpressionSet] = {}


def _single(regex: tuple[bytes, bool]) -> ExpressionSet:
    found = _SINGLE.get(regex)
    if found is None:
        found = _SINGLE[regex] = ExpressionSet([regex])
    return found


_EXPRESSIONS: dict[str, re.Pattern[str]] = {}


def _expression(text: str) -> re.Pattern[str]:
    found = _EXPRESSIONS.get(text)
    if found is None:
        found = _EXPRESSIONS[text] = re.compile(text, re.DOTALL)
    return found


def _fingerprint(rules: Sequence[Rule]) -> bytes:
    bare = [msgspec.structs.replace(rule, origin="", name=None, file=None, line=None) for rule in rules]
    return blake3(_FINGERPRINT_DOMAIN + msgspec.msgpack.encode(bare)).digest(length=16)
