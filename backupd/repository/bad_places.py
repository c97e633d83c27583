"""Which places of the index are bad, found by comparing it with what lies at the destination (DESIGN 7, Damage)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from backupd.cache.index_table import IndexedFrame
from backupd.cache.index_tables import IndexTables
from backupd.destination.contract import Destination
from backupd.errors import DamageError, DestinationError, DestinationUnreachableError, NewerVersionError
from backupd.model.work import BlockVerdict, RepositorySetup
from backupd.repository.reader import SegmentReader
from backupd.snapshot.records import Damage

_ID_BYTES = 32


class BadPlaces:
    """Bad blocks and bad chunks in blocks. Not for several threads at once."""

    def __init__(self) -> None:
        self.blocks: set[bytes] = set()
        """Blocks of which no chunk can be had."""
        self.chunks: dict[bytes, set[bytes]] = {}
        """Chunk ids by block."""

    def __bool__(self) -> bool:
        return bool(self.blocks or self.chunks)

    def __contains__(self, block_id: bytes) -> bool:
        return block_id in self.blocks or block_id in self.chunks

    def add_block(self, block_id: bytes) -> None:
        """All of a block is bad."""
        self.blocks.add(block_id)
        self.chunks.pop(block_id, None)

    def add_chunks(self, block_id: bytes, ids: bytes) -> None:
        """Chunks are bad in a block. ids: 32 bytes each, may be empty."""
        if ids and block_id not in self.blocks:
            self.chunks.setdefault(block_id, set()).update(_split(ids))

    def add_records(self, records: Iterable[Damage], gone: set[bytes]) -> None:
        """What damage records name, but for blocks that were deleted since."""
        for record in records:
            for block_id, ids in record.places:
                if block_id in gone:
                    continue
                if ids is None:
                    self.add_block(block_id)
                else:
                    self.add_chunks(block_id, ids)

    def update(self, others: BadPlaces) -> None:
        """Add all of another's."""
        for block_id in others.blocks:
            self.add_block(block_id)
        for block_id, ids in others.chunks.items():
            self.add_chunks(block_id, b"".join(ids))

    def forget(self, block_id: bytes) -> None:
        """A block was read again since: that counts."""
        self.blocks.discard(block_id)
        self.chunks.pop(block_id, None)

    def without(self, known: BadPlaces) -> BadPlaces:
        """Those that are not in another."""
        rest = BadPlaces()
        rest.blocks = self.blocks - known.blocks
        for block_id, ids in self.chunks.items():
            if block_id not in known.blocks:
                fresh = ids - known.chunks.get(block_id, set())
                if fresh:
                    rest.chunks[block_id] = fresh
        return rest

    def mark(self, tables: IndexTables, gone: set[bytes]) -> None:
        """Make the tables pass over these places, and over blocks that are gone, where a chunk is asked for."""
        tables.absent_blocks = self.blocks | gone
        tables.absent_places = {block_id + one for block_id, ids in self.chunks.items() for one in ids}

    def record(self, found_ns: int, host_id: bytes) -> Damage:
        """The damage record that names them."""
        places: list[tuple[bytes, bytes | None]] = [(block_id, None) for block_id in sorted(self.blocks)]
        places += [(block_id, b"".join(sorted(ids))) for block_id, ids in sorted(self.chunks.items())]
        return Damage(found_ns, host_id, places)


class PlaceCheck:
    """Compares what the index says of a block with what a worker found in it."""

    def __init__(self, tables: IndexTables, place: Destination, setup: RepositorySetup) -> None:
        self._tables = tables
        # What only its parity gives is bad as it lies there.
        self._segments = SegmentReader(place, msgspec.structs.replace(setup, heals=False))

    def compare(self, verdict: BlockVerdict, bad: BadPlaces) -> int:
        """Add what is bad in the block to `bad`; returns how many chunks are.

        What the worker did not find good is fetched once more as a restore would fetch it, and that decides: without
        its directory a block can't be walked past damage, but the index knows what lies behind it.
        """
        good = {offset: ids for offset, _, _, ids in verdict.segments}
        frames = self._tables.frames_of(verdict.block_id)
        lost = b"".join([self._lost(verdict.block_id, frame, good.get(frame.offset)) for frame in frames])
        if lost and len(lost) == sum(len(frame.ids) for frame in frames):
            bad.add_block(verdict.block_id)
        else:
            bad.add_chunks(verdict.block_id, lost)
        return len(lost) // _ID_BYTES

    def _lost(self, block_id: bytes, frame: IndexedFrame, found: bytes | None) -> bytes:
        if found is not None:
            rows = zip(frame.positions, _split(frame.ids), strict=True)
            if all(found[_ID_BYTES * at : _ID_BYTES * (at + 1)] == chunk_id for at, chunk_id in rows):
                return b""
        return b"".join(self._fetch_lost(block_id, frame))

    def _fetch_lost(self, block_id: bytes, frame: IndexedFrame) -> Iterator[bytes]:
        try:
            segment = self._segments.fetch(block_id, frame.offset, frame.stored_bytes)
        except DestinationUnreachableError:
            raise
        except (DamageError, DestinationError, NewerVersionError):
            yield frame.ids
            return
        for position, chunk_id in zip(frame.positions, _split(frame.ids), strict=True):
            try:
                self._segments.chunk(segment, position, chunk_id)
            except DamageError:
                yield chunk_id


def retired_in(records: Iterable[Damage]) -> set[bytes]:
    """Blocks that were given up though they are whole, for all that they hold was stored anew."""
    return {block_id for record in records for block_id, ids in record.places if ids == b""}


def names_bad(record: Damage) -> bool:
    """Whether a record says that something is bad, and not only that blocks are retired."""
    return any(ids != b"" for _, ids in record.places)


def _split(ids: bytes) -> Iterator[bytes]:
    return (ids[at : at + _ID_BYTES] for at in range(0, len(ids), _ID_BYTES))
