"""The damage matrix: what is damaged (kinds), how (mutations), and where, drawn of a seed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.lived_in import LivedIn

_HEAD_BYTES = 80 + 96
"""A block's header and its first frame header."""
_TRAILER_BYTES = 96
_MAGIC, _FREE = b"\x89BKD", (6, 7, *range(12, 16))
_DATA, _TREE = 1, 2
_ZEROED_BYTES = 4096

PLACE: dict[str, str] = {
    "repository text": "r*/repository.json*",
    "once.json": "once.json",
    "key slot": "r*/keys/*",
    "keyring": "r*/keyring/*",
    "block head": "r*/blocks/*/*",
    "data segment": "r*/blocks/*/*",
    "tree segment": "r*/blocks/*/*",
    "block end": "r*/blocks/*/*",
    "index object": "r*/index/*",
    "snapshot": "r*/snapshots/*/*",
    "session": "r*/sessions/*/*",
    "gc list or drop": "r*/gc/*",
    "damage record": "r*/damage/*",
    "note": "r*/notes/*",
    "temporary file": "r*/tmp/*",
}
"""Kinds of objects at the place, by the pattern of their names."""
LOCAL: dict[str, str] = {
    "kept key": "data/backupd/keys/*",
    "snapshots seen": "state/backupd/seen/*",
    "host and state id": "state/backupd/*.id",
    "index table": "cache/backupd/*/*/index/*",
    "file cache": "cache/backupd/*/*/files/*",
    "journal": "state/backupd/journals/*",
    "lock or mark": "state/backupd/[jw]*/*",
}
"""Kinds of files of the machine."""


@dataclass
class Spot:
    """What is damaged: a file, the part of it that is meant, and what else lies around."""

    above: Path
    """All that may change lies below it; what is foreign lies apart and stays as it is."""
    path: Path
    start: int
    end: int
    random: Random
    same: list[Path]
    """Others of its kind, of a foreign repository last."""
    others: list[Path]
    """Of other kinds."""
    older: Path | None
    """What stood there, or stood for it, earlier; None: nothing did."""
    told: str = ""
    """What was done."""
    is_in_free_bits: bool = False
    """Only bits of a sealed object's header were changed that a reader passes over: zero bytes, optional features."""
    hit: list[Path] = field(default_factory=list)
    """All files that are not what they were."""

    def write(self, data: bytes, path: Path | None = None) -> None:
        """As a new file: copies share objects by hard links."""
        path = path or self.path
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        if before != data:
            self.hit.append(path)


def _bit(spot: Spot) -> None:
    data = bytearray(spot.path.read_bytes())
    if data:
        at, bit = spot.random.randrange(spot.start, max(spot.end, spot.start + 1)), spot.random.randrange(8)
        data[at] ^= 1 << bit
        spot.is_in_free_bits = data.startswith(_MAGIC) and at in _FREE
        spot.told = f"bit {bit} of byte {at} of {len(data)}"
        spot.write(bytes(data))


def _empty(spot: Spot) -> None:
    spot.write(b"")


def _shorter(spot: Spot) -> None:
    spot.write(spot.path.read_bytes()[:-1])


def _half(spot: Spot) -> None:
    data = spot.path.read_bytes()
    spot.write(data[: len(data) // 2])


def _longer(spot: Spot) -> None:
    count = spot.random.choice((1, 100, 5000))
    spot.told = f"{count} bytes more"
    spot.write(spot.path.read_bytes() + spot.random.randbytes(count))


def _zeroed(spot: Spot) -> None:
    data = bytearray(spot.path.read_bytes())
    start = spot.random.randrange(spot.start, max(spot.end, spot.start + 1))
    end = min(start + _ZEROED_BYTES, len(data))
    data[start:end] = bytes(max(0, end - start))
    spot.told = f"bytes {start} to {end} of {len(data)}"
    spot.write(bytes(data))


def _deleted(spot: Spot) -> None:
    spot.path.unlink()
    spot.hit.append(spot.path)


def _swapped_same(spot: Spot) -> None:
    _swap(spot, spot.same)


def _swapped_other(spot: Spot) -> None:
    _swap(spot, spot.others)


def _older(spot: Spot) -> None:
    if spot.older is None:
        _deleted(spot)
    else:
        spot.told = f"now {spot.older}"
        spot.write(spot.older.read_bytes())


def _swap(spot: Spot, with_one_of: list[Path]) -> None:
    other = spot.random.choice(with_one_of)
    spot.told = f"with {other}"
    mine, theirs = spot.path.read_bytes(), other.read_bytes()
    spot.write(theirs)
    if other.is_relative_to(spot.above):
        spot.write(mine, other)


MUTATIONS: dict[str, Callable[[Spot], None]] = {
    "bit": _bit,
    "empty": _empty,
    "1 shorter": _shorter,
    "half": _half,
    "longer": _longer,
    "zeroed": _zeroed,
    "deleted": _deleted,
    "swap same": _swapped_same,
    "swap other": _swapped_other,
    "older": _older,
}


@dataclass(frozen=True)
class Case:
    """One damage; `seed` alone draws the rest."""

    kind: str
    mutation: str
    seed: str

    @property
    def is_local(self) -> bool:
        """Whether the machine is damaged, not the place."""
        return self.kind in LOCAL

    def strike(self, lived: LivedIn) -> Spot:
        """Do it to a fresh copy."""
        random = Random(self.seed)
        spot = _local_spot(self, lived, random) if self.is_local else _place_spot(self, lived, random)
        MUTATIONS[self.mutation](spot)
        return spot


def cases(seed: int, places: int) -> Iterator[Case]:
    """So many of each kind and mutation."""
    for kind in (*PLACE, *LOCAL):
        for mutation in MUTATIONS:
            for number in range(places):
                yield Case(kind, mutation, f"{seed}/{kind}/{mutation}/{number}")


def _place_spot(case: Case, lived: LivedIn, random: Random) -> Spot:
    candidates = _of_kind(case.kind, lived.place)
    path = random.choice(candidates)
    foreign = _of_kind(case.kind, lived.stranger)
    same = [other for other in candidates if other.read_bytes() != path.read_bytes()]
    rest = [p for p in _listed(lived.place, "**/*") if _folder(p, lived) != _folder(path, lived)]
    age = {p: (lived.master / p.relative_to(lived.above)).stat().st_mtime_ns for p in candidates}
    earlier = [p for p in same if age[p] <= age[path]] or foreign
    older = random.choice(earlier) if earlier else None
    start, end = _part(case.kind, path)
    return Spot(lived.place, path, start, end, random, (same + foreign) or rest, rest, older)


def _local_spot(case: Case, lived: LivedIn, random: Random) -> Spot:
    home = lived.machine.home
    candidates = _listed(home, LOCAL[case.kind])
    path = random.choice(candidates)
    older = lived.older / path.relative_to(lived.above)
    same = [other for other in candidates if other != path]
    files = [p for p in _listed(home, "**/*") if p not in candidates]
    rest = [p for p in files if p.suffix not in (".id", ".key")]
    return Spot(home, path, 0, path.stat().st_size, random, same or rest, rest, older if older.exists() else None)


def _folder(path: Path, lived: LivedIn) -> str:
    """Of an object, below its repository; its own name at the top."""
    return path.relative_to(lived.place).parts[1:2][0] if path.parent != lived.place else path.name


def _of_kind(kind: str, place: Path) -> list[Path]:
    found = _listed(place, PLACE[kind])
    content = {"data segment": _DATA, "tree segment": _TREE}.get(kind)
    return [path for path in found if content is None or path.read_bytes()[77] == content]


def _listed(above: Path, pattern: str) -> list[Path]:
    """In the order in which they were written: names are random, and a seed is to mean the same again."""
    found = [path for path in above.glob(pattern) if path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _part(kind: str, path: Path) -> tuple[int, int]:
    """The part of a block that is meant; of others all of it."""
    size = path.stat().st_size
    if kind not in ("block head", "data segment", "tree segment", "block end"):
        return 0, size
    data = path.read_bytes()
    directory = int.from_bytes(data[size - _TRAILER_BYTES + 8 : size - _TRAILER_BYTES + 16], "little")
    return {"block head": (0, _HEAD_BYTES), "block end": (directory, size)}.get(kind, (_HEAD_BYTES, directory))


def contents(place: Path) -> dict[str, bytes]:
    """Bytes of all files below a directory, by path."""
    return {os.fspath(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}
