"""Merging index objects: levels of eight, so that their number stays small (docs/format.md, Index objects)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from backupd.index.layout import (
    ENTRY,
    ENTRY_BYTES,
    MAX_ENTRIES,
    MAX_OBJECT_BYTES,
    SEGMENT,
    SEGMENT_BYTES,
    BlockRow,
    IndexContents,
)

_FAN_IN = 8
_LOWEST_LEVEL_ENTRIES = 512
_PARTITION_ENTRIES = 1 << 15
_MERGED_BYTES = MAX_OBJECT_BYTES - (1 << 16)
"""A merged object is smaller than its parts together but for the names that it replaces."""
_DROPPED = -1


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


def merge(
    inputs: Sequence[IndexContents], replaces: Sequence[str], dead: Collection[bytes] = frozenset()
) -> IndexContents:
    """One table of several; where a chunk stands in several, the place in the first input is kept: newest first.

    replaces: names of the inputs. dead: ids of blocks that are left out with all that lies in them. The generation is
    the lowest of the inputs'. The caller keeps the sum of the inputs under the limits (`plan_merge` does).
    """
    blocks: dict[bytes, int] = {}
    rows: list[BlockRow] = []
    segments = bytearray()
    known: dict[bytes, int] = {}
    maps: list[array[int]] = []
    shared = _named_twice(inputs)
    for contents in inputs:
        numbers = array("q")
        for row in contents.blocks:
            if row.block_id not in dead and row.block_id not in blocks:
                blocks[row.block_id] = len(rows)
                rows.append(row)
            numbers.append(blocks.get(row.block_id, _DROPPED))
        is_shared = [row.block_id in shared for row in contents.blocks]
        mapped = array("q")
        for block, offset, stored_bytes, plain_bytes in SEGMENT.iter_unpack(contents.segments):
            if numbers[block] == _DROPPED:
                mapped.append(_DROPPED)
                continue
            record = SEGMENT.pack(numbers[block], offset, stored_bytes, plain_bytes)
            number = len(segments) // SEGMENT_BYTES
            if is_shared[block]:
                number = known.setdefault(record, number)
            if number * SEGMENT_BYTES == len(segments):
                segments += record
            mapped.append(number)
        maps.append(mapped)
    entries = b"".join(_merge_entries(inputs, maps))
    generation = min((contents.generation for contents in inputs), default=0)
    return IndexContents(entries, bytes(segments), rows, list(replaces), generation)


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


def _named_twice(inputs: Sequence[IndexContents]) -> set[bytes]:
    seen: set[bytes] = set()
    twice: set[bytes] = set()
    for contents in inputs:
        ids = {row.block_id for row in contents.blocks}
        twice |= seen & ids
        seen |= ids
    return twice


def _merge_entries(inputs: Sequence[IndexContents], maps: Sequence[array[int]]) -> Iterator[bytes]:
    """The merged entries, a part of the id space at a time: as Python objects they take four times their bytes."""
    total = sum(contents.entry_count for contents in inputs)
    step = max(1, 256 * _PARTITION_ENTRIES // max(total, 1))
    starts = [0] * len(inputs)
    for bound in range(step, 256 + step, step):
        ends = [_lower_bound(contents, bound) for contents in inputs]
        found: dict[bytes, bytes] = {}
        for contents, mapped, start, end in reversed(list(zip(inputs, maps, starts, ends, strict=True))):
            part = memoryview(contents.entries)[start * ENTRY_BYTES : end * ENTRY_BYTES]
            pack = ENTRY.pack
            rows = ENTRY.iter_unpack(part)
            found.update({i: pack(i, mapped[s], position) for i, s, position in rows if mapped[s] != _DROPPED})
        yield b"".join([found[chunk_id] for chunk_id in sorted(found)])
        starts = ends


def _lower_bound(contents: IndexContents, first_byte: int) -> int:
    """Number of the first entry whose id begins with that byte or a higher one."""
    rows = range(contents.entry_count)
    return bisect_left(rows, first_byte, key=lambda row: contents.entries[row * ENTRY_BYTES])
