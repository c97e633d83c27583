"""What a walk goes by: sources, filters, caches, and who reads the files that it finds."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol

import msgspec
from blake3 import blake3

from backupd.cache.file_cache import CachedDirectory, FileCache, Row
from backupd.model.watching import WatchedSince
from backupd.operations.backup.building import DirectoryBuild, Slice
from backupd.operations.backup.choosing import Choosing
from backupd.rules.link_targets import Outside
from backupd.rules.tolerance import Tolerances
from backupd.source.grafts import NO_GRAFTS, Grafts
from backupd.source.scanner import Seen
from backupd.source.user_rights import OWN_RIGHTS, SourceRights
from backupd.tree.entry import Stored


class Reading(Protocol):
    """Who reads the files that the walk finds; `reading.FileReading`, or nobody in a dry run."""

    def link_group(self, stat: os.stat_result, directory: bytes, name: bytes) -> bytes | None:
        """The 16 bytes that all names of a file share."""
        ...

    def has_group(self, stat: os.stat_result, encoded: bytes) -> bool:
        """Whether the link group in a cached entry is that of the file in this run, too."""
        ...

    def with_group(self, stat: os.stat_result, encoded: bytes, directory: bytes, name: bytes) -> bytes:
        """A cached entry with the link group that the file has in this run."""
        ...

    def may_reuse(self, encoded: bytes) -> bool:
        """Whether a cached entry may be taken."""
        ...

    def stored(self, value: bytes) -> bytes | Stored:
        """An attribute value as entries hold it."""
        ...

    def read(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Have a file read; its entry comes to the slice later."""
        ...

    def read_stream(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Have a command run and what it writes read; its entry comes to the slice later."""
        ...


class Untouched:
    """Which directories nothing changed in, or below, since a run that had a token."""

    def __init__(self, known: WatchedSince) -> None:
        self._since = known.since
        self._trees = frozenset(known.trees)
        self._touched = {way for path in (*known.directories, *known.trees) for way in ways(path)}

    def holds(self, path: bytes, cache: FileCache) -> bool:
        """Whether a directory is as a cache has it, with all that is below it."""
        if not self._since or cache.token != self._since or path in self._touched:
            return False
        return not any(way in self._trees for way in ways(path))


def ways(path: bytes) -> Iterator[bytes]:
    """A path and all directories above it, from the path up to the root."""
    while path.strip(b"/"):
        yield path
        path = path.rpartition(b"/")[0]
    yield b"/"


class WalkRules(msgspec.Struct, frozen=True, dict=True):
    """What is taken in, and how far the cache counts."""

    sources: list[bytes]
    """Absolute, none inside another."""
    named: set[bytes]
    """Sources inside others: nothing leaves them out."""
    leading: set[bytes]
    """Directories inside sources that lead to those: where one is left out, only its way to them is walked."""
    choosing: Choosing
    places: set[bytes]
    """Of `sources` and `named` those that are there for filters alone: only what one matches is taken in."""
    one_file_system: bool
    network_devices: set[int]
    untouched: Untouched | None = None
    """None: everything is looked at."""
    streams: list[bytes] = []
    """Names of files that commands write, in byte order."""
    stream_kinds: list[str] = []
    tolerances: Tolerances = msgspec.field(default_factory=Tolerances)
    grafts: Grafts = NO_GRAFTS
    outside: Outside | None = None
    """Tells of links that lead outside; None: nobody asks."""
    rights: SourceRights = OWN_RIGHTS
    """With which all of the sources is looked at and read."""

    @cached_property
    def _ends(self) -> list[bytes]:
        return sorted({*self.sources, *self.named})

    def steps_below(self, path: bytes) -> list[bytes]:
        """Names below a directory above sources that lead to them, in byte order."""
        ends, below = self._ends, path if path == b"/" else path + b"/"
        steps: list[bytes] = []
        at = bisect_left(ends, below)
        while at < len(ends) and ends[at].startswith(below):
            step = ends[at][len(below) :].split(b"/")[0]
            if step:
                steps.append(step)
            # The sign after the slash: only what lies below the step comes before it.
            at = at + 1 if ends[at] == below + step else bisect_left(ends, below + step + b"0")
        return sorted({*steps})


class Caches(msgspec.Struct, frozen=True):
    """What earlier runs saw, the newest first."""

    found: list[FileCache]
    reusable: set[int]
    """Places in `found` whose whole trees may be taken over."""

    def directory(self, path: bytes) -> tuple[FileCache, CachedDirectory, bool] | None:
        """The newest cache that knows a directory, what it knows, and whether that may be taken over whole.

        One that knows all of it goes before one whose run was stopped in it.
        """
        begun: tuple[FileCache, CachedDirectory, bool] | None = None
        for place, cache in enumerate(self.found):
            known = cache.directory(path)
            if known is not None and known.node:
                return cache, known, place in self.reusable
            if known is not None and begun is None:
                begun = cache, known, False
        return begun

    def rows(self, path: bytes, low: bytes, high: bytes | None) -> dict[bytes, Row]:
        """Rows of a directory from `low` to before `high`; of several, the newest cache's. Raises FormatError."""
        found: dict[bytes, Row] = {}
        for place, cache in reversed(list(enumerate(self.found))):
            known = cache.directory(path)
            if known is None:
                continue
            refs = known.pieces
            for at, ref in enumerate(refs):
                ends_before = at + 1 < len(refs) and refs[at + 1].first_name <= low
                if ends_before or (high is not None and ref.first_name >= high):
                    continue
                rows = [row for row in cache.rows(ref) if low <= row.name and (high is None or row.name < high)]
                rows = cache.filled(rows, known.node)
                found.update({row.name: row for row in self.fresh(place, rows)})
        return found

    def counts(self, path: bytes) -> tuple[int, int] | None:
        """(files, bytes) below a directory; None of what was none."""
        known = self.directory(path)
        return (known[1].files, known[1].byte_count) if known is not None else None

    def fresh(self, place: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Rows of one of the caches, as far as this run goes by them."""
        return rows


def in_order(sources: Sequence[bytes]) -> tuple[list[bytes], set[bytes]]:
    """(sources that lie in no other, those that do)."""
    tops: set[bytes] = set()
    above: bytes | None = None
    for source in sorted({*sources}, key=_with_slash):
        if above is None or not source.startswith(above):
            tops.add(source)
            above = _with_slash(source)
    return [source for source in dict.fromkeys(sources) if source in tops], {*sources} - tops


def _with_slash(path: bytes) -> bytes:
    return path.rstrip(b"/") + b"/"


def options_digest(parts: list[bytes]) -> bytes:
    """16 bytes over all that shapes a tree: filters, options, format version."""
    return blake3(b"\0".join(parts)).digest(16)
