"""Ways in which a disk or a hostile store spoils stored objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backupd.block.layout import BLOCK_HEADER_BYTES, unpack_header

Damage = Callable[[Path], None]


def flip(share: float) -> Damage:
    """Turn one bit over; share: where, from 0 (first byte) to 1 (last byte)."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(int(share * len(data)), len(data) - 1)] ^= 0x10
        _rewrite(path, bytes(data))

    return damage


def truncate(share: float) -> Damage:
    """Keep so much of the beginning."""

    def damage(path: Path) -> None:
        data = path.read_bytes()
        _rewrite(path, data[: int(share * len(data))])

    return damage


def zero(start: float, end: float) -> Damage:
    """Write zeros over a stretch."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        first, last = int(start * len(data)), max(int(end * len(data)), int(start * len(data)) + 1)
        data[first:last] = bytes(last - first)
        _rewrite(path, bytes(data))

    return damage


def append(path: Path) -> None:
    """Add bytes at the end."""
    _rewrite(path, path.read_bytes() + b"\0" * 100)


def delete(path: Path) -> None:
    """Take the object away."""
    path.unlink()


def swap(path: Path, other: Path) -> None:
    """Put each object under the other's name."""
    mine, theirs = path.read_bytes(), other.read_bytes()
    _rewrite(path, theirs)
    _rewrite(other, mine)


DAMAGES: dict[str, Damage] = {
    "a bit at the beginning": flip(0.0),
    "a bit in the clear head": lambda path: flip(20 / max(path.stat().st_size, 21))(path),
    "a bit in the middle": flip(0.5),
    "a bit at the end": flip(1.0),
    "cut in half": truncate(0.5),
    "empty": truncate(0.0),
    "zeros in the middle": zero(0.4, 0.6),
    "zeros all over": zero(0.0, 1.0),
    "longer": append,
}


def blocks_of(place: Path, *contents: int) -> list[Path]:
    """Whole blocks of these contents, the largest first."""
    found = [path for path in place.glob("r*/blocks/*/*") if _content(path) in contents]
    return sorted(found, key=lambda path: -path.stat().st_size)


def _content(path: Path) -> int:
    return unpack_header(path.read_bytes()[:BLOCK_HEADER_BYTES], bytes.fromhex(path.name)).content


def _rewrite(path: Path, data: bytes) -> None:
    """As a new file: copies of a place share their objects by hard links."""
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o600)
