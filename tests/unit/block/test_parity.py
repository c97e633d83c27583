"""The code of the parity part: what is within its strength comes back bit by bit, and nothing wrong ever does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.block.galois import Sums, fill
from backupd.block.layout import MAX_BLOCK_BYTES, TRAILER_BYTES, digest_of, unpack_trailer
from backupd.block.parity import encode, make_end, repair
from backupd.block.parity_layout import SECTOR_BYTES, Description, Geometry, geometry, most_data_bytes
from backupd.errors import DamageError

PERCENTS = st.integers(1, 20)
SIZES = st.one_of(st.integers(2, 9000), st.integers(9000, 900_000))
SEEDS = st.integers(0, 1 << 32)


def _whole(data_bytes: int, percent: int, seed: int) -> tuple[bytes, Geometry]:
    data = random.Random(seed).randbytes(data_bytes)
    about = Description(percent, 0, data_bytes, data_bytes - 1, digest_of([data]))
    part = encode([data[: data_bytes // 3], data[data_bytes // 3 :]], about)
    end = make_end(about, part)
    return b"".join((data, part, end, digest_of([data, part, end]))), geometry(data_bytes, percent)


@settings(max_examples=25)
@given(st.integers(SECTOR_BYTES, 900_000), PERCENTS, SEEDS)
def test_a_run_as_long_as_the_parity_comes_back(data_bytes: int, percent: int, seed: int) -> None:
    """A stretch of the disk that is gone, wherever it lies: in data, parity, trailer, or over their ends."""
    whole, shape = _whole(data_bytes, percent, seed)
    length = shape.parity_sectors * SECTOR_BYTES
    starts = [0, len(whole) - length, data_bytes - length, data_bytes - length // 2, data_bytes]
    starts += [data_bytes + shape.first_parity - length // 2, data_bytes + shape.second_table]
    starts += [data_bytes + shape.first_parity, random.Random(seed).randrange(len(whole))]
    for start in {max(0, at) // SECTOR_BYTES * SECTOR_BYTES for at in starts}:
        damaged = bytearray(whole)
        damaged[start : start + length] = bytes(len(damaged[start : start + length]))
        assert repair(bytes(damaged)).data == whole, start


@settings(max_examples=40)
@given(SIZES, PERCENTS, SEEDS)
def test_as_many_sectors_of_each_group_as_it_has_parity_come_back(data_bytes: int, percent: int, seed: int) -> None:
    """Flipped bits all over the block, in its tables of checksums and its end, too."""
    whole, shape = _whole(data_bytes, percent, seed)
    draw = random.Random(seed)
    damaged = bytearray(whole)
    first_parity = data_bytes + shape.first_parity
    for group in range(shape.groups):
        data = range(group, shape.sectors, shape.groups)
        sectors = [(sector * shape.sector_bytes, data_bytes) for sector in data]
        turned = (group - shape.sectors) % shape.groups
        parity = [row * shape.groups + turned for row in range(shape.parities)]
        sectors += [(first_parity + sector * shape.sector_bytes, len(whole)) for sector in parity]
        for start, end in draw.sample(sectors, min(shape.parities, len(sectors))):
            at = draw.randrange(start, min(start + shape.sector_bytes, end))
            damaged[at] ^= draw.randrange(1, 256)
    # One of the two copies of each byte of the tables, and all of the trailer.
    table = draw.choice((data_bytes, data_bytes + shape.second_table))
    damaged[table + draw.randrange(shape.table_bytes)] ^= 1
    damaged[-TRAILER_BYTES:] = draw.randbytes(TRAILER_BYTES)
    repaired = repair(bytes(damaged))
    assert repaired.data == whole
    assert repaired.sectors <= shape.parities * shape.groups


@settings(max_examples=60)
@given(st.integers(2, 60_000), PERCENTS, SEEDS, st.integers(0, 60), st.integers(0, 20_000))
def test_whatever_is_damaged_the_right_bytes_or_an_error(
    data_bytes: int, percent: int, seed: int, flips: int, cut_bytes: int
) -> None:
    """A repair that makes up bytes would put them into a restored file, were it not for the seals."""
    whole, _ = _whole(data_bytes, percent, seed)
    draw = random.Random(seed)
    damaged = bytearray(whole)
    for _ in range(flips):
        damaged[draw.randrange(len(damaged))] ^= draw.randrange(256)
    try:
        found = repair(bytes(damaged[: max(0, len(damaged) - cut_bytes)]))
    except DamageError:
        return
    assert found.data == whole


def test_one_sector_over_the_strength_is_told() -> None:
    """What can't be healed is said to be lost, and not given otherwise."""
    whole, shape = _whole(400_000, 5, 1)
    damaged = bytearray(whole)
    for row in range(shape.parities + 1):
        damaged[row * shape.groups * shape.sector_bytes] ^= 1
    with pytest.raises(DamageError, match=f"more of it is lost than its parity makes up for, in 1 of {shape.groups} "):
        repair(bytes(damaged))


def test_a_cut_end_and_bytes_behind_it() -> None:
    """A copy that was broken off, or a file that a file system made longer."""
    whole, shape = _whole(400_000, 5, 2)
    assert repair(whole[: -(shape.parity_sectors * shape.sector_bytes)]).data == whole
    assert repair(whole + b"more").data == whole


def test_sums_with_the_wrong_data_are_not_believed() -> None:
    """Sectors that have their checksum and are not what was written: the digest of all says no."""
    data = bytes(9000)
    about = Description(5, 1, len(data), 80, bytes(32))
    part = encode([data], about)
    with pytest.raises(DamageError, match="not what was written"):
        repair(data + part + bytes(TRAILER_BYTES))


@pytest.mark.parametrize("parities", [1, 2, 3, 4])
def test_any_so_many_rows_come_back(parities: int) -> None:
    """The code itself, at the longest group there is."""
    draw = random.Random(parities)
    rows = [draw.randbytes(6) for _ in range(200)]
    code = Sums(parities, 6)
    for row in rows:
        code.add(memoryview(row))
    words = [*rows, *code.parity()]
    for _ in range(60):
        damaged = bytearray(b"".join(words))
        lost = {group: sorted(draw.sample(range(len(words)), parities)) for group in range(3)}
        for group, positions in lost.items():
            for position in positions:
                damaged[6 * position + 2 * group : 6 * position + 2 * group + 2] = bytes(2)
        with memoryview(damaged) as view:
            fill(view[: 6 * 200], view[6 * 200 :], parities, 2, lost)
        assert bytes(damaged[: 6 * 200]) == b"".join(rows)


def test_a_full_block_stays_within_its_size_and_its_code() -> None:
    """A block that outgrows what readers take, or a group that outgrows the field, can't be read at all."""
    for percent in range(1, 21):
        most = most_data_bytes(64 << 20, percent, TRAILER_BYTES)
        assert most + geometry(most, percent).part_bytes + TRAILER_BYTES <= 64 << 20
        for data_bytes in (2, 4096, 4097, 300_000, 5_000_000, most, MAX_BLOCK_BYTES):
            shape = geometry(data_bytes, percent)
            assert shape.rows + shape.parities <= 255
            assert (shape.rows - 1) * shape.groups < shape.sectors <= shape.rows * shape.groups
        share = geometry(most, percent).part_bytes / most
        assert percent / 100 <= share <= percent / 100 + 0.006


def test_the_trailer_says_where_parity_lies() -> None:
    """A reader of format 1 that knows no parity finds the directory, and the digest of all, where they always were."""
    whole, shape = _whole(5000, 5, 3)
    trailer = unpack_trailer(whole[-TRAILER_BYTES:], len(whole), "x")
    assert (trailer.directory_offset, trailer.directory_bytes, trailer.frame_count) == (4999, 1, 0)
    assert trailer.digest == digest_of([whole[:-32]])
    assert len(whole) == 5000 + shape.part_bytes + TRAILER_BYTES
