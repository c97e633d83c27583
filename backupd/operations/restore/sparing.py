"""What `--delete-unmatched` leaves alone: what the set's filters leave out, and what is this program's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from backupd.destination.stores import local_paths
from backupd.model.orders import FilterWord
from backupd.model.store_access import StoreAccess
from backupd.operations.context import JobContext
from backupd.rules.filtering import Filters, rules_of
from backupd.snapshot.records import Snapshot


def filters_of(snapshot: Snapshot) -> Filters:
    """The filters that a snapshot was made with."""
    try:
        settings = json.loads(snapshot.settings) if snapshot.settings else {}
    except (ValueError, RecursionError):
        settings = {}
    words = settings.get("filters") if isinstance(settings, dict) else None
    if not isinstance(words, list):
        words = []
    return Filters(rules_of([_word(word) for word in words if isinstance(word, dict) and word], {}))


def own_paths(context: JobContext, place: str, access: StoreAccess) -> list[bytes]:
    """Where this program keeps what it needs, the repository among it."""
    found = context.directories
    paths = [found.config, found.data, found.state, found.cache, found.temporary]
    paths += local_paths(place, context.order.access)
    return [os.fsencode(os.path.realpath(path)) for path in paths]


class Sparing:
    """Answers for paths below the target."""

    def __init__(
        self, filters: Filters | None, own: list[bytes], target: bytes, origin_of: Callable[[bytes], bytes]
    ) -> None:
        """filters: None: they spare nothing. target: real path. origin_of: the source path of one below the target."""
        self._filters, self._own, self._origin_of = filters, own, origin_of
        self._target = target.rstrip(b"/")

    def is_spared(self, path: bytes, is_directory: bool) -> bool:
        """Whether it stays although the snapshot does not hold it."""
        here = self._target + b"/" + path
        if any(own == here or own.startswith(here + b"/") or here.startswith(own + b"/") for own in self._own):
            return True
        if self._filters is None or self._filters.is_empty:
            return False
        origin = self._origin_of(path)
        return not self._filters.decide(origin, origin.rpartition(b"/")[2], is_directory).included


def _word(word: dict[str, Any]) -> FilterWord:
    (kind, value), *_ = word.items()
    text = str(value).encode(errors="surrogatepass")
    return FilterWord(kind="include" if kind == "include" else "exclude", value=text)
