"""Files of running databases in the sources of a set that is being made: a short look, before any run says so."""

from __future__ import annotations

import os
from collections import deque

from backupd.clock import SystemClock
from backupd.errors import UsageError
from backupd.model.sets import SetText
from backupd.rules.filter_checking import filter_word
from backupd.rules.filter_rules import rules_of
from backupd.rules.filtering import Filters
from backupd.rules.live_files import LiveFiles
from backupd.rules.tolerance import Tolerances

_SECONDS = 0.5
_MOST_DIRECTORIES = 2000
_MOST_NAMES = 10_000
"""Of a directory."""


def live_warnings(text: SetText, own: frozenset[bytes] = frozenset()) -> list[str]:
    """A sentence for each kind of database whose files lie in a set's sources, not far below them; reads directories.

    What can't be read says nothing, nor does a set with filter files: its runs warn. Nothing is told of a set that
    reads from snapshots of file systems. text: one that was checked, with paths in place of shortcuts. own: real paths
    of this program's own directories, which runs leave out.
    """
    if text.fs_snapshot != "off" or any(one.file is not None for one in text.filters):
        return []
    try:
        filters = Filters(rules_of([filter_word(one) for one in text.filters], {}))
        live = LiveFiles(Tolerances(text.tolerate))
    except UsageError:
        return []
    end = SystemClock().monotonic() + _SECONDS
    waiting = deque(os.fsencode(path) for path in text.sources)
    for _ in range(_MOST_DIRECTORIES):
        if not waiting or SystemClock().monotonic() > end:
            break
        path = waiting.popleft()
        if path in own:
            continue
        names, below = _look(path, filters)
        live.look(path, names)
        waiting += below
    return [f"{text.name}: {one}" for one in live.sentences([str(stream.kind) for stream in text.streams])]


def _look(path: bytes, filters: Filters) -> tuple[list[bytes], list[bytes]]:
    """(names that no filter leaves out, paths of the directories among them)."""
    names: list[bytes] = []
    below: list[bytes] = []
    try:
        with os.scandir(path) as entries:
            for _, entry in zip(range(_MOST_NAMES), entries, strict=False):
                is_directory = entry.is_dir(follow_symlinks=False)
                if filters.is_empty or filters.decide(entry.path, entry.name, is_directory).included:
                    names.append(entry.name)
                    below += [entry.path] * is_directory
    except OSError:
        return names, below
    return names, below
