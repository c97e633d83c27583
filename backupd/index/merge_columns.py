"""Index objects merged column by column: a tenth of what one entry after the other takes. Loads numpy.

A part of the id space at a time, for the columns of all of it would take several times the bytes of the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from backupd.index.columns import ENTRY_RECORD, Entries, Flags, Numbers, Segments
from backupd.index.layout import ENTRY_BYTES, BlockRow, IndexContents
from backupd.index.merge import Doubts

_PART_ENTRIES = 1 << 17
_DROPPED = -1
_Tells = Callable[[Entries], Flags]


def merge_all(inputs: Sequence[IndexContents], replaces: Sequence[str], doubts: Doubts) -> list[IndexContents]:
    """As `merge.merge_all`."""
    rows, segments, numbers = _merge_segments(inputs, doubts.dead)
    is_absent = _in_doubt(doubts.absent_blocks, doubts.absent_places, rows, segments)
    is_bad = _in_doubt(doubts.bad_blocks, doubts.absent_places, rows, segments)
    found: list[bytes] = []
    further: list[list[Entries]] = []
    for entries in _parts(inputs, numbers):
        chosen, layers = _choose(entries, is_absent, is_bad)
        found.append(chosen.tobytes())
        further += [[] for _ in layers[len(further) :]]
        for layer, more in zip(further, layers, strict=False):
            layer.append(more)
    generation = min((contents.generation for contents in inputs), default=0)
    merged = IndexContents(b"".join(found), segments.tobytes(), rows, list(replaces), generation)
    return [*(_only(merged, segments, np.concatenate(layer, dtype=ENTRY_RECORD)) for layer in further), merged]


def _merge_segments(
    inputs: Sequence[IndexContents], dead: Collection[bytes]
) -> tuple[list[BlockRow], Segments, list[Numbers]]:
    """Blocks and segments of all inputs, each once; and by input which of them each of its segments is."""
    blocks: dict[bytes, int] = {}
    rows: list[BlockRow] = []
    times: list[int] = []
    records: list[Segments] = [np.empty((0, 4), "<u4")]
    kept: list[Flags] = []
    for contents in inputs:
        numbers: list[int] = []
        for row in contents.blocks:
            if row.block_id in dead:
                numbers.append(_DROPPED)
                continue
            number = blocks.setdefault(row.block_id, len(rows))
            if number == len(rows):
                rows.append(row)
                times.append(0)
            times[number] += 1
            numbers.append(number)
        table = np.frombuffer(contents.segments, "<u4").reshape(-1, 4)
        block = np.array(numbers, np.int64)[table[:, 0]]
        kept.append(block != _DROPPED)
        living = table[kept[-1]]
        living[:, 0] = block[kept[-1]]
        records.append(living)
    every = np.concatenate(records, dtype="<u4")
    is_shared = (np.array(times, np.int64) > 1)[every[:, 0]]
    first = _first_equal(every, np.flatnonzero(is_shared))
    is_new = first == np.arange(len(every))
    merged_numbers: Numbers = (np.cumsum(is_new) - 1)[first]
    return rows, every[is_new], _by_input(merged_numbers, kept)


def _first_equal(records: Segments, shared: Numbers) -> Numbers:
    """Of each segment the number of the first that equals it, itself for all that are not among the shared."""
    first: Numbers = np.arange(len(records))
    if len(shared):
        _, firsts, inverse = np.unique(records[shared], axis=0, return_index=True, return_inverse=True)
        first[shared] = shared[firsts[inverse.reshape(-1)]]
    return first


def _by_input(numbers: Numbers, kept: Sequence[Flags]) -> list[Numbers]:
    found: list[Numbers] = []
    start = 0
    for is_kept in kept:
        mapped: Numbers = np.full(len(is_kept), _DROPPED, np.int64)
        end = start + int(is_kept.sum())
        mapped[is_kept] = numbers[start:end]
        found.append(mapped)
        start = end
    return found


def _in_doubt(
    blocks: Collection[bytes], places: Collection[bytes], rows: Sequence[BlockRow], segments: Segments
) -> _Tells | None:
    """Tells which entries lie in these blocks, or are one of the places (block id + chunk id); None where none is."""
    if not blocks and not places:
        return None
    partly = {place[:32] for place in places}
    is_whole = np.array([row.block_id in blocks for row in rows], np.bool_)
    is_partly = np.array([row.block_id in partly for row in rows], np.bool_)

    def tell(entries: Entries) -> Flags:
        block = segments[entries["segment"], 0]
        found: Flags = is_whole[block]
        for at in np.flatnonzero(is_partly[block] & ~found).tolist():
            found[at] = rows[block[at]].block_id + entries["id"][at].tobytes() in places
        return found

    return tell


def _parts(inputs: Sequence[IndexContents], numbers: Sequence[Numbers]) -> Iterator[Entries]:
    """All entries by merged segment, sorted by id, those of one id the newest first; dropped ones are left out."""
    step = max(1, 256 * _PART_ENTRIES // max(1, sum(contents.entry_count for contents in inputs)))
    bounds = [*range(0, 256, step), 256]
    cuts = [
        np.searchsorted(np.frombuffer(contents.entries, np.uint8)[::ENTRY_BYTES], bounds).tolist()
        for contents in inputs
    ]
    for part in range(len(bounds) - 1):
        pieces = [np.empty(0, ENTRY_RECORD)]
        for contents, mapped, cut in zip(inputs, numbers, cuts, strict=True):
            piece = np.frombuffer(contents.entries, ENTRY_RECORD)[cut[part] : cut[part + 1]]
            segment = mapped[piece["segment"]]
            is_kept = segment != _DROPPED
            piece = piece[is_kept]
            piece["segment"] = segment[is_kept]
            pieces.append(piece)
        yield _sorted(np.concatenate(pieces, dtype=ENTRY_RECORD))


def _sorted(entries: Entries) -> Entries:
    words = _words(entries)
    order = np.argsort(words[:, 0], kind="stable")
    in_order = words[order]
    tied = np.flatnonzero(in_order[1:, 0] == in_order[:-1, 0])
    if (in_order[tied] != in_order[tied + 1]).any():
        # Ids are hashes: different ones that begin with the same eight bytes are met by those who look for them.
        order = np.lexsort(words.T[::-1])
    return entries[order]


def _words(entries: Entries) -> NDArray[np.uint64]:
    """Ids as four numbers each, which have the same order."""
    words = np.ascontiguousarray(entries["id"]).view(">u8").reshape(-1, 4)
    return words.astype(np.uint64)


def _choose(entries: Entries, is_absent: _Tells | None, is_bad: _Tells | None) -> tuple[Entries, list[Entries]]:
    """A place of each chunk, the first that is not absent; and all second places, all third ones, and so on.

    Bad ones are left out of these, and what several inputs say of one place is one place.
    """
    words = _words(entries)
    is_first = np.ones(len(entries), np.bool_)
    is_first[1:] = (words[1:] != words[:-1]).any(axis=1)
    if is_first.all():
        return entries, []
    chunk = np.cumsum(is_first) - 1
    # A chunk that was stored again because its place is bad has both: the good one must not be forgotten.
    best = np.lexsort((is_absent(entries), chunk)) if is_absent is not None else np.arange(len(entries))
    chosen = entries[best[is_first]]
    places = np.stack([chunk, entries["segment"], entries["position"]], axis=1)
    is_other = (places[:, 1] != chosen["segment"][chunk]) | (places[:, 2] != chosen["position"][chunk])
    if is_bad is not None:
        is_other &= ~is_bad(entries)
    others = np.flatnonzero(is_other)
    _, firsts = np.unique(places[others], axis=0, return_index=True)
    others = others[np.sort(firsts)]
    nth = np.arange(len(others)) - np.searchsorted(chunk[others], chunk[others])
    return chosen, [entries[others[nth == number]] for number in range(int(nth.max(initial=-1)) + 1)]


def _only(merged: IndexContents, segments: Segments, entries: Entries) -> IndexContents:
    """A table of these entries alone, whose segments are numbered as in another one."""
    wanted, segment = np.unique(entries["segment"], return_inverse=True)
    records = segments[wanted]
    blocks, block = np.unique(records[:, 0], return_inverse=True)
    entries["segment"], records[:, 0] = segment, block
    rows = [merged.blocks[number] for number in blocks.tolist()]
    return IndexContents(entries.tobytes(), records.tobytes(), rows, [], merged.generation)
