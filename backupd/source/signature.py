"""What of an entry's stat tells that it did not change (DESIGN 7)."""

from __future__ import annotations

import os
import struct

_SIGNATURE = struct.Struct("<IIIQIQQQQ")
INODE_BYTES = 8
"""The inode's, at the end of a signature."""
YOUNG_NS = 60 * 1_000_000_000
YOUNG_ON_NETWORK_NS = 300 * 1_000_000_000
_MASK = (1 << 64) - 1


def signature(stat: os.stat_result) -> bytes:
    """56 bytes of type, mode, owner, size, links, device, mtime, ctime, inode; equal = trusted as the same."""
    return _SIGNATURE.pack(
        stat.st_mode,
        stat.st_uid & 0xFFFFFFFF,
        stat.st_gid & 0xFFFFFFFF,
        stat.st_size,
        stat.st_nlink & 0xFFFFFFFF,
        stat.st_rdev & _MASK,
        # Before 1970 negative, after 2262 over 63 bits.
        stat.st_mtime_ns & _MASK,
        stat.st_ctime_ns & _MASK,
        stat.st_ino & _MASK,
    )


def shape_of(signature: bytes) -> tuple[int, int, int] | None:
    """(mode, size, links) in a signature; None where that is none, as of what is not to be trusted."""
    if len(signature) != _SIGNATURE.size:
        return None
    mode, _, _, size, links, *_ = _SIGNATURE.unpack(signature)
    return mode, size, links


def is_young(stat: os.stat_result, began_ns: int, margin_ns: int = YOUNG_NS) -> bool:
    """Whether a later change could bear the same stamps.

    It could where the last one is younger than the margin at the moment when reading began, or in the future of it.
    """
    return max(stat.st_mtime_ns, stat.st_ctime_ns) > began_ns - margin_ns
