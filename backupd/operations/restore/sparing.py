"""What `--delete-unmatched` leaves alone: what the set's filters leave out, and what is this program's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from backupd.destination.stores import local_paths
from backupd.model.filters import FilterWords
from backupd.model.results import shown
from backupd.model.store_access import StoreAccess
from backupd.operations.context import JobContext
from backupd.rules.file_types import TypeRules
from backupd.rules.filter_settings import rule_of_setting, words_of_settings
from backupd.rules.filtering import Filters
from backupd.snapshot.records import Snapshot


class Omission:
    """What a snapshot's set left out. Where that can't be told of an entry, it counts as left out: it stays."""

    def __init__(self, filters: Filters, words: FilterWords, tops: Mapping[bytes, bool]) -> None:
        """tops: source -> whether only what a filter takes in comes from there."""
        self._filters, self._words = filters, words
        self._tops = sorted(((top.rstrip(b"/") + b"/", is_place) for top, is_place in tops.items()), reverse=True)
        self._types = TypeRules(words.only_types, words.never_types)
        self._markers = [os.fsencode(name) for name in (*words.markers, *["CACHEDIR.TAG"] * words.cachedir_tag)]

    def has(self, origin: bytes, path: bytes, top: bytes, is_directory: bool) -> bool:
        """Whether an entry was left out. origin: in the source. path, top: it and the target, as they are here."""
        name = origin.rpartition(b"/")[2]
        if not self._filters.is_empty:
            decision = self._filters.decide(origin, name, is_directory)
            if decision.rule is not None:
                return not decision.included
        if is_directory:
            if any(os.path.lexists(os.path.join(path, marker)) for marker in self._markers):
                return True
        elif (
            self._words.unmatched == "exclude"
            or self._types.refuses(name) is not None
            or next((is_place for start, is_place in self._tops if origin.startswith(start)), False)
        ):
            return True
        return self._words.gitignore and _is_below_gitignore(path, top or b"/")


def _is_below_gitignore(path: bytes, top: bytes) -> bool:
    above = os.path.dirname(path)
    while not os.path.lexists(os.path.join(above, b".gitignore")):
        if above in (top, b"/"):
            return False
        above = os.path.dirname(above)
    return True


def omission_of(snapshot: Snapshot) -> Omission:
    """What was left out by the settings that a snapshot was made with."""
    try:
        settings = json.loads(snapshot.settings) if snapshot.settings else {}
    except (ValueError, RecursionError):
        settings = {}
    kept = settings.get("filters") if isinstance(settings, dict) else None
    rules = [rule_of_setting(one) for one in kept if isinstance(one, dict) and one] if isinstance(kept, list) else []
    words = words_of_settings(settings)
    if words is None:
        # What nobody here understands leaves out all there is.
        return Omission(Filters([]), FilterWords(unmatched="exclude", only_types=[".none"]), {})
    given = settings.get("sources") if isinstance(settings, dict) else None
    # What is a source and was not given as one is there for a filter alone.
    named = given if isinstance(given, list) else []
    return Omission(Filters(rules), words, {source: shown(source) not in named for source in snapshot.sources})


def own_paths(context: JobContext, place: str, access: StoreAccess) -> list[bytes]:
    """Where this program keeps what it needs, the repository among it."""
    found = context.directories
    paths = [found.config, found.data, found.state, found.cache, found.temporary]
    paths += local_paths(place, context.order.access)
    return [os.fsencode(os.path.realpath(path)) for path in paths]


class Sparing:
    """Answers for paths below the target."""

    def __init__(
        self, omission: Omission | None, own: list[bytes], target: bytes, origin_of: Callable[[bytes], bytes]
    ) -> None:
        """omission: None: it spares nothing. target: real path. origin_of: the source path of one below the target."""
        self._omission, self._own, self._origin_of = omission, own, origin_of
        self._target = target.rstrip(b"/")

    def is_spared(self, path: bytes, is_directory: bool) -> bool:
        """Whether it stays although the snapshot does not hold it."""
        here = self._target + b"/" + path
        if any(own == here or own.startswith(here + b"/") or here.startswith(own + b"/") for own in self._own):
            return True
        return self._omission is not None and self._omission.has(
            self._origin_of(path), here, self._target, is_directory
        )
