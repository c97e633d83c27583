"""What orders are told of a set's sources: the same for runs, snapshots of file systems, explaining and watching."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

from backupd.model.filters import FilterWords
from backupd.model.orders import FilterWord
from backupd.model.sets import SetText
from backupd.model.shortcuts import ShortcutWords, paths_among, shortcuts_among
from backupd.rules.filter_checking import filter_word


class WatchedFields(TypedDict):
    """Where the sources lie, and which names are left out."""

    sources: list[bytes]
    shortcuts: ShortcutWords
    filters: list[FilterWord]
    one_file_system: bool


class ReadFields(WatchedFields):
    """All that decides which files a run reads."""

    filter_words: FilterWords
    follow_links: bool


def watched_fields(text: SetText, only: Sequence[str] = ()) -> WatchedFields:
    """Of a set that is watched. only: paths that stand for its sources; none: all of them."""
    sources = only or text.sources
    return {
        "sources": [os.fsencode(path) for path in paths_among(sources)],
        "shortcuts": shortcuts_among(sources, text.without),
        "filters": [filter_word(one) for one in text.filters],
        "one_file_system": text.one_file_system,
    }


def read_fields(text: SetText) -> ReadFields:
    """Of a set that is read."""
    return {**watched_fields(text), "filter_words": text.filter_words, "follow_links": text.follow_links}
