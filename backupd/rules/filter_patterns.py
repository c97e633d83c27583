"""Patterns of rules, compiled: where one may match, and what its names look like.

A pattern that speaks of a path is split into a directory and a name wherever it can be, so that a walk asks for the
directory once and then for names alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Final

import msgspec

from backupd.rules.filter_rules import Rule
from backupd.rules.globs import Glob, compile_glob, split_glob

_SLASH: Final = "/"


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern of one rule. Directories are without a trailing slash: the root is empty."""

    index: int
    """Of its rule."""
    of_files: bool
    of_directories: bool
    below: str | None = None
    """With a slash at its end; only what lies below it."""
    at: str | None = None
    """Only in this directory."""
    end: str | None = None
    """Only in directories that end so, with a slash before."""
    directory: re.Pattern[str] | None = None
    """Only in directories that this fits wholly."""
    is_path: bool = False
    """What follows is about the whole path, else about the name."""
    literal: str | None = None
    suffix: str | None = None
    expression: str | None = None
    """For fullmatch with DOTALL. None, with neither literal nor suffix nor regex: all names fit."""
    regex: tuple[bytes, bool] | None = None
    """For RE2, with whether it ignores case."""
    outline: bytes | None = None
    """For RE2, by bytes: a name that does not fit this wholly does not fit the pattern. None: nothing is known."""

    @property
    def is_local(self) -> bool:
        """Whether some directories only are asked for it."""
        return not (self.below is None and self.at is None and self.end is None and self.directory is None)

    @property
    def fits_all(self) -> bool:
        """Whether every name fits."""
        return self.literal is None and self.suffix is None and self.expression is None and self.regex is None

    def holds_in(self, directory: str) -> bool:
        """Whether it may match what lies in a directory."""
        if self.below is not None and not (directory + _SLASH).startswith(self.below):
            return False
        if self.at is not None:
            return directory == self.at
        if self.end is not None:
            return directory.endswith(self.end)
        return self.directory is None or self.directory.fullmatch(directory) is not None


def patterns_of(index: int, rule: Rule) -> list[Pattern]:
    """A rule's patterns, in any order; one that fits all names where it has none."""
    below = os.fsdecode(rule.below).rstrip(_SLASH) + _SLASH if rule.below is not None else None
    general = Pattern(
        index=index, of_files=rule.of != "directories", of_directories=rule.of != "files", below=below
    )
    if not rule.patterns:
        return [general]
    return [_compiled(general, rule, os.fsdecode(pattern)) for pattern in rule.patterns]


def _compiled(general: Pattern, rule: Rule, text: str) -> Pattern:
    replace = msgspec.structs.replace
    is_path = _SLASH in text
    match rule.kind:
        case "glob":
            return _of_glob(general, compile_glob(text), ignore_case=rule.ignore_case)
        case "regex":
            return replace(general, is_path=is_path, regex=(os.fsencode(text), rule.ignore_case))
        case "exact" if rule.ignore_case:
            general = replace(general, outline=_outline(list(text), ignore_case=True))
            return replace(general, is_path=is_path, expression=_any_case(re.escape(text)))
        case "exact" if is_path:
            directory, _, name = text.rpartition(_SLASH)
            return replace(general, at=directory, literal=name)
        case "exact":
            return replace(general, literal=text, outline=_outline(list(text)))
        case "ends_with" if not is_path and not rule.ignore_case:
            return replace(general, suffix=text, outline=_outline(["", *text]))
    before, after = {"starts_with": ("", ".*"), "ends_with": (".*", ""), "contains": (".*", ".*")}[rule.kind]
    expression = before + re.escape(text) + after
    tokens = [*([""] if before else []), *text, *([""] if after else [])]
    general = replace(general, outline=_outline(tokens, ignore_case=rule.ignore_case))
    return replace(general, is_path=is_path, expression=_any_case(expression) if rule.ignore_case else expression)


def _of_glob(general: Pattern, glob: Glob, *, ignore_case: bool) -> Pattern:
    replace = msgspec.structs.replace
    if glob.only_directories:
        general = replace(general, of_files=False)
    if not glob.has_slash:
        return _named(general, glob, ignore_case=ignore_case)
    parts = split_glob(glob)
    if parts is None:
        expression = glob.expression if glob.is_absolute else f".*/{glob.expression}"
        return replace(general, is_path=True, expression=_any_case(expression) if ignore_case else expression)
    if parts.directory_literal is not None and not ignore_case:
        literal = parts.directory_literal
        general = replace(general, at=literal) if glob.is_absolute else replace(general, end=_SLASH + literal)
    elif parts.directory is not None:
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        general = replace(general, directory=re.compile(parts.directory, flags))
    return _named(general, parts.name, ignore_case=ignore_case) if parts.name is not None else general


def _named(general: Pattern, glob: Glob, *, ignore_case: bool) -> Pattern:
    replace = msgspec.structs.replace
    # Tokens of one character are it, or it after a backslash; longer ones are classes.
    tokens = ["" if token in ("*", "**") else token[-1] if len(token) <= 2 else "?" for token in glob.tokens]
    wild = {at for at, token in enumerate(glob.tokens) if len(token) > 2}
    general = replace(general, outline=_outline(tokens, wild, ignore_case=ignore_case))
    if ignore_case:
        return replace(general, expression=_any_case(glob.expression))
    if glob.literal is not None:
        return replace(general, literal=glob.literal)
    if glob.suffix:
        return replace(general, suffix=glob.suffix)
    return replace(general, expression=glob.expression)


def _outline(tokens: list[str], wild: Collection[int] = (), *, ignore_case: bool = False) -> bytes:
    """tokens: each a character, or empty for any number of them. wild: places of those that stand for any one."""
    parts = []
    for at, token in enumerate(tokens):
        # A character is several bytes, and with another case perhaps another number of them.
        if not token:
            parts.append(b"[^/]*")
        elif at in wild or (ignore_case and not token.isascii()):
            parts.append(b"[^/]+")
        else:
            parts.append(b"".join(b"\\x%02x" % byte for byte in os.fsencode(token)))
    return (b"(?i:" + b"".join(parts) + b")") if ignore_case else b"".join(parts)


def _any_case(expression: str) -> str:
    return f"(?i:{expression})"
