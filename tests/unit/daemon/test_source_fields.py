"""Orders about the sources of a set are told the same of them."""

from __future__ import annotations

from typing import Any

import pytest

from backupd.daemon.source_fields import read_fields, watched_fields
from backupd.model.explain_order import ExplainOrder
from backupd.model.filters import FilterText, FilterWords
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.orders import BackupOrder, FilterWord
from backupd.model.sets import SetText
from backupd.model.shortcuts import NO_SHORTCUTS, ShortcutWords
from backupd.model.watch_orders import WatchOrder

ONE = FilterText(action="exclude", glob=["*.tmp"])
TEXT = SetText(
    name="home",
    to=["disk"],
    sources=["/srv", "home@anna"],
    without=["music"],
    filters=[ONE],
    markers=[".nobackup"],
    one_file_system=True,
    follow_links=True,
)
SHORTCUTS = ShortcutWords(words=["home@anna"], without=["music"])


@pytest.mark.parametrize(
    ("kind", "needed"),
    [(BackupOrder, {}), (ExplainOrder, {"set_name": "home", "paths": []}), (FsSnapshotOrder, {"verb": "make"})],
)
def test_all_that_decides_what_is_read(kind: Any, needed: dict[str, Any]) -> None:
    order = kind(place="", **needed, **read_fields(TEXT))
    assert (order.sources, order.shortcuts) == ([b"/srv"], SHORTCUTS)
    assert order.filters == [FilterWord(kind="text", text=ONE)]
    assert order.filter_words == FilterWords(markers=[".nobackup"])
    assert (order.one_file_system, order.follow_links) == (True, True)


def test_paths_that_stand_for_the_sources_of_a_watched_set() -> None:
    whole = WatchOrder(place="", **watched_fields(TEXT))
    assert (whole.sources, whole.shortcuts, whole.one_file_system) == ([b"/srv"], SHORTCUTS, True)
    part = WatchOrder(place="", **watched_fields(TEXT, ["/srv/a"]))
    assert (part.sources, part.shortcuts.words, part.filters) == ([b"/srv/a"], NO_SHORTCUTS.words, whole.filters)
