"""Whether a file can be compressed: three samples of its content tell (docs/format.md, Cutting)."""

from __future__ import annotations

from collections.abc import Callable

from backupd.chunk.size_class import SAMPLE_BYTES
from backupd.seal.compression import Compressor


class Sampler:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._compressor = Compressor("fast")

    def is_compressible(self, byte_count: int, read: Callable[[int], bytes]) -> bool:
        """byte_count: of the content. read: gives SAMPLE_BYTES of it from there on, fewer at its end."""
        last = max(0, byte_count - SAMPLE_BYTES)
        return any(self._compressor.shrinks(read(at)) for at in (0, last // 2, last))
