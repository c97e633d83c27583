"""A directory's names cut into stretches that begin where the cached ones do, so that one edit dirties one of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from backupd.cache.file_cache import PieceRef

SLICE_NAMES = 4096


class Stretch(NamedTuple):
    """Names that are looked at together, and the span of names that they stand for."""

    names: list[bytes]
    """May be empty where a cached piece had names of that span."""
    low: bytes
    high: bytes | None
    """From `low` to before `high`; None: to the end. The spans of a directory follow each other without gaps."""
    cached: PieceRef | None
    """The cached piece whose whole span this is."""


def cut_stretches(names: Sequence[bytes], pieces: Sequence[PieceRef]) -> Iterator[Stretch]:
    """Cut a directory's names, in byte order, by the borders of its cached pieces; at least one stretch comes.

    A piece that grew over twice 4096 names is cut; names without a piece come 4096 at a time.
    """
    if not names:
        yield Stretch([], b"", None, pieces[0] if len(pieces) == 1 else None)
        return
    at, low, used = 0, b"", 0
    while at < len(names):
        border = pieces[used + 1].first_name if used + 1 < len(pieces) else None
        most = at + (2 * SLICE_NAMES if used < len(pieces) else SLICE_NAMES)
        end = min(len(names), most)
        if border is not None:
            end = min(end, bisect_left(names, border, at))
        is_whole = end == len(names) or (border is not None and names[end] >= border)
        high = border if is_whole else names[end]
        yield Stretch(list(names[at:end]), low, high, pieces[used] if is_whole and used < len(pieces) else None)
        at, low = end, high or b""
        used += is_whole
    if used < len(pieces):
        yield Stretch([], low, None, None)
