"""Getting chunks back: look up, fetch the segment, open, decompress, hash (DESIGN 4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from backupd.block.layout import FRAME_HEADER_BYTES, BlockSeal, block_name
from backupd.block.segment import Segment
from backupd.cache.index_table import Place
from backupd.chunk.identity import Identity
from backupd.destination.contract import Destination
from backupd.errors import ChunkLostError, DestinationUnreachableError, FormatError
from backupd.model.places import inside
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.model.work import RepositorySetup
from backupd.repository.any_copy import Source, of_any_copy
from backupd.repository.block_seals import HEAD_BYTES, DataKeys, find_seal
from backupd.repository.healing import ONE_PLACE, Healer
from backupd.repository.opening import OpenRepository
from backupd.seal.compression import Decompressor
from backupd.seal.segment_seal import SegmentOpener

_KEPT_BYTES = 32 << 20
_KEPT_SEALS = 512


def worker_setup(repository: OpenRepository, place: str, access: StoreAccess = NO_ACCESS) -> RepositorySetup:
    """What workers need of an open repository. place: what holds the repository's folder."""
    keyring = repository.keyring
    return RepositorySetup(
        repository.id,
        keyring.configuration.cipher,
        keyring.chunk_id_key,
        [(keys.number, keys.random, keys.data_key) for keys in keyring.epochs],
        inside(place, repository.text_id),
        access,
        keyring.configuration.parity,
    )


class SegmentReader:
    """Fetches and decodes segments by place; keeps the keys of the blocks it met. Not for several threads at once."""

    def __init__(
        self, place: Destination, setup: RepositorySetup, note_healed: Callable[[bytes], object] | None = None
    ) -> None:
        """note_healed: hears the id of each damaged block that was read by its parity."""
        self._place = place
        self.healer = Healer(place, setup, note_healed)
        self.keys = DataKeys(setup)
        self._opener = SegmentOpener(setup.repository_id, setup.cipher, self.keys.key)
        self._decompressor = Decompressor()
        self._seals: OrderedDict[bytes, BlockSeal] = OrderedDict()
        self.identity = Identity(setup.chunk_id_key)
        self.fetched_bytes = 0

    def fetch(self, block_id: bytes, offset: int, stored_bytes: int) -> Segment:
        """One segment by the offset of its frame header, by the block's parity where it must be.

        Raises DamageError; ObjectMissingError; DestinationError.
        """
        name, length = block_name(block_id), FRAME_HEADER_BYTES + stored_bytes

        def read(source: Source) -> Segment:
            data = source.get(name, offset, length)
            self.fetched_bytes += len(data)
            return self.decode(block_id, offset, data, source)

        try:
            return of_any_copy(self._place, name, read)
        except ONE_PLACE as error:
            return self.healer.read(block_id, read, error)

    def decode(
        self, block_id: bytes, offset: int, data: bytes | memoryview, source: Source | None = None
    ) -> Segment:
        """A segment from the bytes at its frame header's offset. Raises DamageError.

        source: of the bytes, and of the block's header where that is not known; None: the place.
        """
        if len(data) < FRAME_HEADER_BYTES:
            raise FormatError(f"{block_name(block_id)} ends within a frame at {offset}")
        frame = self.block_seal(block_id, source).open_frame(offset, data[:FRAME_HEADER_BYTES])
        sealed = data[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + frame.stored_bytes]
        body = self._opener.open(frame.epoch, frame.salt, frame.counter, sealed)
        what = f"segment at {offset} of {block_name(block_id)}"
        segment = Segment(self._decompressor.decompress(frame.compression, body, frame.plain_bytes, what))
        if len(segment) != frame.chunk_count:
            raise FormatError(f"{what} has {len(segment)} chunks where {frame.chunk_count} are announced")
        return segment

    def chunk(self, segment: Segment, position: int, chunk_id: bytes) -> memoryview:
        """One chunk, hashed again. Raises FormatError when it is another."""
        data = segment.chunk(position)
        if self.identity.chunk_id(data, segment.salts[position]) != chunk_id:
            raise FormatError(f"chunk {chunk_id.hex()} has other bytes than its name says")
        return data

    def block_seal(self, block_id: bytes, source: Source | None = None) -> BlockSeal:
        """What opens a block's own parts; reads the block's header once, and of each copy that is tried by itself."""
        found = self._seals.get(block_id) if source in (None, self._place) else None
        if found is None:
            head = (source or self._place).get(block_name(block_id), 0, HEAD_BYTES)
            found = find_seal(block_id, head, self.keys).seal
            self.keep_seal(block_id, found)
        return found

    def keep_seal(self, block_id: bytes, seal: BlockSeal) -> None:
        """Use this seal for a block whose first bytes the caller has read already."""
        if len(self._seals) >= _KEPT_SEALS:
            self._seals.popitem(last=False)
        self._seals[block_id] = seal


class ChunkPlaces(Protocol):
    """Who knows where chunks lie: tables on this host, or the index objects themselves (`ranged_index`)."""

    def find_many(self, ids: bytes, trying: bool = False) -> list[Place | None]:
        """A place of each chunk, or None. ids: 32 bytes a chunk. trying: also one that counts as absent for writing."""
        ...

    def places(self, chunk_id: bytes) -> list[Place]:
        """Every place of a chunk."""
        ...

    def recheck(self) -> bool:
        """Look whether the index says more by now, or this host's own copy of it misled: True where it did.

        Blocks go with what nobody needs of them; what is needed was copied before, and is named by a newer object.
        """
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class ChunkReader:
    """Loads chunks by id for those who walk trees; keeps the last segments."""

    def __init__(self, segments: SegmentReader, tables: ChunkPlaces) -> None:
        self._segments, self._tables = segments, tables
        self._kept: OrderedDict[tuple[bytes, int], Segment] = OrderedDict()
        self._kept_bytes = 0

    def load(self, chunk_id: bytes) -> bytes:
        """Bytes of a chunk; every place is tried. Raises ChunkLostError when none gives it."""
        reasons: list[str] = []
        found = self._try(chunk_id, reasons)
        if found is None and self._tables.recheck():
            found = self._try(chunk_id, reasons)
        if found is not None:
            return found
        raise ChunkLostError(
            f"chunk {chunk_id.hex()} is lost: {'; '.join(reasons) or 'no index object names it'}",
            hint="`bkctl check --crc` lists all that is hit; `--rebuild-index` finds what the index lacks",
        )

    def _try(self, chunk_id: bytes, reasons: list[str]) -> bytes | None:
        for place in self._places(chunk_id):
            try:
                return bytes(self._segments.chunk(self._segment(place), place.position, chunk_id))
            except DestinationUnreachableError:
                raise
            except ONE_PLACE as error:
                reasons.append(error.message)
        return None

    def _places(self, chunk_id: bytes) -> Iterator[Place]:
        """The place that is found with the fewest reads, then all others."""
        first = self._tables.find_many(chunk_id, trying=True)[0]
        if first is not None:
            yield first
            for place in self._tables.places(chunk_id):
                if place != first:
                    yield place

    def _segment(self, place: Place) -> Segment:
        key = (place.block_id, place.offset)
        segment = self._kept.get(key)
        if segment is not None:
            self._kept.move_to_end(key)
            return segment
        segment = self._segments.fetch(place.block_id, place.offset, place.stored_bytes)
        self._kept[key] = segment
        self._kept_bytes += place.plain_bytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._kept_bytes -= len(old.plain)
        return segment
