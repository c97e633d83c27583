"""Under which settings the files of a set's snapshots were cut and named, and which of them a migration reads again.

An entry that did not change is carried from snapshot to snapshot, so it may be older than the set's present settings.
Each snapshot says in its settings under which ones its entries may have been made (`stored_as`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from backupd.cache.file_cache import STALE, Row
from backupd.chunk.size_class import INCOMPRESSIBLE_CLASS, WHOLE_FILE_BYTES, average_bytes, choose_class
from backupd.model.orders import Caller
from backupd.model.structs import Struct
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk_rules import Caches
from backupd.operations.context import JobContext
from backupd.sizes import format_bytes
from backupd.snapshot.records import Snapshot
from backupd.tree import entry as entries
from backupd.tree.entry import Chunks, ChunkTree, Entry, Kind
from backupd.wire.malformed import MALFORMED

_MOST_PAIRS = 64


class StoredAs(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Settings that shape what a file becomes in a snapshot."""

    deduplication: str
    chunk_size: str
    """`auto`, or bytes."""


class _Settings(Struct, frozen=True):
    """Of the settings of a snapshot what is read here."""

    stored_as: list[StoredAs] | None = None
    run_as_uid: str | None = None


Lineage = frozenset[StoredAs] | None
"""None: not known."""


def stored_as(deduplication: str, chosen_class: int | None) -> StoredAs:
    """What a run stores by."""
    return StoredAs(deduplication, str(average_bytes(chosen_class)) if chosen_class is not None else "auto")


def lineage_of(snapshots: Iterable[Snapshot]) -> Lineage:
    """What the entries of these snapshots may have been made under."""
    found: set[StoredAs] = set()
    for snapshot in snapshots:
        settings = _settings_of(snapshot)
        said = settings.stored_as if settings is not None else None
        if said is None or len(said) > _MOST_PAIRS:
            return None
        found.update(said)
    return frozenset(found)


def with_lineage(settings: str, lineage: Lineage, now: StoredAs) -> str:
    """The settings of a snapshot that goes on from others. settings: a JSON object."""
    if lineage is None:
        return settings
    pairs = [[one.deduplication, one.chunk_size] for one in sorted({*lineage, now})]
    return json.dumps({**json.loads(settings), "stored_as": pairs}, indent=1, ensure_ascii=False)


def is_read_by(snapshot: Snapshot, user: Caller | None) -> bool:
    """Whether the sources of a snapshot were read with that user's rights; None: with our own."""
    settings = _settings_of(snapshot)
    said = settings.run_as_uid if settings is not None else None
    return said == (str(user.uid) if user is not None else None)


def _settings_of(snapshot: Snapshot) -> _Settings | None:
    """None: nobody can read them."""
    try:
        return msgspec.json.decode(snapshot.settings, type=_Settings)
    except MALFORMED:
        return None


class Fitness(msgspec.Struct, frozen=True):
    """Whether the files of snapshots are stored as a run would store them now."""

    lineage: Lineage
    """Of those snapshots."""
    now: StoredAs
    chosen_class: int | None

    @property
    def is_named_alike(self) -> bool:
        """Whether all of them were named in the scope that is wanted now."""
        return self.lineage is not None and all(one.deduplication == self.now.deduplication for one in self.lineage)

    @property
    def is_cut_alike(self) -> bool:
        """Whether all of them were cut by the chunk size that is wanted now."""
        return self.lineage is not None and all(one.chunk_size == self.now.chunk_size for one in self.lineage)

    def is_well(self, entry: Entry) -> bool:
        """Of one entry; what holds no content is."""
        if entry.kind != Kind.FILE or entry.content is None:
            return True
        return self._is_named_well(entry) and self._is_cut_well(entry)

    def _is_named_well(self, entry: Entry) -> bool:
        has_salt = entry.extra is not None and entry.extra.salt is not None
        return self.is_named_alike and has_salt is (self.now.deduplication == "path")

    def _is_cut_well(self, entry: Entry) -> bool:
        if entry.size <= WHOLE_FILE_BYTES:
            # One chunk, whatever the settings are.
            return True
        if not isinstance(entry.content, Chunks | ChunkTree):
            # One chunk has no class.
            return self.is_cut_alike
        found = entry.content.size_class
        if self.chosen_class is not None:
            return found == self.chosen_class
        if found == INCOMPRESSIBLE_CLASS:
            return self.is_cut_alike
        return found == choose_class(entry.size, is_incompressible=False, previous_class=None)


class Checked(Caches, frozen=True, kw_only=True):
    """Caches of a migration: what was not stored as it would be now is stale, and so is read again."""

    fitness: Fitness
    migrated: set[int]
    """Places in `found` of runs that were migrations to the same settings: all is well in those."""

    def fresh(self, place: int, rows: Sequence[Row]) -> list[Row]:
        """The rows of a cache."""
        if place in self.migrated:
            return list(rows)
        return [row if self._is_well(row) else Row(row.name, STALE, row.entry) for row in rows]

    def count_stale(self) -> tuple[int, int]:
        """(how many files are stale, their bytes). Raises DamagedCacheError."""
        files = size = 0
        if len(self.migrated) == len(self.found):
            return files, size
        for path in {path for cache in self.found for path in cache.paths()}:
            for row in self.rows(path, b"", None).values():
                if row.signature == STALE:
                    files += 1
                    size += entries.decode(row.entry).size
        return files, size

    def _is_well(self, row: Row) -> bool:
        return not row.entry or self.fitness.is_well(entries.decode(row.entry))


def tell_stale(context: JobContext, caches: Caches, tally: Tally) -> None:
    """Before a migration begins to read: how much of what it knows it stores anew. Raises DamagedCacheError."""
    if not isinstance(caches, Checked):
        return
    tally.stale_files, tally.stale_bytes = caches.count_stale()
    if tally.stale_files:
        files = "1 file" if tally.stale_files == 1 else f"{tally.stale_files:,} files"
        size = format_bytes(tally.stale_bytes)
        context.tell("information", f"migrate: {files} ({size}) were cut or named otherwise, so they are read again")
