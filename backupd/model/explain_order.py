"""`bkctl set explain`: whether paths are in a set's backups, and by which rule."""

from __future__ import annotations

from backupd.model.filters import FilterWords
from backupd.model.orders import FilterWord, Order
from backupd.model.shortcuts import NO_SHORTCUTS, ShortcutWords
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.model.structs import Strict
from backupd.model.tolerance import ToleranceText

MOST_PATHS = 10_000
"""Asked for at once."""


class ExplainedStore(Strict, frozen=True, kw_only=True):
    """A destination of the set, which is in none of its backups."""

    place: str
    access: StoreAccess = NO_ACCESS


class ExplainOrder(Order, frozen=True, kw_only=True, tag="explain"):
    """Say of paths what a run would do with them. All but set and paths is the daemon's to fill in."""

    set_name: str
    paths: list[bytes]
    """Absolute; with a slash at its end what does not exist counts as a directory."""
    sources: list[bytes] = []
    filters: list[FilterWord] = []
    filter_words: FilterWords = FilterWords()
    one_file_system: bool = False
    stores: list[ExplainedStore] = []
    shortcuts: ShortcutWords = NO_SHORTCUTS
    follow_links: bool = False
    run_as: str | None = None
    """With whose rights the set's runs look at the sources."""
    tolerate: list[ToleranceText] = []
    streams: dict[str, str] = {}
    """Kinds of the set's streams, by name."""
