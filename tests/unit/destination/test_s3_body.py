"""Buffers as a file: what is signed must be what is sent."""

from __future__ import annotations

import io
import random

from backupd.destination.s3.body import JOINED_BYTES, Body, body_of


def test_it_reads_as_a_file_of_the_same_bytes() -> None:
    """Else an object is stored that differs from what was sealed."""
    chance = random.Random(4)
    for _ in range(100):
        buffers = [chance.randbytes(chance.choice((0, 1, 1000, 200_000))) for _ in range(chance.randrange(6))]
        whole = b"".join(buffers)
        body = Body([memoryview(buffer) for buffer in buffers])
        start = chance.randrange(len(whole) + 1)
        assert body.seek(start) == start
        rest = bytearray()
        while piece := body.read(chance.choice((1, 16_384, 1 << 20))):
            rest += piece
            assert body.tell() == start + len(rest)
        assert rest == whole[start:]
        assert (body.seek(0, io.SEEK_END), body.seek(-len(whole), io.SEEK_CUR)) == (len(whole), 0)


def test_no_bytes_are_copied() -> None:
    """Else each block takes its size in memory once more for each connection."""
    data = bytes(JOINED_BYTES + 1)
    body, size_bytes = body_of([data])
    assert isinstance(body, Body)
    piece = body.read()
    assert isinstance(piece, memoryview)
    assert (piece.obj is data, size_bytes) == (True, len(data))
    assert body_of([b"small", b" one"]) == (b"small one", 9)
