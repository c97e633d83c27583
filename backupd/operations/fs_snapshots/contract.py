"""What all kinds of file systems have in common that can make snapshots of themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from backupd.source.mounts import Mount

_NAME = re.compile(r"backupd-(b[0-9a-f]{32})-(j[0-9a-f]{32})-[0-9a-f]{8}")
MOST_TARGETS = 200
"""Snapshots of one mounted file system in a run."""


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot that was made, or is about to be."""

    kind: str
    place: str
    """Of what it is one, as the kind names it, undecodable bytes as surrogates."""
    name: str
    """With ids of set and job, by which leftovers are known for ours."""
    mounted_at: str = ""
    """Directory of ours at which it is mounted; empty: it shows by itself."""
    date: str = ""
    """By which its kind knows it, where it gives names itself."""


class Target(NamedTuple):
    """Something to make a snapshot of."""

    path: bytes
    """Where it shows."""
    place: str
    """As of `Made`."""
    inside: bytes = b""
    """Below the top of the snapshot: what shows at the path; empty: the top itself."""
    holder: bytes = b""
    """Directory in which its snapshots stand, of kinds that have one."""


class Found(NamedTuple):
    """What of a mounted file system is to be in snapshots, and what of it can't be."""

    targets: list[Target]
    left: list[tuple[bytes, str]]
    """(path, why it is read where it shows)."""


class Kind(Protocol):
    """One kind of file system."""

    name: str

    def takes(self, mount: Mount) -> bool:
        """Whether a mounted file system is of this kind."""
        ...

    def find(self, mount: Mount, mounts: Sequence[Mount], sources: Sequence[bytes], *, nested: bool) -> Found:
        """What to make of a mount that holds, or lies below, some sources. Raises FsSnapshotError.

        nested: whether parts of it that the system shows as file systems of their own are wanted, too.
        """
        ...

    def plan(self, target: Target, name: str) -> Made:
        """What is about to be made."""
        ...

    def make(self, target: Target, made: Made) -> Made:
        """Make it; what it is called then. Raises FsSnapshotError."""
        ...

    def mount(self, target: Target, made: Made) -> None:
        """Have it show at its place. Raises FsSnapshotError."""
        ...

    def read_at(self, target: Target, made: Made) -> bytes:
        """Where what shows at the target's path is read."""
        ...

    def device(self, target: Target, made: Made) -> int:
        """st_dev of what is read for the target, by which it is known again; 0: it has none that lasts.

        Raises FsSnapshotError.
        """
        ...

    def remove(self, made: Made) -> bool:
        """Remove it, whatever became of it; False where it is not there. Raises FsSnapshotError."""
        ...

    def leftovers(self, target: Target, set_id: str) -> list[Made]:
        """What stands of a set beside a target. Raises FsSnapshotError."""
        ...


def is_ours(name: str, set_id: str = "") -> bool:
    """Whether a snapshot bears a name that only we give. set_id: of which set; empty: of any."""
    found = _NAME.fullmatch(name)
    return found is not None and set_id in ("", found[1])


def set_of(name: str) -> str | None:
    """Id of the set that a snapshot bears in its name; None: the name is none of ours."""
    found = _NAME.fullmatch(name)
    return found[1] if found is not None else None


def snapshot_name(set_id: str, job_id: str, token: str) -> str:
    """Of a new snapshot. token: eight hex digits. Raises AssertionError for ids that are none."""
    name = f"backupd-{set_id}-{job_id}-{token}"
    if not is_ours(name, set_id):
        raise AssertionError(f"{name} would not be known again")
    return name


def joined(top: bytes, inside: bytes) -> bytes:
    """A path below another one."""
    inside = inside.strip(b"/")
    return top.rstrip(b"/") + b"/" + inside if inside else top


def below(path: bytes, top: bytes) -> bytes | None:
    """What leads from a directory to a path in it, or b"" for itself; None: it lies elsewhere."""
    if path == top:
        return b""
    start = top.rstrip(b"/") + b"/"
    return path[len(start) :] if path.startswith(start) else None
