"""Whatever bytes a store gives for a block: a verdict, never a crash, and nothing wrong is called good."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backupd.block.assembler import BlockAssembler, FinishedBlock
from backupd.block.layout import DATA, TRAILER_BYTES, FrameHeader, block_name
from backupd.block.segment import pack
from backupd.chunk.identity import ZERO_SALT, Identity
from backupd.destination.contract import Destination
from backupd.errors import ObjectMissingError
from backupd.model.work import RepositorySetup
from backupd.repository.verifying import BlockVerifier
from backupd.seal.cipher import EpochName
from backupd.seal.compression import Compressor
from backupd.seal.segment_seal import SegmentSealer
from tests.support.drawn import drawn

REPOSITORY = bytes(range(16))
EPOCHS = [(1, b"12345678", bytes([1]) * 32), (2, b"abcdefgh", bytes([2]) * 32)]
KEY = bytes([3]) * 32


def _setup() -> RepositorySetup:
    return RepositorySetup(REPOSITORY, "aes-256-gcm", KEY, EPOCHS, "")


class _Nowhere:
    """A destination without objects; the bytes are given by hand."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        raise ObjectMissingError(f"{name} is not there")


def _verifier() -> BlockVerifier:
    place: Destination = _Nowhere()  # type: ignore[assignment]
    return BlockVerifier(place, _setup())


def _block(segments: int = 5, *, epoch: int = 0) -> tuple[FinishedBlock, bytes]:
    number, random, data_key = EPOCHS[epoch]
    name = EpochName(number, random)
    assembler = BlockAssembler(REPOSITORY, name, data_key, "aes-256-gcm", DATA)
    sealer = SegmentSealer(REPOSITORY, name, data_key, "aes-256-gcm")
    identity, compressor = Identity(KEY), Compressor("fast")
    for at in range(segments):
        salts = [ZERO_SALT, bytes([at]) * 32]
        chunks = [os.urandom(50) + bytes(400), b"text " * (at + 1)]
        plain = pack(chunks, salts)
        compression, body = compressor.compress(plain)
        sealed = sealer.seal(body)
        ids = b"".join(identity.chunk_id(chunk, salt) for chunk, salt in zip(chunks, salts, strict=True))
        frame = FrameHeader(sealer.salt, sealer.counter, len(sealed), len(plain), name, 2, compression)
        assembler.add(frame, ids, sealed)
    block = assembler.finish()
    block.complete()
    return block, b"".join(block.buffers)


BLOCK, BYTES = _block()
TRUE = {s.offset: (s.stored_bytes, s.plain_bytes, s.ids) for s in BLOCK.segments}


def _is_fair(data: bytes) -> bool:
    """Whether the verdict calls good only what was stored, and has problems where anything differs."""
    verdict = _verifier().verify_bytes(BLOCK.block_id, data, len(BYTES))
    is_true = all(TRUE[offset] == tuple(rest) for offset, *rest in verdict.segments)
    is_known = all(code.startswith(("damage.", "version.")) for code, _ in verdict.problems)
    return is_true and is_known and (not verdict.problems) == (data == BYTES)


def test_a_whole_block_is_good() -> None:
    verdict = _verifier().verify_bytes(BLOCK.block_id, BYTES, len(BYTES))
    assert verdict.problems == []
    assert (len(verdict.segments), verdict.content, verdict.size_bytes) == (5, DATA, BLOCK.size_bytes)


def test_a_block_of_an_older_epoch_opens_though_its_header_is_spoilt() -> None:
    """80 bytes in clear must not cost 32 MiB."""
    for epoch in (0, 1):
        block, data = _block(epoch=epoch)
        for at in range(80):
            spoilt = bytearray(data)
            spoilt[at] ^= 0xFF
            verdict = _verifier().verify_bytes(block.block_id, bytes(spoilt))
            assert len(verdict.segments) == 5
            assert verdict.problems


def test_a_block_under_another_name_is_not_good() -> None:
    """A store that answers with another block must be caught."""
    other, _ = _block()
    verdict = _verifier().verify_bytes(other.block_id, BYTES)
    assert verdict.segments == []
    assert verdict.problems


def test_segments_behind_a_bad_one_are_still_good() -> None:
    spoilt = bytearray(BYTES)
    second = BLOCK.segments[1]
    spoilt[second.offset + 100] ^= 1
    verdict = _verifier().verify_bytes(BLOCK.block_id, bytes(spoilt))
    assert [offset for offset, *_ in verdict.segments] == [s.offset for s in BLOCK.segments if s is not second]
    assert len(verdict.problems) == 1
    assert str(second.offset) in verdict.problems[0][1]


def test_without_trailer_and_directory_the_frames_are_walked() -> None:
    last = BLOCK.segments[-1]
    verdict = _verifier().verify_bytes(BLOCK.block_id, BYTES[: last.offset + 96 + last.stored_bytes])
    assert {offset: tuple(rest) for offset, *rest in verdict.segments} == TRUE
    assert verdict.problems


def test_a_missing_block_is_a_verdict() -> None:
    verdict = _verifier().verify(BLOCK.block_id)
    assert verdict.problems == [("destination.object_missing", f"{block_name(BLOCK.block_id)} is not there")]


@settings(max_examples=drawn(400, by_night=1500))
@given(st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(1, 255)), min_size=1, max_size=4))
@example([(0, 1)])
@example([(5, 8)])
def test_any_changed_bytes_are_found(changes: list[tuple[int, int]]) -> None:
    data = bytearray(BYTES)
    for at, value in changes:
        data[at] ^= value
    assert _is_fair(bytes(data))


@settings(max_examples=drawn(200, by_night=500))
@given(st.integers(0, len(BYTES)), st.integers(0, len(BYTES)), st.binary(max_size=200))
def test_any_cut_or_insertion_is_found(start: int, end: int, between: bytes) -> None:
    data = BYTES[:start] + between + BYTES[end:]
    assert _is_fair(data)


@settings(max_examples=drawn(200, by_night=500))
@given(st.binary(max_size=1000), st.booleans())
def test_foreign_bytes_are_refused(data: bytes, has_head: bool) -> None:
    data = BYTES[:176] + data if has_head else data
    verdict = _verifier().verify_bytes(BLOCK.block_id, data)
    assert verdict.segments == []
    assert verdict.problems


@pytest.mark.parametrize("field", range(12, 36, 4))
def test_a_trailer_that_announces_too_much_costs_no_memory(field: int) -> None:
    """Lengths in clear are anyone's."""
    data = bytearray(BYTES)
    start = len(data) - TRAILER_BYTES + field
    data[start : start + 4] = b"\xff\xff\xff\x7f"
    tracemalloc.start()
    verdict = _verifier().verify_bytes(BLOCK.block_id, bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert verdict.problems
    assert peak < 4 << 20
