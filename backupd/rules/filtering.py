"""Filters: ordered rules that say what of a source is backed up (CLI.md, Filters; FEATURES 2.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from blake3 import blake3

from backupd.errors import UsageError
from backupd.model.orders import FilterWord
from backupd.rules.globs import Glob, compile_glob

_FINGERPRINT_DOMAIN = b"backupd filters 1\0"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in its place in the order."""

    is_include: bool
    glob: bytes
    origin: str
    """Where it was written, for people: `--exclude *.tmp`, `rules.txt:3: - *.tmp`."""


class Decision(NamedTuple):
    """Whether an entry is in, and the origin of the rule that said so; None: no rule did."""

    included: bool
    rule: str | None


def parse_filter_file(text: bytes, file_name: bytes) -> list[Rule]:
    """Read a filter file: `- GLOB`, `+ GLOB`, `#` comments, blank lines; white space at a line's end is dropped.

    Raises UsageError with the line's number.
    """
    rules = []
    shown_name = file_name.decode(errors="backslashreplace")
    for number, raw in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = raw.lstrip(b" \t").rstrip(b" \t\r")
        if not line or line.startswith(b"#"):
            continue
        if line.endswith(b"\\") and not line.endswith(b"\\\\") and line != raw.lstrip(b" \t").rstrip(b"\r"):
            line += b" "
        where = f"{shown_name}:{number}"
        if line[:1] not in b"+-" or line[1:2] not in (b" ", b"\t"):
            raise UsageError(f"{where}: a rule begins with '- ' or '+ '", hint="'- GLOB' leaves out, '+ GLOB' takes in")
        origin = f"{where}: {line.decode(errors='backslashreplace')}"
        rule = Rule(is_include=line[:1] == b"+", glob=line[2:].lstrip(b" \t"), origin=origin)
        _check(rule, f"{where}: ")
        rules.append(rule)
    return rules


def rules_of(words: Sequence[FilterWord], files: Mapping[bytes, bytes]) -> list[Rule]:
    """The rules of filter options, in the order of the command line.

    files: the text of each filter file named by a word. Raises UsageError.
    """
    rules: list[Rule] = []
    for word in words:
        if word.kind == "filter-file":
            rules += parse_filter_file(files[word.value], word.value)
        else:
            origin = f"--{word.kind} {word.value.decode(errors='backslashreplace')}"
            rules.append(Rule(is_include=word.kind == "include", glob=word.value, origin=origin))
            _check(rules[-1], f"--{word.kind}: ")
    return rules


class Filters:
    """Rules compiled once and asked for each entry: the first that matches decides, none means in.

    An excluded directory is not entered, so nothing below it is ever asked for. A source itself is not asked for: it
    was named outright. Without rules `is_empty` is true and callers need not ask at all.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        globs = [_compile(rule) for rule in rules]
        self.is_empty = not globs
        self._fingerprint = _fingerprint(rules)
        self._decisions = [*(Decision(rule.is_include, rule.origin) for rule in rules), Decision(True, None)]
        self._directories = _Matcher(globs, for_directories=True)
        self._others = _Matcher(globs, for_directories=False)

    def decide(self, path: bytes, name: bytes, is_directory: bool) -> Decision:
        """Decide on one entry. path: absolute, ends with name, no trailing slash. Threads may share the filters."""
        matcher = self._directories if is_directory else self._others
        return self._decisions[matcher.first(path, name)]

    def fingerprint(self) -> bytes:
        """16 bytes that differ when the rules differ, for the keys of caches."""
        return self._fingerprint


class _Matcher:
    """Finds the first of many globs that matches.

    Globs without inner wildcards are looked up in dictionaries. The others are joined into one expression for names and
    one for paths, which only say that one of them fits; nearly all entries fit none, so the search for which is rare.
    """

    def __init__(self, globs: Sequence[Glob], for_directories: bool) -> None:
        self._none = len(globs)
        self._names: dict[str, int] = {}
        self._paths: dict[str, int] = {}
        name_ends: dict[str, int] = {}
        path_ends: dict[str, int] = {}
        names: list[tuple[int, str]] = []
        paths: list[tuple[int, str]] = []
        for index, glob in enumerate(globs):
            if glob.only_directories and not for_directories:
                continue
            if glob.literal is not None and glob.has_slash:
                table, key = (self._paths, "") if glob.is_absolute else (path_ends, "/")
                table.setdefault(key + glob.literal, index)
            elif glob.literal is not None:
                self._names.setdefault(glob.literal, index)
            elif glob.suffix:
                name_ends.setdefault(glob.suffix, index)
            elif glob.has_slash:
                paths.append((index, glob.expression if glob.is_absolute else f".*/{glob.expression}"))
            else:
                names.append((index, glob.expression))
        self._name_ends = _by_length(name_ends)
        self._path_ends = _by_length(path_ends)
        self._any_name = _joined([expression for _, expression in names])
        self._any_path = _joined([expression for _, expression in paths])
        self._name_list = [(index, re.compile(expression, re.DOTALL)) for index, expression in names]
        self._path_list = [(index, re.compile(expression, re.DOTALL)) for index, expression in paths]
        self._asks_paths = bool(self._paths or path_ends or paths)

    def first(self, path: bytes, name: bytes) -> int:
        """Index of the first glob that matches; how many there are when none does."""
        text = name.decode("utf-8", "surrogateescape")
        best = self._names.get(text, self._none)
        for length, table in self._name_ends:
            index = table.get(text[-length:])
            if index is not None and index < best:
                best = index
        if self._any_name is not None and self._any_name.fullmatch(text):
            best = _first(self._name_list, text, best)
        if not self._asks_paths:
            return best
        text = path.decode("utf-8", "surrogateescape")
        best = min(best, self._paths.get(text, best))
        for length, table in self._path_ends:
            index = table.get(text[-length:])
            if index is not None and index < best:
                best = index
        if self._any_path is not None and self._any_path.fullmatch(text):
            best = _first(self._path_list, text, best)
        return best


def _first(listed: list[tuple[int, re.Pattern[str]]], text: str, best: int) -> int:
    for index, pattern in listed:
        if index >= best:
            break
        if pattern.fullmatch(text):
            return index
    return best


def _by_length(table: dict[str, int]) -> list[tuple[int, dict[str, int]]]:
    lengths = sorted({len(key) for key in table})
    return [(length, {key: index for key, index in table.items() if len(key) == length}) for length in lengths]


def _joined(expressions: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(expressions), re.DOTALL) if expressions else None


def _compile(rule: Rule) -> Glob:
    return compile_glob(rule.glob.decode("utf-8", "surrogateescape"))


def _check(rule: Rule, where: str) -> None:
    """Refuse a bad glob where it was written. Raises UsageError."""
    try:
        _compile(rule)
    except UsageError as error:
        raise UsageError(where + error.message, hint=error.hint, context=error.context) from error


def _fingerprint(rules: Sequence[Rule]) -> bytes:
    canonical = b"".join((b"+" if rule.is_include else b"-") + rule.glob + b"\0" for rule in rules)
    return blake3(_FINGERPRINT_DOMAIN + canonical).digest(length=16)
