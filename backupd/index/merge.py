"""Merging index objects: levels of eight, so that their number stays small (docs/format.md, Index objects)."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from backupd.index.layout import MAX_ENTRIES, MAX_OBJECT_BYTES, IndexContents

_FAN_IN = 8
_LOWEST_LEVEL_ENTRIES = 512
_MERGED_BYTES = MAX_OBJECT_BYTES - (1 << 16)
"""A merged object is smaller than its parts together but for the names that it replaces."""


class IndexSize(NamedTuple):
    """An index object, as far as planning needs it."""

    name: str
    entries: int
    size_bytes: int


def level_of(entries: int) -> int:
    """floor(log8(entries / 512)), not below 0."""
    return max(0, ((entries // _LOWEST_LEVEL_ENTRIES).bit_length() - 1) // 3)


def plan_merge(objects: Sequence[IndexSize]) -> list[list[str]]:
    """Which objects to merge into one, group by group; mostly none. objects: in force, that is not replaced.

    Objects over half of a limit are left alone: two of them are no object any more.
    """
    levels: dict[int, list[IndexSize]] = {}
    for candidate in sorted(objects, key=lambda o: (o.entries, o.name)):
        if candidate.entries <= MAX_ENTRIES // 2 and candidate.size_bytes <= _MERGED_BYTES // 2:
            levels.setdefault(level_of(candidate.entries), []).append(candidate)
    groups = [group for level in levels.values() for group in _groups(level)]
    return [[member.name for member in group] for group in groups]


def plan_together(objects: Sequence[IndexSize]) -> list[list[str]]:
    """Objects that are all to be written anew, in their order, as many at a time as fit into one."""
    groups: list[list[IndexSize]] = []
    for one in objects:
        if groups and _fit_together([*groups[-1], one]):
            groups[-1].append(one)
        else:
            groups.append([one])
    return [[member.name for member in group] for group in groups]


class Doubts(NamedTuple):
    """What is not to be relied on when tables are merged."""

    dead: Collection[bytes] = frozenset()
    """Ids of blocks that are left out with all that lies in them."""
    absent_blocks: Collection[bytes] = frozenset()
    """Ids of blocks whose places are kept only of chunks that have no other."""
    absent_places: Collection[bytes] = frozenset()
    """Block id + chunk id of single places that are kept only where there is no other."""
    bad_blocks: Collection[bytes] = frozenset()
    """Ids of blocks among them that are damaged: nobody relies on what lies there."""


NO_DOUBTS = Doubts()


def merge(inputs: Sequence[IndexContents], replaces: Sequence[str], doubts: Doubts = NO_DOUBTS) -> IndexContents:
    """The last one of `merge_all`: of a chunk with several places, the first that is not in doubt."""
    return merge_all(inputs, replaces, doubts)[-1]


def merge_all(
    inputs: Sequence[IndexContents], replaces: Sequence[str], doubts: Doubts = NO_DOUBTS
) -> list[IndexContents]:
    """Tables that say together what the inputs say: the last one has each chunk, the others its further places.

    No place is forgotten but those in dead blocks: a cleaner may be about to delete the block of any other one, and a
    writer may have said that it goes on relying on this one. inputs: the newest first. replaces: names of the inputs,
    which the last one is to carry, for it comes when the others stand. The generation is the lowest of the inputs'.
    The caller keeps the sum of the inputs under the limits (`plan_merge` does).
    """
    # Loaded where there is something to merge: numpy takes longer to load than all else that a run needs.
    columns = importlib.import_module("backupd.index.merge_columns")
    merged: list[IndexContents] = columns.merge_all(inputs, replaces, doubts)
    return merged


def _groups(level: list[IndexSize]) -> Iterator[list[IndexSize]]:
    """Eights of one level, smallest first; fewer where eight would break a limit."""
    rest = level
    while len(rest) >= _FAN_IN:
        count = 2
        while count < _FAN_IN and _fit_together(rest[: count + 1]):
            count += 1
        yield rest[:count]
        rest = rest[count:]


def _fit_together(group: Sequence[IndexSize]) -> bool:
    entries = sum(member.entries for member in group)
    return entries <= MAX_ENTRIES and sum(member.size_bytes for member in group) <= _MERGED_BYTES
