"""Source trees that a seed gives again: mixed files for first backups, sparse files for resuming."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

MIB = 1 << 20
_WORDS = [b"backup", b"snapshot", b"chunk", b"the", b"of", b"segment", b"and", b"0123456789", b"\n"]


def build_tree(root: Path, random: Random, size_bytes: int) -> None:
    """Fill a new directory: half of the bytes in a few large files, half in many small ones; a third shrinks."""
    root.mkdir(parents=True)
    left = size_bytes // 2
    while left > 0:
        size = min(left, random.randint(9 * MIB, 9 * MIB + size_bytes // 10))
        _write(root / f"large-{left}", random, size)
        left -= size
    left = size_bytes // 2
    while left > 0:
        folder = root / f"d{random.randrange(30)}" / f"e{random.randrange(5)}"
        folder.mkdir(parents=True, exist_ok=True)
        size = min(left, int(random.paretovariate(0.6) * 500), 4 * MIB)
        _write(folder / f"small-{left}", random, size)
        left -= size
    os.symlink("d0", root / "link")
    (root / "empty").mkdir()


def change_tree(root: Path, random: Random, size_bytes: int) -> None:
    """Write about so many new bytes below a directory: new files, whole new contents, a few bytes in place; some go."""
    root.mkdir(parents=True, exist_ok=True)
    left = size_bytes
    while left > 0:
        path = root / f"d{random.randrange(5)}" / f"f{random.randrange(25)}"
        path.parent.mkdir(exist_ok=True)
        size = min(left, random.choice((3, 5_000, 40_000, 400_000, MIB)))
        if path.exists() and random.random() < 0.2:
            path.unlink()
        elif path.exists() and path.stat().st_size > size and random.random() < 0.5:
            with path.open("r+b") as file:
                file.seek(random.randrange(path.stat().st_size - size))
                file.write(random.randbytes(size))
        else:
            path.write_bytes(random.randbytes(size))
        left -= size


def build_sparse(path: Path, random: Random, size_bytes: int, data_bytes: int, piece_bytes: int) -> None:
    """A file of that size with random data in pieces at random places, the first of them at its start."""
    places = sorted(random.sample(range(1, size_bytes // piece_bytes), data_bytes // piece_bytes - 1))
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for place in (0, *places):
            file.seek(place * piece_bytes)
            for _ in range(piece_bytes // MIB):
                file.write(random.randbytes(MIB))


def _write(path: Path, random: Random, size: int) -> None:
    is_text = random.random() < 0.33
    with path.open("wb") as file:
        while size > 0:
            part = b" ".join(random.choices(_WORDS, k=20_000)) if is_text else random.randbytes(min(size, MIB))
            file.write(part[:size])
            size -= len(part)
