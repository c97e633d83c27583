"""Which entries of a directory a backup takes in, and why not the others: one answer for the walk and `set explain`.

Filters come first, the first that matches decides; then what is always left out, markers, types, .gitignore files, and
at last what becomes of what nothing matched (docs/filters.md).
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from backupd.model.filters import FilterWords
from backupd.model.results import shown
from backupd.rules.file_types import TypeRules
from backupd.rules.filter_rules import Rule
from backupd.rules.filtering import Filters
from backupd.rules.gitignore import MOST_BYTES, parse_gitignore
from backupd.rules.left_out import LeftOut
from backupd.source.chain import ReadAt
from backupd.source.scanner import Seen
from backupd.source.user_rights import OWN_RIGHTS, SourceRights

_CACHEDIR_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_CACHEDIR_TAG = b"CACHEDIR.TAG"
_GITIGNORE = b".gitignore"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Reason = Literal["filter", "left_out", "marker", "cachedir_tag", "type", "gitignore", "unmatched"]


class Choice(NamedTuple):
    """What was decided of an entry."""

    is_in: bool
    reason: Reason
    text: str
    """For people."""
    rule: Rule | None = None


class Within(NamedTuple):
    """What holds in a directory because of those above it."""

    takes_unmatched: bool
    """Whether files that nothing matches are taken in."""
    ignores: tuple[Filters, ...]
    """Of the .gitignore files above, the nearest first."""


_UNMATCHED = Choice(False, "unmatched", "no filter matches, and the set leaves out what none does")


class Choosing:
    """Decides for the entries of directories. Of one thread."""

    def __init__(
        self,
        filters: Filters,
        left_out: LeftOut,
        words: FilterWords,
        rights: SourceRights = OWN_RIGHTS,
        *,
        leaves_out_files: bool = True,
    ) -> None:
        """rights: with which it looks into directories and files.

        leaves_out_files: whether `left_out` may have files. Raises UsageError for types that are none.
        """
        self._filters, self._left_out, self._words, self._rights = filters, left_out, words, rights
        self._leaves_out_files = leaves_out_files
        self._types = TypeRules(words.only_types, words.never_types)
        self._markers = [os.fsencode(name) for name in words.markers]
        self.read_at: Mapping[bytes, ReadAt] = {}
        """Path of a directory that is read elsewhere than it shows -> where; its markers lie there."""

    def begin(self, *, takes_unmatched: bool = True) -> Within:
        """At a source."""
        return Within(takes_unmatched and self._words.unmatched == "include", ())

    def enter(
        self, within: Within, path: bytes, names: Sequence[bytes], fd: int, warn: Callable[[str], None]
    ) -> Within:
        """What holds in a directory, given what holds by those above. names: all that is in it."""
        if not self._words.gitignore:
            return within
        # What belongs to another repository goes by its own files alone.
        ignores = () if b".git" in names else within.ignores
        if _GITIGNORE in names:
            rules = self._read_gitignore(path.rstrip(b"/") + b"/" + _GITIGNORE, fd, warn)
            ignores = (Filters(rules), *ignores) if rules else ignores
        return within._replace(ignores=ignores)

    def choose(self, within: Within, directory: bytes, seen: Sequence[Seen], fd: int) -> dict[int, Choice]:
        """Place among the entries -> what was decided; in is what has no decision. fd: of the directory."""
        decided: dict[int, Choice] = {}
        top = directory if directory != b"/" else b""
        if not self._filters.is_empty:
            rules = self._filters.rules
            level = self._filters.level(directory)
            for at, index in level.matches([name for name, _ in seen], [stat for _, stat in seen]):
                rule = rules[index]
                decided[at] = Choice(rule.is_include, "filter", rule.origin, rule)
        is_out, is_directory = self._left_out.is_left_out, modes.S_ISDIR
        directories = [at for at, (_, stat) in enumerate(seen) if is_directory(stat.st_mode)]
        for at in range(len(seen)) if self._leaves_out_files else directories:
            reason = is_out(top + b"/" + seen[at].name)
            if reason is not None and (at not in decided or decided[at].is_in):
                decided[at] = Choice(False, "left_out", reason)
        if self._markers or self._words.cachedir_tag:
            undecided = [at for at in directories if at not in decided]
            if undecided:
                marked = self._rights.do(lambda: [self._marked(top, seen[at].name, fd) for at in undecided])
                decided.update((at, choice) for at, choice in zip(undecided, marked, strict=True) if choice is not None)
        if not self._types.is_empty or within.ignores or not within.takes_unmatched:
            self._choose_rest(within, directory, seen, decided)
        return decided

    def is_out(self, path: bytes, name: bytes) -> bool:
        """Whether what can't be looked at is left out as far as its name tells. path: absolute, ends with name."""
        is_filtered = not self._filters.is_empty and not self._filters.decide(path, name, False).included
        return is_filtered or self._left_out.is_left_out(path) is not None

    @property
    def left_out(self) -> LeftOut:
        """What is left out of every backup."""
        return self._left_out

    @property
    def unmatched_rules(self) -> list[Rule]:
        """Filters that decided nothing so far."""
        return [rule for index, rule in enumerate(self._filters.rules) if not self._filters.hits[index]]

    def _choose_rest(
        self, within: Within, directory: bytes, seen: Sequence[Seen], decided: dict[int, Choice]
    ) -> None:
        """Of what has no decision yet: by types, .gitignore files, and as what nothing matches."""
        ignoring = [one.level(directory) for one in within.ignores]
        types = self._types if not self._types.is_empty else None
        for at, (name, stat) in enumerate(seen):
            if at in decided:
                continue
            choice: Choice | None = None
            is_directory = modes.S_ISDIR(stat.st_mode)
            if types is not None and not is_directory:
                why = types.refuses(name)
                choice = Choice(False, "type", why) if why is not None else None
            if choice is None and ignoring:
                choice = _ignored(within, [one.first(os.fsdecode(name), is_directory, stat) for one in ignoring])
            if choice is None and not is_directory and not within.takes_unmatched:
                choice = _UNMATCHED
            if choice is not None:
                decided[at] = choice

    def _marked(self, above: bytes, name: bytes, fd: int) -> Choice | None:
        place, _ = self.read_at.get(above + b"/" + name, (name, 0))
        name, fd = (b".", place) if isinstance(place, int) else (place, fd)
        for marker in self._markers:
            try:
                os.stat(name + b"/" + marker, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            return Choice(False, "marker", f"it holds {shown(marker)}")
        if self._words.cachedir_tag and _is_cache(name, fd):
            return Choice(False, "cachedir_tag", "it holds a CACHEDIR.TAG")
        return None

    def _read_gitignore(self, path: bytes, fd: int, warn: Callable[[str], None]) -> list[Rule]:
        try:
            text = self._rights.do(_read, _GITIGNORE, fd, MOST_BYTES + 1)
        except OSError as error:
            warn(f"{shown(path)} can't be read, and nothing is left out by it: {error.strerror}")
            return []
        if text is None or len(text) > MOST_BYTES:
            warn(f"{shown(path)} is no file of up to 1 MiB, and nothing is left out by it")
            return []
        return parse_gitignore(text, path)


def _ignored(within: Within, first: Sequence[int | None]) -> Choice | None:
    for filters, index in zip(within.ignores, first, strict=True):
        if index is not None:
            rule = filters.rules[index]
            return None if rule.is_include else Choice(False, "gitignore", rule.origin, rule)
    return None


def _is_cache(name: bytes, fd: int) -> bool:
    try:
        return _read(name + b"/" + _CACHEDIR_TAG, fd, len(_CACHEDIR_SIGNATURE)) == _CACHEDIR_SIGNATURE
    except OSError:
        return False


def _read(name: bytes, fd: int, most: int) -> bytes | None:
    """The first bytes of a regular file; None of what is none. Raises OSError."""
    file = os.open(name, _OPEN, dir_fd=fd)
    try:
        if not modes.S_ISREG(os.fstat(file).st_mode):
            return None
        found = b""
        while len(found) < most and (part := os.read(file, most - len(found))):
            found += part
        return found
    finally:
        os.close(file)
