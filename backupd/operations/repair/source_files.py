"""What a repair asks last: files of this host that lie where they were backed up from (FEATURES 8.3).

A snapshot says where in a file each chunk lies, so only those stretches are read. That their bytes have the id of the
lost chunk is all the proof that is needed: a file that only looks unchanged gives nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from blake3 import blake3

from backupd.block.layout import DATA
from backupd.chunk.identity import ZERO_SALT, Identity, set_salt
from backupd.errors import DamageError
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.copied_blocks import SealedSegment
from backupd.repository.repacking import Repacker
from backupd.repository.tree_check import Hit
from backupd.snapshot.records import Snapshot
from backupd.source import reader
from backupd.source.chain import DirectoryChain
from backupd.source.extents import ExtentMap
from backupd.source.metadata import kept_mtime_ns
from backupd.tree.entry import Entry, Kind
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import Load

NAME = "source files"
"""What results call them among the places that gave something."""
_COMPRESSION = "normal"


class SourceFiles:
    """Of this host. Not for several threads at once."""

    def __init__(self, context: JobContext, place: OpenPlace, load: Load, tick: Callable[[], None]) -> None:
        """load: of nodes, from wherever they can be had. tick: called between any two stretches that are read."""
        self._host_id = bytes.fromhex(context.host.host_id)
        self._load, self._tick = load, tick
        setup = place.setup()
        self._identity = Identity(setup.chunk_id_key)
        self._repacker = Repacker(setup, _COMPRESSION, DATA)
        self._chain = DirectoryChain()
        self._tried: set[tuple[bytes, int, int, bytes]] = set()
        self.given: set[bytes] = set()
        """Chunks that were found."""

    def of_this_host(self, snapshots: Sequence[SnapshotAt]) -> list[SnapshotAt]:
        """Those made of files of this host."""
        return [at for at in snapshots if at.snapshot.host_id == self._host_id]

    def give(self, snapshot: Snapshot, hit: Hit, lost: set[bytes]) -> Iterator[SealedSegment]:
        """Segments with those of the lost chunks that the file still has; what is found is lost no more."""
        entry = hit.entry
        if entry is None or entry.kind != Kind.FILE:
            return
        # Another snapshot may have cut or named the same file in another way.
        what = (hit.path, entry.mtime_ns, entry.size, blake3(hit.lost).digest())
        if what in self._tried:
            return
        self._tried.add(what)
        directory, _, name = hit.path.rpartition(b"/")
        with suppress(OSError):
            fd, stat = reader.open_file(self._chain.open(directory or b"/"), name)
            try:
                if (stat.st_size, kept_mtime_ns(stat)) == (entry.size, entry.mtime_ns):
                    yield from self._read(fd, snapshot, entry, lost)
            finally:
                os.close(fd)

    def flush(self) -> Iterator[SealedSegment]:
        """What is found and not given yet."""
        return self._repacker.flush()

    def close(self) -> None:
        """Let go of memory and directories."""
        self._repacker.close()
        self._chain.close()

    def _read(self, fd: int, snapshot: Snapshot, entry: Entry, lost: set[bytes]) -> Iterator[SealedSegment]:
        extra = entry.extra
        kept = extra.extents if extra is not None else None
        if kept is not None and not isinstance(kept, bytes):
            try:
                kept = self._load(kept.id)
            except DamageError:
                return
        salts = [extra.salt] if extra is not None and extra.salt is not None else [set_salt(snapshot.set_id), ZERO_SALT]
        at = 0
        try:
            extents = ExtentMap(kept or b"", entry.size)
            for chunk_id, length in iterate_chunks(entry.content, extents.content_bytes, self._load):
                if chunk_id in lost:
                    self._tick()
                    data = reader.read_content(fd, extents, at, at + length)
                    salt = next((one for one in salts if self._identity.chunk_id(data, one) == chunk_id), None)
                    if salt is not None:
                        lost.discard(chunk_id)
                        self.given.add(chunk_id)
                        yield from self._repacker.add_chunk(data, chunk_id, salt, is_compressible=True)
                at += length
        except DamageError:
            # A list of it is lost: what lies behind it can't be placed.
            return
