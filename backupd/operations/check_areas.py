"""What the areas of sets hold, counted beside a check's walk, and held against what was counted before (FEATURES 8.2).

Counted as a freeing does, but that nothing is read for it besides nodes in which versions of trees differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.cache import counted_areas
from backupd.cache.index_tables import IndexTables
from backupd.errors import AccessError, DamageError, StateError, StateFullError
from backupd.model.areas import Statistics
from backupd.operations.context import JobContext
from backupd.operations.freeing.walking import AreaCount, VersionCount, in_order
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.bad_places import BadPlaces, retired_in
from backupd.repository.grades import Grading
from backupd.repository.live_chunks import LiveChunks, Marked
from backupd.repository.object_check import SmallObjects
from backupd.rules import moments
from backupd.sizes import count, format_bytes
from backupd.snapshot.records import Snapshot
from backupd.tree.nodes import Load

_BATCH_CHUNKS = 32_768
"""Looked up at once."""
WRONG = "wrong"
_EXACT = ("files", "source_bytes", "plain_bytes")
"""What is the same whichever of two copies of a chunk is counted."""


class AreaRecount:
    """Of one walk over all snapshots of a repository, none of which lacks anything; else it counts nothing."""

    def __init__(self, place: OpenPlace, tables: IndexTables, objects: SmallObjects, listed: dict[bytes, int]) -> None:
        """listed: sizes of the blocks that lie there."""
        self._place, self._objects, self._listed = place, objects, listed
        self._tables = tables
        self._versions = VersionCount()
        self._marks: LiveChunks | None = None
        self._areas = AreaCount({}, ())
        self._before = Marked()
        self._ids, self._lengths = bytearray(), list[int]()

    def begin(self, snapshots: Sequence[SnapshotAt], bad: BadPlaces) -> list[Snapshot]:
        """Begin anew; gives the snapshots in the order in which they are to be walked."""
        named = {at.name: at.snapshot for at in snapshots}
        living = self._objects.snapshots.keys() - self._objects.void
        self._marks = self._new_marks(bad) if named.keys() == living else None
        self._areas, self._before = AreaCount(named, ()), Marked()
        self._ids, self._lengths = bytearray(), []
        return in_order(named, ())

    def note(self, ids: bytes, lengths: Sequence[int]) -> None:
        """Chunks that the tree under way reaches: 32 bytes an id, plain bytes of each, 0 where that is not known."""
        if self._marks is None:
            return
        self._ids += ids
        self._lengths += lengths
        if len(self._lengths) >= _BATCH_CHUNKS:
            self._mark()

    def end(self, snapshot: Snapshot, load: Load) -> None:
        """A snapshot has been walked. load: gives tree nodes."""
        self._mark()
        if self._marks is None:
            return
        marked = self._marks.marked
        try:
            self._areas.add(snapshot, marked - self._before, lambda old, new: self._versions.beyond(old, new, load))
        except DamageError:
            self.give_up()
        self._before = marked

    def give_up(self) -> None:
        """Something can't be had, or is not to be walked."""
        self._marks = None

    @property
    def is_counted(self) -> bool:
        """Whether all snapshots that stand were walked, and lack nothing."""
        return self._marks is not None

    def result(self, context: JobContext) -> dict[str, Any] | None:
        """What was counted, beside what was before, which it is kept in place of; None: nothing was counted."""
        if self._marks is None or not self._areas.of:
            return None
        now_ns, repository = context.clock.now_ns(), self._place.repository.text_id
        stored_bytes, counted = sum(self._listed.values()), self._areas.sets()
        found = Statistics(
            repository=repository, as_of_ns=now_ns, stored_bytes=stored_bytes, sets=counted, of=self._areas.of
        )
        before = counted_areas.load(self._place.cache)
        before = before if before is not None and before.repository == repository else None
        try:
            counted_areas.keep(self._place.cache, found)
        except (StateFullError, StateError, AccessError) as error:
            context.warn(f"{error.message}; bkctl info goes on showing older figures")
        told: dict[str, Any] = msgspec.to_builtins(found)
        for one in told["sets"]:
            one["before"], one["agree"] = _held_against(one, before, self._areas.of)
        as_of = moments.rfc3339(before.as_of_ns, context.zone) if before is not None else None
        return {**told, "as_of": moments.rfc3339(now_ns, context.zone), "before_as_of": as_of}

    def _new_marks(self, bad: BadPlaces) -> LiveChunks:
        objects = self._objects
        sizes = ((row.block_id, row.size_bytes) for row in self._tables.blocks())
        misshapen = {block_id for block_id, size in sizes if self._listed.get(block_id, size) != size}
        retired = retired_in(objects.damage)
        grading = Grading(self._listed.keys(), objects.deleted, objects.absent, bad, misshapen, retired)
        parity = self._place.repository.keyring.configuration.parity
        return LiveChunks(self._tables, grading.grade, parity, bad.chunks.keys())

    def _mark(self) -> None:
        if self._marks is not None and self._lengths and self._marks.mark(bytes(self._ids), self._lengths):
            self.give_up()
        self._ids, self._lengths = bytearray(), []


def lines(areas: dict[str, Any] | None) -> list[str]:
    """For the log, a line for each set: what was counted, what was before, and whether both agree."""
    return [_line(one, areas["before_as_of"]) for one in areas["sets"]] if areas is not None else []


def _line(one: dict[str, Any], as_of: str | None) -> str:
    now = f"areas of {one['set']}: recomputed {_figures(one)}"
    if one["before"] is None:
        return f"{now}; not counted before"
    verdict = {True: "right", False: WRONG, None: "snapshots came or went since"}[one["agree"]]
    return f"{now}; as of {as_of} {_figures(one['before'])}: {verdict}"


def _figures(one: dict[str, Any]) -> str:
    told = []
    for name in ("data", "retention"):
        area = one[name]
        sizes = f"{format_bytes(area['source_bytes'])} in {format_bytes(area['stored_bytes'])}"
        told.append(f"{name} {count(area['files'], 'file')}, {sizes}")
    return ", ".join(told)


def _held_against(one: dict[str, Any], before: Statistics | None, of: str) -> tuple[dict[str, Any] | None, bool | None]:
    """What was counted of a set before, and whether it is still right; None: it can't be told."""
    former = next((old for old in before.sets if old.set_id == one["set_id"]), None) if before is not None else None
    if former is None or before is None:
        return None, None
    told: dict[str, Any] = msgspec.to_builtins(former)
    areas = {name: told[name] for name in ("data", "retention")}
    if before.of != of:
        return areas, None
    return areas, all(areas[name][what] == one[name][what] for name in areas for what in _EXACT)
