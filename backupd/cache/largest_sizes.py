"""The largest size that each path is kept with, over the snapshots of a repository: what an account's quota counts.

Paths are hashes of 8 bytes, so a path takes 16 bytes here and on the disk; of ten million paths two that fall together
are met once in 300,000 repositories. One file a place, worth nothing without the snapshots that it names: whatever is
odd about it, it is made anew from these. Layout, in the byte order of the machine that made it: `_HEADER` (magic, bytes
of the notes, count of paths, BLAKE3 of both and of all that follows), notes as msgpack, hashes as u64 ascending, sizes
as u64.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from bisect import bisect_left

import msgspec
from blake3 import blake3

from backupd import durable_io
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

KEY_BYTES = 8
_MAGIC = b"BKDSIZ1" + sys.byteorder[:1].encode()
_LENGTHS = struct.Struct("=QQ")
_HEADER = struct.Struct("=8sQQ32s")
_SHARD_BITS = 10
"""A path that is put in moves those of its shard: ten thousand of ten million."""
_SHARDS = 1 << _SHARD_BITS
_SHIFT = 8 * KEY_BYTES - _SHARD_BITS


class _Notes(msgspec.Struct, frozen=True, array_like=True):
    counted: list[str]
    partly: list[str]
    passed: list[str]


class LargestSizes:
    """In memory: sorted arrays by the upper bits of the hash."""

    def __init__(self) -> None:
        self._keys = [array("Q") for _ in range(_SHARDS)]
        self._sizes = [array("Q") for _ in range(_SHARDS)]
        self.total_bytes = 0
        """Sum of the sizes."""
        self.counted: set[str] = set()
        """Names of the snapshots whose files are all in it."""
        self.partly: set[str] = set()
        """Names of those of which a part could not be read."""
        self.passed: set[str] = set()
        """Names of those that do not count, as partial ones."""

    def __len__(self) -> int:
        """How many paths there are."""
        return sum(map(len, self._keys))

    @property
    def held(self) -> set[str]:
        """Names of the snapshots that something in it comes from."""
        return self.counted | self.partly

    def add(self, key: bytes, size_bytes: int) -> None:
        """A version of a path; the largest one counts. key: KEY_BYTES."""
        number = int.from_bytes(key, "big")
        keys, sizes = self._keys[number >> _SHIFT], self._sizes[number >> _SHIFT]
        at = bisect_left(keys, number)
        if at == len(keys) or keys[at] != number:
            keys.insert(at, number)
            sizes.insert(at, size_bytes)
            self.total_bytes += size_bytes
        elif sizes[at] < size_bytes:
            self.total_bytes += size_bytes - sizes[at]
            sizes[at] = size_bytes

    def save(self, path: str) -> None:
        """Replace the file. Raises StateFullError, AccessError, StateError."""
        notes = msgspec.msgpack.encode(_Notes(sorted(self.counted), sorted(self.partly), sorted(self.passed)))
        body = [memoryview(notes), *(memoryview(one).cast("B") for one in (*self._keys, *self._sizes) if one)]
        lengths = (len(notes), len(self))
        hasher = blake3(_LENGTHS.pack(*lengths))
        for piece in body:
            hasher.update(piece)
        try:
            durable_io.replace(path, [_HEADER.pack(_MAGIC, *lengths, hasher.digest()), *body])
        except OSError as error:
            raise translated(error, path) from error

    def _fill(self, keys: array[int], sizes: array[int]) -> None:
        start = 0
        for shard in range(_SHARDS):
            end = bisect_left(keys, (shard + 1) << _SHIFT) if shard + 1 < _SHARDS else len(keys)
            self._keys[shard], self._sizes[shard] = keys[start:end], sizes[start:end]
            start = end
        self.total_bytes = sum(sizes)


def load(path: str) -> LargestSizes | None:
    """What a file holds; None where there is none to trust."""
    keys, sizes = array("Q"), array("Q")
    try:
        with open(path, "rb") as file:
            magic, notes_bytes, paths, check = _HEADER.unpack(file.read(_HEADER.size))
            if magic != _MAGIC or os.fstat(file.fileno()).st_size != _HEADER.size + notes_bytes + 16 * paths:
                return None
            text = file.read(notes_bytes)
            keys.fromfile(file, paths)
            sizes.fromfile(file, paths)
        hasher = blake3(_LENGTHS.pack(notes_bytes, paths))
        for piece in (memoryview(text), *(memoryview(one).cast("B") for one in (keys, sizes) if one)):
            hasher.update(piece)
        if hasher.digest() != check:
            return None
        notes = msgspec.msgpack.decode(text, type=_Notes)
    except (OSError, EOFError, struct.error, *MALFORMED):
        return None
    found = LargestSizes()
    found._fill(keys, sizes)
    found.counted, found.partly, found.passed = set(notes.counted), set(notes.partly), set(notes.passed)
    return found
