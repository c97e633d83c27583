"""Looks many chunks up in one index table at once, column by column: a tenth of what one after the other takes.

Loads numpy, so only who goes through whole trees uses it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backupd.cache.index_table import OUTSIDE, IndexTable, prefixes_of
from backupd.index.columns import Numbers
from backupd.index.layout import ID_BYTES

_READ_RANKS = 8192
"""Ids of so many neighbours are read at once."""


class SegmentColumns(NamedTuple):
    """Of all segments of a table, by number."""

    block: Numbers
    """Number of the block in `IndexTable.blocks`."""
    stored_bytes: Numbers
    plain_bytes: Numbers
    chunks: Numbers
    """That the index object names."""


def look_up(table: IndexTable, ids: bytes, wanted: Numbers) -> tuple[Numbers, Numbers]:
    """(numbers, ranks) of the chunks that the table has. ids: 32 bytes a chunk. wanted: numbers of those to look up.

    Raises StateError as the methods of the table.
    """
    if not len(wanted) or not len(table):
        return _NONE, _NONE
    try:
        return _look_up(table, ids, wanted)
    except OUTSIDE as error:
        raise table.distrusted() from error


def segments_of(table: IndexTable) -> SegmentColumns:
    """All segments. Raises StateError."""
    try:
        rows = np.frombuffer(table.columns.segments, "=u4", 4 * table.segment_count).reshape(-1, 4).astype(np.int64)
        firsts = np.frombuffer(table.columns.firsts, "=u4", table.segment_count + 1).astype(np.int64)
        chunks = np.diff(firsts)
        is_sound = firsts[0] == 0 and firsts[-1] == len(table) and (chunks >= 0).all()
        if not is_sound or (rows[:, 0] >= sum(1 for _ in table.blocks())).any():
            raise IndexError
        return SegmentColumns(rows[:, 0], rows[:, 2], rows[:, 3], chunks)
    except OUTSIDE as error:
        raise table.distrusted() from error


def segment_numbers(table: IndexTable, ranks: Numbers) -> Numbers:
    """Of the segments that chunks of these ranks lie in."""
    firsts = np.frombuffer(table.columns.firsts, "=u4", table.segment_count)
    return np.searchsorted(firsts, ranks.astype(np.uint32), side="right") - 1


def _look_up(table: IndexTable, ids: bytes, wanted: Numbers) -> tuple[Numbers, Numbers]:
    prefixes = np.frombuffer(ids, ">u8")[:: ID_BYTES // 8][wanted].astype(np.uint64)
    # In their own order a search goes through the column once.
    order = np.argsort(prefixes)
    wanted, prefixes = wanted[order], prefixes[order]
    column = np.frombuffer(table.columns.prefixes, "=u8", len(table))
    rows = np.searchsorted(column, prefixes)
    is_inside = rows < len(column)
    is_inside[is_inside] = column[rows[is_inside]] == prefixes[is_inside]
    wanted, rows = wanted[is_inside], rows[is_inside]
    ranks = np.frombuffer(table.columns.ranks, "=u4", len(table))[rows].astype(np.int64)
    if len(ranks) and int(ranks.max()) >= len(table):
        raise IndexError(int(ranks.max()))
    asked = np.frombuffer(ids, np.uint8).reshape(-1, ID_BYTES)[wanted]
    is_same = (asked == _ids_at(table, ranks)).all(axis=1)
    if is_same.all():
        return wanted, ranks
    # Others begin with the same eight bytes: those are looked for one by one.
    rest = table.hits(ids, prefixes_of(ids), wanted[~is_same].tolist())
    numbers, found = (np.array(each, np.int64) for each in zip(*rest, strict=True)) if rest else (_NONE, _NONE)
    return np.concatenate([wanted[is_same], numbers]), np.concatenate([ranks[is_same], found])


def _ids_at(table: IndexTable, ranks: Numbers) -> NDArray[np.uint8]:
    """The ids of chunks of these ranks, a row each."""
    found = np.empty((len(ranks), ID_BYTES), np.uint8)
    pieces = ranks // _READ_RANKS
    order = np.argsort(pieces, kind="stable")
    starts = np.flatnonzero(np.diff(pieces[order], prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(order)]):
        rows = order[start:end]
        here = ranks[rows]
        first = int(here.min())
        data = table.ids_from(first, int(here.max()) + 1 - first)
        found[rows] = np.frombuffer(data, np.uint8).reshape(-1, ID_BYTES)[here - first]
    return found


_NONE: Numbers = np.empty(0, np.int64)
