"""What the small sealed objects hold (docs/format.md, Snapshots, sessions and the rest)."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from backupd.errors import FormatError
from backupd.wire.malformed import MALFORMED

FEWER = "fewer_than"
"""Among statistics: so many files had the snapshot before this one, which has far fewer."""
ChunkId = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of all records: msgpack arrays; absent trailing fields take their defaults."""


class Rewriting(Record, frozen=True, array_like=True):
    """Of a snapshot that stands in for another one: without paths that were purged, or with other chunks."""

    snapshot_id: bytes
    """Of the one that it was written anew from, which is gone."""
    rewritten_ns: int
    host_id: bytes
    path_count: int
    """So many paths were left out; their names are not kept."""


class Snapshot(Record, frozen=True, array_like=True):
    """One finished (or, partial, unfinished) run of a backup set."""

    id: bytes
    set_id: bytes
    set_name: str
    host_id: bytes
    host_name: str
    started_ns: int
    finished_ns: int
    is_complete: bool
    root: ChunkId
    """Node id of a directory that stands for `/`."""
    sources: list[bytes]
    owners: list[tuple[int, bytes]] = []
    groups: list[tuple[int, bytes]] = []
    file_count: int = 0
    byte_count: int = 0
    statistics: dict[str, int] = {}
    settings: str = ""
    tags: dict[str, str] = {}
    epoch: int = 1
    base: str = ""
    generation: int = 0
    program: str = ""
    rewriting: Rewriting | None = None
    """How it was last written anew."""

    def is_of_machine(self, other: Snapshot) -> bool:
        """Whether both are of one machine: one that was renamed has its id still, one set up anew its name."""
        return self.host_id == other.host_id or self.host_name == other.host_name


class Checkpoint(Record, frozen=True, array_like=True):
    """A root whose chunks are all in index objects that exist."""

    root: ChunkId
    file_count: int
    byte_count: int


class Session(Record, frozen=True, array_like=True):
    """A running writer's announcement number n, with its newest checkpoint if it has one."""

    id: bytes
    n: int
    host_id: bytes
    state_id: bytes
    boot_id: str
    set_id: bytes
    bases: list[str]
    snapshot_name: str
    posted_ns: int
    honours: int = 0
    keeps: list[bytes] = []
    checkpoint: Checkpoint | None = None
    draft: Snapshot | None = None
    """The snapshot as it would be committed now, so that another can end the session."""


class Drop(Record, frozen=True, array_like=True):
    """Names of snapshots that are void for ever."""

    names: list[str]
    dropped_ns: int
    host_id: bytes
    reason: str = ""


class Damage(Record, frozen=True, array_like=True):
    """Places found bad: (block id, chunk ids or None for all of it).

    No ids at all: nothing in the block is bad, but all of it lies elsewhere as it is wanted now. It is retired.
    """

    found_ns: int
    host_id: bytes
    places: list[tuple[bytes, bytes | None]]


class Note(Record, frozen=True, array_like=True):
    """A pin or tag put on a snapshot later."""

    written_ns: int
    host_id: bytes
    snapshot_id: bytes
    kind: str
    text: str


class BlockList(Record, frozen=True, array_like=True):
    """A gc list: candidates or deleted blocks of generation n."""

    n: int
    blocks: list[bytes]
    covers: list[int] = []


AnyRecord = TypeVar("AnyRecord", bound=Record)


def encode(record: Record) -> bytes:
    """The record's plain bytes."""
    return msgspec.msgpack.encode(record)


def decode(data: bytes, record_type: type[AnyRecord], name: str) -> AnyRecord:
    """Read a record. Raises FormatError."""
    try:
        return msgspec.msgpack.decode(data, type=record_type)
    except MALFORMED as error:
        raise FormatError(f"{name} is malformed: {error}") from error
