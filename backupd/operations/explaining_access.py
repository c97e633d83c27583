"""What `set explain` adds to what a set's rules say: whether a run could read a path, and whether it is a stream's."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Mapping

import msgspec

from backupd.model.results import shown
from backupd.model.streams import STREAMS_PATH
from backupd.rules.filter_rules import Rule


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one path."""

    is_in: bool
    reason: str
    text: str
    exists: bool = True
    is_hidden: bool = False
    """Whether it exists nobody could see who looked for it."""
    rule: Rule | None = None
    decided_at: bytes | None = None
    """The directory above that decided; None: the path itself."""
    source: bytes | None = None
    link: bytes | None = None
    """That leads to the source, which is there for it alone."""


def with_reading(path: bytes, found: Explained, who: str) -> Explained:
    """What a run could read of it, with the rights of the thread that asks.

    who: whose those are, as ` by the user anna`; empty: our own.
    """
    stat: os.stat_result | None = None
    try:
        stat = os.lstat(path)
    except PermissionError:
        found = msgspec.structs.replace(found, exists=False, is_hidden=True)
    except OSError:
        return found
    if not found.is_in or found.reason == "file_system":
        return found
    is_directory = stat is not None and modes.S_ISDIR(stat.st_mode)
    if stat is not None:
        wanted = os.R_OK | os.X_OK if is_directory else os.R_OK
        if not (is_directory or modes.S_ISREG(stat.st_mode)) or os.access(path, wanted):
            return found
    what = "what is in it" if is_directory else "it"
    text = f"{found.text}, but {what} can't be read{who}: permission denied"
    if is_directory:
        return msgspec.structs.replace(found, text=text)
    return msgspec.structs.replace(found, is_in=False, reason="unreadable", text=text)


def with_existence(path: bytes, found: Explained) -> Explained:
    """Where the user may not look, whether it exists, as far as this process may."""
    if not found.is_hidden:
        return found
    try:
        os.lstat(path)
    except PermissionError:
        return found
    except OSError:
        return msgspec.structs.replace(found, is_hidden=False)
    return msgspec.structs.replace(found, exists=True, is_hidden=False)


def of_streams(path: bytes, streams: Mapping[str, str], *, is_in_source: bool) -> Explained | None:
    """A path of a snapshot in which a set's streams lie; None: it is none. is_in_source: a source holds such a path."""
    if path != STREAMS_PATH and not path.startswith(STREAMS_PATH + b"/"):
        return None
    if not streams and is_in_source:
        return None
    there = f"it has {', '.join(streams)}" if streams else "it has none"
    if path == STREAMS_PATH:
        text = f"the set's streams are stored in there: {', '.join(streams)}" if streams else "the set has no streams"
        return Explained(is_in=bool(streams), reason="stream" if streams else "no_source", text=text)
    name, _, below = shown(path[len(STREAMS_PATH) + 1 :]).partition("/")
    if name not in streams:
        return Explained(is_in=False, reason="no_source", text=f"no stream of the set is called {name}: {there}")
    if below:
        text = f"the stream {name} is stored as one file, in which nothing lies"
        return Explained(is_in=False, reason="no_source", text=text)
    return Explained(is_in=True, reason="stream", text=f"the set's stream {name} ({streams[name]}) is stored as it")
