"""The order that makes snapshots of file systems around a run, and removes them."""

from __future__ import annotations

from typing import Literal

from backupd.model.filters import FilterWords
from backupd.model.fs_snapshot_words import FsSnapshot, FsSnapshotFallback
from backupd.model.orders import FilterWord, Order
from backupd.model.shortcuts import NO_SHORTCUTS, ShortcutWords


class FsSnapshotOrder(Order, frozen=True, kw_only=True, tag="fs_snapshots"):
    """Make snapshots of the file systems of some sources, or remove them; `place` is empty.

    An item with `grafts`, where a run is to read, once all are made.
    """

    verb: Literal["make", "look", "remove", "sweep"]
    """`look`: none is made, but what can't be made is told as by `make`. `sweep`: what jobs left behind that are not
    under way."""
    kind: FsSnapshot = "auto"
    fallback: FsSnapshotFallback = "fail"
    set_id: str = ""
    job_id: str = ""
    sources: list[bytes] = []
    shortcuts: ShortcutWords = NO_SHORTCUTS
    filters: list[FilterWord] = []
    one_file_system: bool = False
    follow_links: bool = False
    """Whether the run also goes where links lead, which is not known yet."""
    filter_words: FilterWords = FilterWords()
    run_as: str | None = None
    """With whose rights the run looks at the sources; the snapshots themselves are made with our own."""
