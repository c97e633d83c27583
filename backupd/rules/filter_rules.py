"""Rules of filters, from what was written: options, lines of files, a set's text (docs/filters.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from backupd.errors import UsageError
from backupd.model.filters import PATTERN_KINDS, FilterText, PatternKind
from backupd.model.orders import FilterWord
from backupd.rules.globs import compile_glob
from backupd.rules.regular_expressions import check_expression
from backupd.sizes import parse_duration, parse_size

_SECOND_NS = 10**9


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule in its place in the order."""

    is_include: bool
    origin: str
    """What was written, for people: `--exclude *.tmp`, `rules.txt:3: - *.tmp`."""
    kind: PatternKind = "glob"
    patterns: tuple[bytes, ...] = ()
    """One of them is enough; none: every name fits."""
    of: Literal["files", "directories", "both"] = "both"
    ignore_case: bool = False
    below: bytes | None = None
    """It counts for what lies in this directory; None: everywhere."""
    larger_than: int | None = None
    """Bytes of a regular file."""
    smaller_than: int | None = None
    older_than_ns: int | None = None
    """Of a file, since it was changed last."""
    newer_than_ns: int | None = None
    name: str | None = None
    file: str | None = None
    """The file that it stands in."""
    line: int | None = None

    @property
    def has_conditions(self) -> bool:
        """Whether names alone don't decide."""
        conditions = (self.larger_than, self.smaller_than, self.older_than_ns, self.newer_than_ns)
        return any(one is not None for one in conditions)

    @property
    def has_age(self) -> bool:
        """Whether time alone may change what it decides."""
        return self.older_than_ns is not None or self.newer_than_ns is not None

    @property
    def label(self) -> str:
        """What a message calls it."""
        return f"'{self.name}' ({self.origin})" if self.name is not None else self.origin


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
        globs = (line[2:].lstrip(b" \t"),)
        rule = Rule(is_include=line[:1] == b"+", patterns=globs, origin=origin, file=shown_name, line=number)
        check_rule(rule, f"{where}: ")
        rules.append(rule)
    return rules


def rules_of(words: Sequence[FilterWord], files: Mapping[bytes, bytes]) -> list[Rule]:
    """The rules of filter options and of a set's filters, in their order; those switched off are left out.

    files: the text of each filter file named by a word. Raises UsageError.
    """
    rules: list[Rule] = []
    for word in words:
        if word.text is not None:
            if not word.text.enabled:
                continue
            if word.text.file is None:
                rules.append(rule_of(word.text))
                continue
        path = file_of(word)
        if path is not None:
            rules += parse_filter_file(files[path], path)
        else:
            origin = f"--{word.kind} {word.value.decode(errors='backslashreplace')}"
            rules.append(Rule(is_include=word.kind == "include", patterns=(word.value,), origin=origin))
            check_rule(rules[-1], f"--{word.kind}: ")
    return rules


def file_of(word: FilterWord) -> bytes | None:
    """The filter file that a word names, where it is one that counts."""
    if word.kind == "filter-file":
        return word.value
    if word.text is not None and word.text.file is not None and word.text.enabled:
        return os.fsencode(word.text.file)
    return None


def rule_of(text: FilterText) -> Rule:
    """A filter of a set's text; not one that names a file. Raises UsageError for what has no meaning."""
    given = [(kind, value) for kind, value in (("exclude", text.exclude), ("include", text.include)) if value]
    lists = [kind for kind in PATTERN_KINDS if getattr(text, kind)]
    if text.file is not None or len(given) + (text.action is not None) != 1 or len(lists) + len(given) > 1:
        raise UsageError(
            "a filter has one of exclude, include, file and action, and with action one kind of patterns",
            hint="write it as {exclude: '*.tmp'}, or {action: exclude, ends_with: [.tmp, .bak]}",
        )
    action, kind, patterns = text.action, lists[0] if lists else "glob", getattr(text, lists[0]) if lists else []
    if given:
        action, patterns = given[0][0], [given[0][1]]  # type: ignore[assignment]
    older, newer = (parse_duration(one) if one is not None else None for one in (text.older_than, text.newer_than))
    rule = Rule(
        is_include=action == "include",
        origin=_origin(text),
        kind=kind,
        patterns=tuple(os.fsencode(pattern) for pattern in patterns),
        of=text.of,
        ignore_case=text.ignore_case,
        below=directory_of(text.below),
        larger_than=parse_size(text.larger_than) if text.larger_than is not None else None,
        smaller_than=parse_size(text.smaller_than) if text.smaller_than is not None else None,
        older_than_ns=older * _SECOND_NS if older is not None else None,
        newer_than_ns=newer * _SECOND_NS if newer is not None else None,
        name=text.name,
    )
    if rule.has_conditions and text.of == "directories":
        raise UsageError(
            "size and age are of files, and the filter is of directories",
            hint="a directory's own time tells nothing of what lies in it: leave `of` out",
        )
    if rule.has_conditions:
        rule = msgspec.structs.replace(rule, of="files")
    check_rule(rule)
    return rule


def by_names_alone(rules: Sequence[Rule]) -> list[Rule]:
    """Rules that leave out only what these leave out whatever its size and age."""
    bare = dict.fromkeys(("larger_than", "smaller_than", "older_than_ns", "newer_than_ns"))
    return [
        msgspec.structs.replace(rule, **bare) if rule.has_conditions else rule
        for rule in rules
        if rule.is_include or not rule.has_conditions
    ]


def matches_everything(rule: Rule) -> bool:
    """Whether no file, or nothing at all, escapes a rule."""
    is_wide = rule.of != "directories" and rule.below is None and not rule.has_conditions
    wide = {"glob": (b"*", b"**", b"**/*", b"/**", b"/*"), "regex": (b".*", b"^.*$", b"^"), "starts_with": (b"/",)}
    return is_wide and (not rule.patterns or any(one in wide.get(rule.kind, ()) for one in rule.patterns))


def matches_all_of(rule: Rule, source: bytes) -> bool:
    """Whether nothing that lies in a source escapes a rule, by its name alone. source: absolute."""
    within = source.rstrip(b"/") + b"/"
    if rule.below is not None and not within.startswith(rule.below.rstrip(b"/") + b"/"):
        return False
    anywhere = msgspec.structs.replace(rule, below=None)
    if matches_everything(anywhere):
        return True
    inside = {"glob": (within + b"*", within + b"**", within + b"**/*"), "starts_with": (within, within[:-1])}
    is_wide = matches_everything(msgspec.structs.replace(anywhere, patterns=()))
    return is_wide and any(one in inside.get(rule.kind, ()) for one in rule.patterns)


def _origin(text: FilterText) -> str:
    """A filter in one line, without its name."""
    if text.exclude or text.include:
        head = f"--exclude {text.exclude}" if text.exclude else f"--include {text.include}"
    else:
        words = [f"{kind} {', '.join(getattr(text, kind))}" for kind in PATTERN_KINDS if getattr(text, kind)]
        head = " ".join([text.action or "", *words])
    more: list[str] = [text.of] if text.of != "both" else []
    more += [f"in {text.below}"] if text.below is not None else []
    for field in ("larger_than", "smaller_than", "older_than", "newer_than"):
        value = getattr(text, field)
        more += [f"{field.replace('_', ' ')} {value}"] if value is not None else []
    more += ["ignoring case"] if text.ignore_case else []
    return ", ".join([head, *more])


def directory_of(path: str | None) -> bytes | None:
    """An absolute path as rules have it. Raises UsageError for another one."""
    if path is None:
        return None
    if not os.path.isabs(path) or "\0" in path:
        raise UsageError(f"in: '{path}' is no absolute path", hint="begin it with /")
    return os.fsencode(os.path.normpath(path))


def check_rule(rule: Rule, where: str = "") -> None:
    """Raises UsageError for a bad pattern, with where it was written before it."""
    for pattern in rule.patterns:
        text = os.fsdecode(pattern)
        try:
            if rule.kind == "glob":
                compile_glob(text)
            elif rule.kind == "regex":
                check_expression(text)
            elif not text or "\0" in text:
                raise UsageError(f"{rule.kind}: '{text}' is no pattern", hint="write a name or a part of one")
            elif rule.kind == "exact" and "/" in text and (text[0] != "/" or text != os.path.normpath(text)):
                raise UsageError(f"exact: '{text}' is no path", hint="write a name, or a whole path from / on")
        except UsageError as error:
            raise UsageError(where + error.message, hint=error.hint, context=error.context) from error
