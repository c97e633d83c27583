"""`set explain`: what a run would do with paths, and by which rule; decided as the walk decides."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from backupd.errors import UsageError
from backupd.model import events
from backupd.model.explain_order import MOST_PATHS, ExplainOrder
from backupd.model.results import path_fields, shown
from backupd.operations.backup.choosing import Choice, Choosing, Within
from backupd.operations.backup.following import Tops, find_targets
from backupd.operations.backup.setting import filter_places, read_rules, real_path, tolerances_of, what_is_left_out
from backupd.operations.backup.shortcuts import expanded, tell_meanings
from backupd.operations.backup.walk_rules import in_order
from backupd.operations.context import JobContext
from backupd.operations.explaining_access import Explained, of_streams, with_existence, with_reading
from backupd.rules.filtering import Filters
from backupd.settings.accounts import reader_of
from backupd.source import scanner
from backupd.source.scanner import Seen
from backupd.source.user_rights import rights_of

Taken = Literal["whole", "part", "none"]

_NO_FD = -1


def run(order: ExplainOrder, context: JobContext) -> events.Done:
    """Explain each path. Raises UsageError."""
    if not order.paths or len(order.paths) > MOST_PATHS:
        raise UsageError("name paths", hint=f"bkctl set explain SET PATH..., {MOST_PATHS} at most")
    order, named = expanded(order, context)
    tell_meanings(named, context)
    words = {path: one.word for one in named for path in one.paths}
    explaining = Explaining(order, context)
    found = []
    for path in order.paths:
        context.cancel.check()
        if not os.path.isabs(path) or b"\0" in path:
            raise UsageError(f"{shown(path)} is no absolute path", hint="begin it with /")
        found.append({**_document(path, explaining.explain_read(path), words), "tolerance": explaining.tolerance(path)})
    result = {"set": order.set_name, "paths": found}
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


class Explaining:
    """Goes down from a source to a path, as the walk does; of an order without shortcuts."""

    def __init__(self, order: ExplainOrder, context: JobContext) -> None:
        self._reader, self._streams = reader_of(order.run_as), order.streams
        self._who = f" by the user {order.run_as}" if order.run_as is not None else ""
        rules = read_rules(order.filters)
        self._warn = context.warn
        self._now_ns = context.clock.now_ns()
        self._one_file_system, self._reads_names = order.one_file_system, order.filter_words.gitignore
        stores = [(one.place, one.access) for one in order.stores]
        left_out, _ = what_is_left_out(context, stores)
        with rights_of(self._reader) as rights:
            sources = rights.do(lambda: [real_path(source) for source in order.sources])
            self._places = set(rights.do(filter_places, rules, sources))
            self._tolerances = rights.do(tolerances_of, order.tolerate)
        self._sources = [*sources, *self._places]
        self._tops, self._named = in_order(self._sources)
        self._follows, self._check = order.follow_links, context.cancel.check
        self._links: dict[bytes, bytes] = {}
        """What links lead to -> one of those; found when a path is asked for that no source holds."""
        # What does not exist yet may be among it, and counts as a file.
        self._choosing = Choosing(Filters(rules, self._now_ns), left_out, order.filter_words, leaves_out_files=True)

    def taken_in(self, path: bytes) -> Taken:
        """How much of a directory, or of a file, is taken in as far as its path tells. path: absolute, real."""
        found = self.explain(path)
        if found.is_in and found.reason != "file_system" and path not in self._places:
            return "whole"
        return "part" if any(one.startswith(path.rstrip(b"/") + b"/") for one in self._sources) else "none"

    def tolerance(self, given: bytes) -> list[dict[str, Any]]:
        """The rules by which trouble with a path goes, were it in. given: absolute. Raises RunAsError."""
        with rights_of(self._reader) as rights:
            path = rights.do(_real, given)
        return [
            {
                "kind": one.kind,
                "tolerance": one.tolerance,
                "place": one.place,
                "name": one.rule.name,
                "text": one.rule.origin,
            }
            for one in self._tolerances.applied(path)
        ]

    def explain(self, given: bytes) -> Explained:
        """One path. given: absolute. Raises RunAsError."""
        with rights_of(self._reader) as rights:
            return rights.do(self._explain, given)

    def explain_read(self, given: bytes) -> Explained:
        """The same, with what a run could read of it; of a stream's path which stream that is. Raises RunAsError."""
        with rights_of(self._reader) as rights:
            path = rights.do(_real, given)
            found = of_streams(path, self._streams, is_in_source=bool(self._above(path)))
            if found is not None:
                return found
            found = rights.do(lambda: with_reading(path, self._explain(given), self._who))
        return with_existence(path, found)

    def _explain(self, given: bytes) -> Explained:
        path = _real(given)
        above = self._above(path)
        if self._follows and self._places.issuperset(above):
            self._follow_links()
            above = self._above(path)
        if not above:
            return Explained(
                is_in=False, reason="no_source", text="it lies in no source of the set", exists=os.path.lexists(path)
            )
        source = max(above, key=len)
        link = self._links.get(source)
        led = f"the link {shown(link)} leads there" if link is not None else ""
        if path == source:
            is_place = path in self._places
            text = "a filter takes in what it matches in there" if is_place else "it is a source, named outright"
            reason = "followed" if link is not None else "source"
            return Explained(
                is_in=True, reason=reason, text=led or text, exists=os.path.lexists(path), source=source, link=link
            )
        found = self._below(source, path, is_directory=given.endswith(b"/"))
        text = f"{found.text}; {shown(source)} is taken because {led}" if led else found.text
        return self._with_way(path, msgspec.structs.replace(found, source=source, link=link, text=text))

    def _above(self, path: bytes) -> list[bytes]:
        """Sources that a path lies in."""
        return [source for source in self._sources if (path + b"/").startswith(source.rstrip(b"/") + b"/")]

    def _follow_links(self) -> None:
        """Find out, as a run does, what links lead to: that counts as sources, too."""
        tops = Tops(self._tops, self._named, self._places, self._one_file_system)
        found = find_targets(tops, self._choosing, self._check)
        self._follows, self._links = False, found.targets
        self._sources += found.targets
        self._named, self._places = found.tops.named, found.tops.places

    def _with_way(self, path: bytes, found: Explained) -> Explained:
        """A directory that is left out is still passed through where it leads to a source."""
        inside = sorted(one for one in self._named if one.startswith(path + b"/"))
        if found.is_in or not inside:
            return found
        text = f"{found.text}; it is passed through for the source {shown(inside[0])}"
        return msgspec.structs.replace(found, text=text)

    def _below(self, source: bytes, path: bytes, *, is_directory: bool) -> Explained:
        steps = path[len(source.rstrip(b"/")) + 1 :].split(b"/")
        within = self._choosing.begin(takes_unmatched=source not in self._places)
        here, last = source, Explained(is_in=True, reason="source", text="")
        exists, taken, needs_taking = True, last, not within.takes_unmatched
        for at, step in enumerate(steps):
            is_last = at + 1 == len(steps)
            try:
                with _opened(here if exists else None) as fd:
                    choice, found, within = self._step(within, here, step, fd, is_directory or not is_last)
            except OSError as error:
                text = f"{shown(here)} can't be opened{self._who}: {(error.strerror or str(error)).lower()}"
                return Explained(is_in=False, reason="unreadable", text=text, decided_at=here, exists=False)
            exists = exists and found is not None
            here = here.rstrip(b"/") + b"/" + step
            last = self._told(choice, here, found, exists=exists and (is_last or os.path.lexists(path)))
            if not last.is_in and not is_last:
                return msgspec.structs.replace(last, decided_at=here)
            if last.reason == "file_system" and not is_last:
                return msgspec.structs.replace(
                    last, is_in=False, decided_at=here, text="another file system, of which nothing is taken"
                )
            if not last.is_in:
                return last
            if last.rule is not None:
                taken = msgspec.structs.replace(last, decided_at=here)
        if last.reason != "no_rule" or not needs_taking or taken.rule is None or taken.decided_at is None:
            return last
        # Nothing leaves it out, and without the rule above it would not be in.
        text = f"{shown(taken.decided_at)}: {taken.text}; {last.text}"
        return msgspec.structs.replace(taken, text=text, exists=last.exists)

    def _step(
        self, within: Within, directory: bytes, name: bytes, fd: int, is_directory: bool
    ) -> tuple[Choice | None, os.stat_result | None, Within]:
        """(what is decided of an entry, its stat where it exists, what holds below it)."""
        found: os.stat_result | None = None
        if fd != _NO_FD:
            # Of a directory of a million files nobody has to know all names for anything else.
            names = scanner.list_names(fd) if self._reads_names else []
            within = self._choosing.enter(within, directory, names, fd, self._warn)
            seen, failed = scanner.look(fd, [name])
            found = seen[0].stat if seen else None
            if failed and not isinstance(failed[0][1], FileNotFoundError):
                raise failed[0][1]
        stat = found if found is not None else self._imagined(is_directory)
        choice = self._choosing.choose(within, directory, [Seen(name, stat)], fd).get(0)
        if choice is not None and choice.is_in:
            within = within._replace(takes_unmatched=True)
        return choice, found, within

    def _told(self, choice: Choice | None, path: bytes, found: os.stat_result | None, *, exists: bool) -> Explained:
        if choice is not None:
            return Explained(
                is_in=choice.is_in, reason=choice.reason, text=choice.text, rule=choice.rule, exists=exists
            )
        if self._one_file_system and found is not None and modes.S_ISDIR(found.st_mode):
            above = os.lstat(os.path.dirname(path))
            if above.st_dev != found.st_dev:
                text = "another file system: the directory is taken, and nothing of what lies in it"
                return Explained(is_in=True, reason="file_system", text=text, exists=exists)
        text = "no rule leaves it out" if exists else "no rule leaves it out, taken for a new and empty one"
        return Explained(is_in=True, reason="no_rule", text=text, exists=exists)

    def _imagined(self, is_directory: bool) -> os.stat_result:
        """Of what does not exist: empty, and changed just now."""
        mode = modes.S_IFDIR | 0o755 if is_directory else modes.S_IFREG | 0o644
        seconds = self._now_ns // 10**9
        return os.stat_result(
            (mode, 0, 0, 1, 0, 0, 0, seconds, seconds, seconds), {"st_mtime_ns": self._now_ns}
        )


def _real(given: bytes) -> bytes:
    return real_path(os.path.normpath(given).replace(b"//", b"/"))


@contextmanager
def _opened(directory: bytes | None) -> Iterator[int]:
    """Descriptor of a directory; of one that does not exist a number that is none."""
    if directory is None:
        yield _NO_FD
        return
    try:
        fd = scanner.open_directory(directory)
    except (FileNotFoundError, NotADirectoryError):
        yield _NO_FD
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _document(path: bytes, found: Explained, words: Mapping[bytes, str]) -> dict[str, Any]:
    """words: the shortcut that means a source."""
    rule = found.rule
    return {
        **path_fields(path),
        "included": found.is_in,
        "exists": found.exists,
        "hidden": found.is_hidden,
        "reason": found.reason,
        "message": found.text,
        "rule": {"name": rule.name, "text": rule.origin, "file": rule.file, "line": rule.line} if rule else None,
        "decided_at": shown(found.decided_at) if found.decided_at is not None else None,
        "source": shown(found.source) if found.source is not None else None,
        "shortcut": words.get(found.source) if found.source is not None else None,
        "link": shown(found.link) if found.link is not None else None,
    }
