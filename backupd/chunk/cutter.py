"""Where a file is cut: the one narrow function around the FastCDC library (docs/format.md, Cutting)."""

from __future__ import annotations

from backupd import plain_typing

with plain_typing():
    from pyfastcdc import FastCDC

MAX_CHUNK_BYTES = 8 << 20
MIN_AVERAGE_BYTES = 4 << 10
MAX_AVERAGE_BYTES = 4 << 20


class Cutter:
    """Cuts content into chunks by its own bytes; the same bytes give the same cuts however they are read.

    Not for several threads at once.
    """

    def __init__(self, average_bytes: int, seed: int) -> None:
        """average_bytes: a power of two, 4 KiB to 4 MiB. seed: u32, the repository's `chunker_seed`."""
        in_bounds = MIN_AVERAGE_BYTES <= average_bytes <= MAX_AVERAGE_BYTES
        if not in_bounds or average_bytes.bit_count() != 1 or not 0 <= seed < 1 << 32:
            raise ValueError(f"average {average_bytes} or seed {seed} is out of bounds")
        self.maximum_bytes = min(average_bytes * 4, MAX_CHUNK_BYTES)
        """No chunk is longer; what `cut` leaves of a buffer is shorter."""
        self._engine = FastCDC(
            average_bytes,
            min_size=average_bytes // 4,
            max_size=self.maximum_bytes,
            normalized_chunking=1,
            seed=seed,
        )

    def cut(self, buffer: bytes | bytearray | memoryview, is_last: bool) -> list[int]:
        """Lengths of the finished chunks at the front of `buffer`, which begins where a chunk begins; may be empty.

        Unless is_last, bytes behind them could still belong to a longer chunk: the caller puts them in front of its
        next buffer. A buffer of `maximum_bytes` or more always gives a chunk. With is_last the lengths add up to the
        whole buffer; the end of a file and the end of a region are such ends.
        """
        lengths = [chunk.length for chunk in self._engine.cut_buf(buffer)]
        # Bytes decide on a cut before the byte behind it, so a chunk that reaches the end of the buffer was ended by
        # that end, unless it is as long as a chunk can be.
        if lengths and not is_last and lengths[-1] < self.maximum_bytes:
            lengths.pop()
        return lengths
