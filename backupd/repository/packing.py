"""A worker's open segment: chunks are grouped, compressed, sealed into the ring and checked there."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence

from backupd.block.segment import MAX_CHUNKS, Segment, pack
from backupd.chunk.identity import Identity
from backupd.errors import CheckFailedError, DamageError
from backupd.model.work import RepositorySetup, Sealed
from backupd.seal.cipher import EpochName
from backupd.seal.compression import LEVEL_NUMBERS, NONE, Compressor, Decompressor
from backupd.seal.segment_seal import SegmentOpener, SegmentSealer

SEGMENT_BYTES = 1 << 20
_ATTEMPTS = 3

Allocate = Callable[[int], int]
"""Gives the ring offset for so many bytes, waiting until there is room."""
Free = Callable[[int], None]
"""Takes back what begins at a ring offset."""
_OPEN_MOST = 8


class SegmentPacker:
    """One worker's open segment."""

    def __init__(
        self,
        setup: RepositorySetup,
        compression: str,
        is_checked: bool,
        memory: mmap.mmap,
        allocate: Allocate,
        free: Free,
        mask: int = 1,
    ) -> None:
        """mask: bits of the destinations that its segments go to."""
        self._mask = mask
        number, random, data_key = setup.epochs[-1]
        epoch = EpochName(number, random)
        self._sealer = SegmentSealer(setup.repository_id, epoch, data_key, setup.cipher)
        self._opener = SegmentOpener(setup.repository_id, setup.cipher, lambda _: data_key)
        self._identity = Identity(setup.chunk_id_key)
        self._level = LEVEL_NUMBERS[compression]
        self._compressor, self._plain_keeper = Compressor(compression), Compressor("none")
        self._decompressor = Decompressor()
        self._memory, self._allocate, self._free, self._is_checked = memory, allocate, free, is_checked
        self._chunks: list[bytes | memoryview] = []
        self._salts: list[bytes] = []
        self._ids: list[bytes] = []
        self._bytes = 0
        self._is_compressible = True

    def add(self, chunk: bytes | memoryview, chunk_id: bytes, salt: bytes, is_compressible: bool) -> Sealed | None:
        """Append a chunk; gives a sealed segment when this one did not fit or filled it."""
        sealed = None
        is_other = bool(self._chunks) and is_compressible is not self._is_compressible
        if is_other or (self._chunks and self._bytes + len(chunk) > 2 * SEGMENT_BYTES):
            sealed = self.flush()
        self._is_compressible = is_compressible
        self._chunks.append(chunk)
        self._salts.append(salt)
        self._ids.append(chunk_id)
        self._bytes += len(chunk)
        if sealed is None and (self._bytes >= SEGMENT_BYTES or len(self._chunks) >= MAX_CHUNKS):
            sealed = self.flush()
        return sealed

    @property
    def open_bytes(self) -> int:
        """Plain bytes of the open segment."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether the open segment should be flushed before anything else is added."""
        return self._bytes >= SEGMENT_BYTES

    def flush(self) -> Sealed | None:
        """Seal what is open; None when nothing is."""
        if not self._chunks:
            return None
        plain = pack(self._chunks, self._salts)
        compressor = self._compressor if self._is_compressible else self._plain_keeper
        compression, body = compressor.compress(plain)
        for attempt in range(_ATTEMPTS):
            sealed = self._sealer.seal(body)
            offset = self._allocate(len(sealed))
            self._memory[offset : offset + len(sealed)] = sealed
            if not self._is_checked or self._comes_back(offset, len(sealed), compression, len(plain)):
                break
            self._free(offset)
            # Compressed again from the chunks: the fault may lie in the compressed bytes, too.
            compression, body = compressor.compress(pack(self._chunks, self._salts))
            if attempt == _ATTEMPTS - 2:
                compression, body = NONE, plain
        else:
            raise CheckFailedError(
                "sealed bytes do not come back as they were: memory or processor are faulty",
                hint="test this machine's memory before trusting it with backups",
            )
        message = Sealed(
            offset,
            len(sealed),
            len(plain),
            compression,
            self._sealer.salt,
            self._sealer.counter,
            b"".join(self._ids),
            self._mask,
            self._level,
        )
        self._chunks, self._salts, self._ids, self._bytes = [], [], [], 0
        return message

    # Inside

    def _comes_back(self, offset: int, length: int, compression: int, plain_bytes: int) -> bool:
        # Decrypts from the very memory that the uploader reads, not from a copy.
        with memoryview(self._memory) as memory:
            body = self._open(memory[offset : offset + length])
        if body is None:
            return False
        try:
            segment = Segment(self._decompressor.decompress(compression, body, plain_bytes, "a segment"))
        except DamageError:
            return False
        return len(segment) == len(self._ids) and all(
            self._identity.chunk_id(segment.chunk(at), self._salts[at]) == chunk_id
            for at, chunk_id in enumerate(self._ids)
        )

    def _open(self, sealed: memoryview) -> bytes | None:
        try:
            return self._opener.open(self._sealer.epoch, self._sealer.salt, self._sealer.counter, sealed)
        except DamageError:
            return None
        finally:
            sealed.release()


class OpenSegments:
    """The open segments of one worker: one for each group of destinations that lack what is in it (DESIGN 5)."""

    def __init__(self, make: Callable[[int], SegmentPacker]) -> None:
        """make: a packer for a mask."""
        self._make = make
        self._packers: dict[int, SegmentPacker] = {}

    def add(
        self, mask: int, chunk: bytes | memoryview, chunk_id: bytes, salt: bytes, is_compressible: bool
    ) -> Sequence[Sealed]:
        """Append a chunk that the destinations of the mask lack; gives the segments that are sealed by it."""
        packer = self._packers.get(mask)
        evicted = None
        if packer is None:
            if len(self._packers) >= _OPEN_MOST:
                fullest = max(self._packers, key=lambda known: self._packers[known].open_bytes)
                evicted = self._packers.pop(fullest).flush()
            packer = self._packers[mask] = self._make(mask)
        sealed = packer.add(chunk, chunk_id, salt, is_compressible)
        if evicted is None and sealed is None and not packer.is_full:
            return ()
        return _some(evicted, sealed, packer.flush() if packer.is_full else None)

    def flush(self) -> Sequence[Sealed]:
        """Seal all that is open."""
        return _some(*(packer.flush() for packer in self._packers.values()))


def _some(*segments: Sealed | None) -> list[Sealed]:
    return [sealed for sealed in segments if sealed is not None]
