"""Merging index objects: levels of eight, so that their number stays small (docs/format.md, Index objects)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from backupd.index.layout import (
    ENTRY,
    ENTRY_BYTES,
    ID_BYTES,
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
_IsAbsent = Callable[[bytes, int], bool]


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


_NO_DOUBTS = Doubts()


def merge(inputs: Sequence[IndexContents], replaces: Sequence[str], doubts: Doubts = _NO_DOUBTS) -> IndexContents:
    """The last one of `merge_all`: of a chunk with several places, the first that is not in doubt."""
    return merge_all(inputs, replaces, doubts)[-1]


def merge_all(
    inputs: Sequence[IndexContents], replaces: Sequence[str], doubts: Doubts = _NO_DOUBTS
) -> list[IndexContents]:
    """Tables that say together what the inputs say: the last one has each chunk, the others its further places.

    No place is forgotten but those in dead blocks: a cleaner may be about to delete the block of any other one, and a
    writer may have said that it goes on relying on this one. replaces: names of the inputs, which the last one is to
    carry, for it comes when the others stand. The generation is the lowest of the inputs'. The caller keeps the sum of
    the inputs under the limits (`plan_merge` does).
    """
    dead = doubts.dead
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
    further: list[list[bytes]] = []
    damage = Doubts(absent_blocks=doubts.bad_blocks, absent_places=doubts.absent_places)
    is_bad = _absence(damage, rows, bytes(segments))
    entries = b"".join(_merge_entries(inputs, maps, _absence(doubts, rows, bytes(segments)), further, is_bad))
    generation = min((contents.generation for contents in inputs), default=0)
    merged = IndexContents(entries, bytes(segments), rows, list(replaces), generation)
    return [*(_only(merged, b"".join(layer)) for layer in further), merged]


def _only(merged: IndexContents, entries: bytes) -> IndexContents:
    """A table of these entries alone, whose segments are numbered as in another one."""
    wanted = sorted({segment for _, segment, _ in ENTRY.iter_unpack(entries)})
    numbers = {old: new for new, old in enumerate(wanted)}
    records = [SEGMENT.unpack_from(merged.segments, SEGMENT_BYTES * old) for old in wanted]
    blocks = {old: new for new, old in enumerate(sorted({record[0] for record in records}))}
    return IndexContents(
        b"".join(ENTRY.pack(i, numbers[segment], position) for i, segment, position in ENTRY.iter_unpack(entries)),
        b"".join(SEGMENT.pack(blocks[record[0]], *record[1:]) for record in records),
        [merged.blocks[old] for old in blocks],
        [],
        merged.generation,
    )


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


def _absence(doubts: Doubts, rows: Sequence[BlockRow], segments: bytes) -> _IsAbsent | None:
    """Tells of (chunk id, merged segment) whether that place counts as absent; None where none does."""
    if not doubts.absent_blocks and not doubts.absent_places:
        return None
    in_part = {place[:ID_BYTES] for place in doubts.absent_places}
    whole = [row.block_id in doubts.absent_blocks for row in rows]
    part = [row.block_id if row.block_id in in_part else b"" for row in rows]
    blocks = array("I", [block for block, _, _, _ in SEGMENT.iter_unpack(segments)])

    def is_absent(chunk_id: bytes, segment: int) -> bool:
        block = blocks[segment]
        return whole[block] or (bool(part[block]) and part[block] + chunk_id in doubts.absent_places)

    return is_absent


def _merge_entries(
    inputs: Sequence[IndexContents],
    maps: Sequence[array[int]],
    is_absent: _IsAbsent | None,
    further: list[list[bytes]],
    is_bad: _IsAbsent | None,
) -> Iterator[bytes]:
    """The merged entries, a part of the id space at a time: as Python objects they take four times their bytes.

    further: gets what has no room there, the second place of each chunk in its first list, the third in its second.
    """
    total = sum(contents.entry_count for contents in inputs)
    step = max(1, 256 * _PARTITION_ENTRIES // max(total, 1))
    starts = [0] * len(inputs)
    for bound in range(step, 256 + step, step):
        ends = [_lower_bound(contents, bound) for contents in inputs]
        found: dict[bytes, bytes] = {}
        sound: dict[bytes, bytes] = {}
        every: list[dict[bytes, bytes]] = []
        for contents, mapped, start, end in reversed(list(zip(inputs, maps, starts, ends, strict=True))):
            part = memoryview(contents.entries)[start * ENTRY_BYTES : end * ENTRY_BYTES]
            pack = ENTRY.pack
            rows = ENTRY.iter_unpack(part)
            here = {i: pack(i, mapped[s], position) for i, s, position in rows if mapped[s] != _DROPPED}
            found.update(here)
            every.append(here)
            if is_absent is not None:
                numbers = ENTRY.iter_unpack(b"".join(here.values()))
                sound.update({i: here[i] for i, s, _ in numbers if not is_absent(i, s)})
        # A chunk that was stored again because its place is bad has both: the good one must not be forgotten.
        found.update(sound)
        if sum(map(len, every)) > len(found):
            _add_further(found, every, further, is_bad)
        yield b"".join([found[chunk_id] for chunk_id in sorted(found)])
        starts = ends


def _add_further(
    found: dict[bytes, bytes],
    every: Sequence[dict[bytes, bytes]],
    further: list[list[bytes]],
    is_bad: _IsAbsent | None,
) -> None:
    """Places of a part of the id space that are not in the merged table, the newest first; bad ones are left out."""
    others: dict[bytes, list[bytes]] = {}
    for here in reversed(every):
        for chunk_id, entry in here.items():
            if entry == found[chunk_id] or entry in others.get(chunk_id, ()):
                continue
            if is_bad is None or not is_bad(chunk_id, ENTRY.unpack(entry)[1]):
                others.setdefault(chunk_id, []).append(entry)
    for chunk_id in sorted(others):
        for number, entry in enumerate(others[chunk_id]):
            if number == len(further):
                further.append([])
            further[number].append(entry)


def _lower_bound(contents: IndexContents, first_byte: int) -> int:
    """Number of the first entry whose id begins with that byte or a higher one."""
    rows = range(contents.entry_count)
    return bisect_left(rows, first_byte, key=lambda row: contents.entries[row * ENTRY_BYTES])
