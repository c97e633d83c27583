"""What every snapshot at a place gives back, as one hash each: read in this process, every byte of every file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.orders import SnapshotListOrder, Unlock
from backupd.operations.context import JobContext
from backupd.operations.places import load_place_index, open_place, open_reader
from backupd.operations.snapshot_listing import list_snapshots
from backupd.repository.reader import ChunkReader
from backupd.settings import directories
from backupd.tree.entry import ANCESTOR, UNFINISHED, Kind
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import iterate_entries
from tests.support.machine import Machine


class StoredTree(NamedTuple):
    """One snapshot, whole."""

    is_complete: bool
    digest: str
    """Of all names, kinds, modes, times, targets and bytes."""


def read_stored(machine: Machine, place: Path, unlock: Unlock | None = None) -> dict[str, StoredTree]:
    """All snapshots that are listed, by id, whole and partial. Raises what reading raises: nothing is passed over."""
    machine.home.mkdir(exist_ok=True)
    order = SnapshotListOrder(place=str(place), unlock=unlock or Unlock(), incomplete=True)
    found = directories.find(machine.environ)
    context = JobContext(order, SystemClock(), Cancel(), machine.environ, found, lambda _: None)
    opened = open_place(context)
    listing = list_snapshots(opened)
    assert not listing.damaged, listing.damaged
    index = load_place_index(opened)
    reader = open_reader(opened, index)
    try:
        return {
            at.snapshot.id.hex(): StoredTree(at.snapshot.is_complete, _digest(at.snapshot.root, reader))
            for at in listing.found
        }
    finally:
        index.tables.close()


def _digest(root: bytes, reader: ChunkReader) -> str:
    hasher = blake3()
    todo = [(b"", root)]
    while todo:
        path, node = todo.pop()
        for entry in iterate_entries(node, reader.load):
            full = path + b"/" + entry.name
            state = entry.extra.state if entry.extra is not None else 0
            # Directories above a source are not the test's own.
            fields = (full,) if state & ANCESTOR else (full, int(entry.kind), entry.mode, entry.mtime_ns, entry.size)
            hasher.update(repr(fields).encode())
            if entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                todo.append((full, entry.content))
            elif isinstance(entry.content, bytes) and entry.kind == Kind.SYMLINK:
                hasher.update(entry.content)
            elif entry.kind == Kind.FILE and not state & UNFINISHED:
                # Chunks of two repositories are cut at different places: bytes count, not chunks.
                for chunk_id, _ in iterate_chunks(entry.content, entry.size, reader.load):
                    hasher.update(reader.load(chunk_id))
    return hasher.hexdigest()
