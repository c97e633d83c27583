"""The plain inside of a segment: neighbouring chunks and the salts their ids were made with."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from backupd.errors import FormatError

MAX_CHUNK_BYTES = 8 << 20
MAX_SEGMENT_BYTES = 16 << 20
MAX_CHUNKS = 65_535
ZERO_SALT = bytes(32)
_HEAD = struct.Struct("<HH")
_RUN = struct.Struct("<H32s")


def pack(chunks: Sequence[bytes | memoryview], salts: Sequence[bytes]) -> bytes:
    """Plain bytes of a segment. `salts`: the scope salt of each chunk, as many as chunks."""
    runs: list[tuple[int, bytes]] = []
    for salt in salts:
        if runs and runs[-1][1] == salt:
            runs[-1] = (runs[-1][0] + 1, salt)
        else:
            runs.append((1, salt))
    if runs and runs[-1][1] == ZERO_SALT:
        runs.pop()
    head = _HEAD.pack(len(chunks), len(runs)) + struct.pack(f"<{len(chunks)}I", *map(len, chunks))
    return b"".join((head, *(_RUN.pack(count, salt) for count, salt in runs), *chunks))


class Segment:
    """A decoded segment: its chunks by position, with the salt each id was made with."""

    __slots__ = ("lengths", "offsets", "plain", "salts")

    def __init__(self, plain: bytes) -> None:
        """Read plain bytes. Raises FormatError."""
        if len(plain) < _HEAD.size:
            raise FormatError("a segment is too short")
        count, run_count = _HEAD.unpack_from(plain)
        at = _HEAD.size + 4 * count
        if at + _RUN.size * run_count > len(plain):
            raise FormatError("a segment is cut off in its lengths")
        self.lengths = struct.unpack_from(f"<{count}I", plain, _HEAD.size)
        self.salts: list[bytes] = []
        for _ in range(run_count):
            chunks, salt = _RUN.unpack_from(plain, at)
            at += _RUN.size
            if len(self.salts) + chunks > count:
                raise FormatError("a segment has more salts than chunks")
            self.salts += [salt] * chunks
        self.salts += [ZERO_SALT] * (count - len(self.salts))
        if at + sum(self.lengths) != len(plain):
            raise FormatError("a segment's lengths do not add up")
        self.offsets: list[int] = []
        for length in self.lengths:
            self.offsets.append(at)
            at += length
        self.plain = memoryview(plain)

    def __len__(self) -> int:
        return len(self.lengths)

    def chunk(self, position: int) -> memoryview:
        """Bytes of one chunk. Raises FormatError beyond the last."""
        if position >= len(self.lengths):
            raise FormatError(f"a segment of {len(self.lengths)} chunks has no chunk {position}")
        start = self.offsets[position]
        return self.plain[start : start + self.lengths[position]]
