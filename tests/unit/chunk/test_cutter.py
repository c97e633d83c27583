"""If these fail, files are cut elsewhere than before: nothing stored earlier is found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfastcdc.py import FastCDC as PurePythonFastCDC

from backupd.chunk.cutter import MAX_CHUNK_BYTES, Cutter

GOLDEN = Path(__file__).parents[2] / "golden" / "cuts.json"
CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["cases"]
AVERAGE = 4 << 10


def make_data(kind: str, size_bytes: int) -> bytes:
    if kind == "zeros":
        return bytes(size_bytes)
    return blake3(b"backupd golden cuts").digest(length=size_bytes)


def cut_by_steps(cutter: Cutter, data: bytes, steps: list[int]) -> list[int]:
    lengths: list[int] = []
    held, at, turn = b"", 0, 0
    while True:
        step = steps[turn % len(steps)]
        held, at, turn = held + data[at : at + step], at + step, turn + 1
        found = cutter.cut(held, is_last=at >= len(data))
        lengths += found
        held = held[sum(found) :]
        assert len(held) < cutter.maximum_bytes
        if at >= len(data):
            assert not held
            return lengths


def second_opinion(average_bytes: int, seed: int, data: bytes) -> list[int]:
    engine = PurePythonFastCDC(
        average_bytes,
        min_size=average_bytes // 4,
        max_size=min(average_bytes * 4, MAX_CHUNK_BYTES),
        normalized_chunking=1,
        seed=seed,
    )
    return [chunk.length for chunk in engine.cut_buf(data)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['average_bytes']}-{c['seed']}-{c['data']}")
def test_golden_cut_points(case: dict[str, Any]) -> None:
    data = make_data(case["data"], case["bytes"])
    assert Cutter(case["average_bytes"], case["seed"]).cut(data, is_last=True) == case["lengths"]
    assert second_opinion(case["average_bytes"], case["seed"], data) == case["lengths"]


@settings(max_examples=80, deadline=None)
@given(
    start=st.integers(0, 1 << 16),
    size_bytes=st.integers(0, 20 * AVERAGE),
    holes=st.lists(st.tuples(st.integers(0, 20 * AVERAGE), st.integers(1, 6 * AVERAGE)), max_size=3),
    steps=st.lists(st.integers(1, 9 * AVERAGE), min_size=1, max_size=8),
    seed=st.integers(0, (1 << 32) - 1),
)
def test_cuts_do_not_depend_on_how_the_file_is_read(
    start: int, size_bytes: int, holes: list[tuple[int, int]], steps: list[int], seed: int
) -> None:
    data = bytearray(blake3(b"any").digest(length=size_bytes, seek=start))
    for at, length in holes:
        data[at : at + length] = bytes(len(data[at : at + length]))
    cutter = Cutter(AVERAGE, seed)
    whole = cutter.cut(data, is_last=True)
    assert sum(whole) == size_bytes
    assert cut_by_steps(cutter, bytes(data), steps) == whole
    assert second_opinion(AVERAGE, seed, bytes(data)) == whole


def test_every_length_of_the_last_chunk_is_cut_alike() -> None:
    """Odd lengths are the trap: two bytes are looked at in a step."""
    data = make_data("xof", 8 * AVERAGE)
    cutter = Cutter(AVERAGE, 7)
    for size_bytes in range(3 * AVERAGE, 3 * AVERAGE + 9):
        assert cut_by_steps(cutter, data[:size_bytes], [AVERAGE + 1]) == cutter.cut(data[:size_bytes], is_last=True)


def test_a_full_buffer_always_gives_a_chunk() -> None:
    cutter = Cutter(1 << 20, 1)
    assert cutter.maximum_bytes == 4 << 20
    assert cutter.cut(bytes(4 << 20), is_last=False) == [4 << 20]
    assert cutter.cut(bytes((4 << 20) - 1), is_last=False) == []
    assert cutter.cut(b"", is_last=True) == []


@pytest.mark.parametrize(
    ("average_bytes", "seed"), [(2 << 10, 0), (8 << 20, 0), (20_000, 0), (1 << 14, 1 << 32), (1 << 14, -1)]
)
def test_parameters_out_of_bounds_are_refused(average_bytes: int, seed: int) -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        Cutter(average_bytes, seed)


def test_the_largest_average_keeps_the_chunk_limit() -> None:
    assert Cutter(4 << 20, 0).maximum_bytes == MAX_CHUNK_BYTES
