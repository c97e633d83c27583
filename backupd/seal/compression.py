"""Compression of segments and objects; decompression is bounded by a length that was authenticated before."""

from __future__ import annotations

from typing import Literal

import zstandard

from backupd.errors import FormatError

NONE = 0
ZSTD = 1

Level = Literal["none", "fast", "normal", "best"]
LEVELS: dict[str, int] = {"none": 0, "fast": 1, "normal": 3, "best": 12}
LEVEL_NUMBERS: dict[str, int] = {"none": 1, "fast": 2, "normal": 3, "best": 4}
"""As frame headers say them, the stronger the higher."""
_WORTH = 0.97
"""Compressed bytes above this share of the plain ones are not worth decompressing at every read."""


class Compressor:
    """Compresses buffers at one level; not for several threads at once."""

    def __init__(self, level: str) -> None:
        self._zstd = zstandard.ZstdCompressor(level=LEVELS[level], write_content_size=True) if LEVELS[level] else None

    def compress(self, plain: bytes) -> tuple[int, bytes]:
        """(compression number, bytes): what does not shrink stays as it is."""
        if self._zstd is not None and len(plain) > 32:
            small = self._zstd.compress(plain)
            if len(small) < len(plain) * _WORTH:
                return ZSTD, small
        return NONE, plain

    def shrinks(self, sample: bytes) -> bool:
        """Whether compressing data like this sample is worth while."""
        return self.compress(sample)[0] != NONE


class Decompressor:
    """Gives plain bytes back; not for several threads at once."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=1 << 27)

    def decompress(self, compression: int, data: bytes, plain_bytes: int, what: str) -> bytes:
        """Exactly `plain_bytes` bytes; never allocates more. Raises FormatError otherwise."""
        if compression == NONE:
            plain = data
        elif compression == ZSTD:
            plain = self._inflate(data, plain_bytes, what)
        else:
            raise FormatError(f"{what}: unknown compression {compression}")
        if len(plain) != plain_bytes:
            raise FormatError(f"{what}: {len(plain)} bytes where {plain_bytes} are announced")
        return plain

    def _inflate(self, data: bytes, plain_bytes: int, what: str) -> bytes:
        try:
            # The frame's own size is whatever was written into it: the bound is ours, not the frame's.
            if zstandard.frame_content_size(data) != plain_bytes:
                raise FormatError(f"{what}: the compressed frame announces another size")
            return self._zstd.decompress(data, max_output_size=plain_bytes)
        except zstandard.ZstdError as error:
            raise FormatError(f"{what} can't be decompressed: {error}") from error
