"""The order to watch the sources of a set."""

from __future__ import annotations

from backupd.model.orders import FilterWord, Order
from backupd.model.shortcuts import NO_SHORTCUTS, ShortcutWords
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.model.structs import Strict


class Apart(Strict, frozen=True, kw_only=True):
    """A place of which nothing is backed up; of its access only where its drive is counts."""

    place: str
    access: StoreAccess = NO_ACCESS


class WatchOrder(Order, frozen=True, kw_only=True, tag="watch"):
    """Say what changes in the sources of a set, until it is cancelled; `place`: empty."""

    sources: list[bytes]
    filters: list[FilterWord] = []
    one_file_system: bool = False
    apart: list[Apart] = []
    """What lies there is not watched."""
    shortcuts: ShortcutWords = NO_SHORTCUTS
    run_as: str | None = None
    """With whose rights the set's runs look at the sources."""
