"""What a stopped run has of a large file: taken wrongly, the next one stores a file with pieces in the wrong places."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from backupd.operations.backup.known_parts import covered, known_parts
from backupd.source.extents import ExtentMap, pack_extents

MIB = 1 << 20
SPARSE = pack_extents([(0, 3 * MIB), (10 * MIB, 5 * MIB), (40 * MIB, MIB), (50 * MIB, 11 * MIB)])


@pytest.mark.parametrize("packed", [b"", SPARSE])
def test_parts_come_back_as_they_were_stored(packed: bytes) -> None:
    random = Random(3)
    mapped = ExtentMap(packed, 100 * MIB)
    for _ in range(200):
        borders = sorted(random.sample(range(mapped.content_bytes), 6))
        ranges = [(borders[0], borders[1]), (borders[2], borders[3]), (borders[4], borders[5])]
        chunks = [_cut(random, start, end) for start, end in ranges]
        found = ExtentMap(covered(mapped, ranges), 100 * MIB)
        parts = known_parts(mapped, found, [chunk for part in chunks for chunk in part])
        assert parts is not None
        assert [(part.start, part.end) for part in parts] == ranges
        assert [part.ids for part in parts] == [b"".join(chunk_id for chunk_id, _ in part) for part in chunks]


def test_all_of_a_file_is_one_part() -> None:
    mapped = ExtentMap(b"", 5 * MIB)
    parts = known_parts(mapped, ExtentMap(b"", 5 * MIB), [(b"a" * 32, 2 * MIB), (b"b" * 32, 3 * MIB)])
    assert parts is not None
    assert [(part.start, part.end, list(part.lengths)) for part in parts] == [(0, 5 * MIB, [2 * MIB, 3 * MIB])]


def test_what_does_not_fit_the_file_is_not_used() -> None:
    """Other holes than then, chunks that end elsewhere, too few, too many."""
    mapped, known = ExtentMap(SPARSE, 100 * MIB), ExtentMap(pack_extents([(10 * MIB, 2 * MIB)]), 100 * MIB)
    assert known_parts(mapped, known, [(b"a" * 32, 2 * MIB)]) is not None
    assert known_parts(mapped, ExtentMap(pack_extents([(4 * MIB, 2 * MIB)]), 100 * MIB), [(b"a" * 32, 2 * MIB)]) is None
    assert known_parts(mapped, ExtentMap(pack_extents([(MIB, 4 * MIB)]), 100 * MIB), [(b"a" * 32, 4 * MIB)]) is None
    assert known_parts(mapped, known, [(b"a" * 32, 3 * MIB)]) is None
    assert known_parts(mapped, known, [(b"a" * 32, MIB)]) is None
    assert known_parts(mapped, known, [(b"a" * 32, 2 * MIB), (b"b" * 32, 1)]) is None


def _cut(random: Random, start: int, end: int) -> list[tuple[bytes, int]]:
    borders = [start, *sorted(random.sample(range(start + 1, end), min(3, end - start - 1))), end]
    return [(random.randbytes(32), right - left) for left, right in pairwise(borders)]
