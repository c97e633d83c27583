"""Sealed segments by the chunks that are wanted of them: fetched, opened and hashed, and given as they were sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from backupd.block.layout import BLOCK_HEADER_BYTES, FRAME_HEADER_BYTES, block_name
from backupd.cache.index_table import Place
from backupd.cache.index_tables import IndexTables
from backupd.destination.contract import Destination
from backupd.errors import (
    DamageError,
    DestinationError,
    DestinationUnreachableError,
    FormatError,
    NewerVersionError,
)
from backupd.model.work import RepositorySetup, SegmentOrder
from backupd.repository.any_copy import Source, first_good
from backupd.repository.block_seals import HEAD_BYTES, find_seal
from backupd.repository.copied_blocks import SealedSegment
from backupd.repository.fetching import Stretch, plan_reads
from backupd.repository.healing import ONE_PLACE
from backupd.repository.reader import SegmentReader
from backupd.store_errors import StoreDoorError

_WHOLE_SHARE = 2
"""Where more than this part of a block is wanted, the rest between comes along in one request."""


class SealedFetcher:
    """Brings segments from one destination. Not for several threads at once; one request runs ahead on its own."""

    def __init__(
        self,
        place: Destination,
        setup: RepositorySetup,
        tables: IndexTables,
        note_healed: Callable[[bytes], object] | None = None,
    ) -> None:
        """note_healed: as of a SegmentReader."""
        self._place, self._setup = place, setup
        self._reader = SegmentReader(place, setup, note_healed)
        self._ahead = ThreadPoolExecutor(1, "fetcher") if place.traits.parallel_calls else None
        self.fetched_bytes = 0
        self.use(tables)

    def use(self, tables: IndexTables) -> None:
        """Look places up in these tables from now on."""
        self._tables = tables
        self._blocks = {row.block_id: (row.size_bytes, row.content) for row in tables.blocks()}

    def close(self) -> None:
        """End the thread."""
        if self._ahead is not None:
            self._ahead.shutdown(cancel_futures=True)

    def bring(self, ids: Sequence[bytes], lost: dict[bytes, str]) -> Iterator[SealedSegment]:
        """The segments that hold these chunks, each once, block by block; all of their chunks are whole.

        lost: gets the reason for each chunk that no place gives. Raises DestinationUnreachableError and others where
        the store itself can't be used.
        """
        wanted: dict[tuple[bytes, int], tuple[Place, list[tuple[bytes, int]]]] = {}
        failed: dict[bytes, str] = {}
        for chunk_id, place in zip(ids, self._tables.find_many(b"".join(ids), trying=True), strict=True):
            if place is None:
                failed[chunk_id] = "no index object names it"
            else:
                wanted.setdefault((place.block_id, place.offset), (place, []))[1].append((chunk_id, place.position))
        orders = [_order(place, chunks) for place, chunks in wanted.values()]
        for stretch, data in self._fetched(self._plan(orders)):
            for order in stretch.segments:
                start = order.offset - stretch.offset
                try:
                    if isinstance(data, BaseException):
                        yield self._healed(order, data)
                        continue
                    end = start + FRAME_HEADER_BYTES + order.stored_bytes
                    yield self._opened(order, memoryview(data)[start:end])
                except ONE_PLACE as error:
                    _refuse_closed_door(error)
                    failed |= {order.ids[at : at + 32]: error.message for at in range(0, len(order.ids), 32)}
        yield from self._elsewhere(failed, lost)

    def _elsewhere(self, failed: dict[bytes, str], lost: dict[bytes, str]) -> Iterator[SealedSegment]:
        """Segments at all other places of chunks that the first place did not give."""
        if failed:
            self._tables.recheck()
        brought: set[bytes] = set()
        for chunk_id, reason in failed.items():
            if chunk_id in brought:
                continue
            lost[chunk_id] = reason
            for place in self._tables.places(chunk_id):
                order = _order(place, [(chunk_id, place.position)])
                try:
                    segment = self._fetch(order)
                except ONE_PLACE as error:
                    _refuse_closed_door(error)
                    lost[chunk_id] = error.message
                    continue
                del lost[chunk_id]
                brought.update(segment.ids[at : at + 32] for at in range(0, len(segment.ids), 32))
                yield segment
                break

    def _plan(self, orders: list[SegmentOrder]) -> list[Stretch]:
        stretches: list[Stretch] = []
        for stretch in plan_reads(orders):
            last = stretches[-1] if stretches else None
            if last is not None and last.block_id == stretch.block_id and self._is_mostly(last, stretch):
                length = stretch.offset + stretch.length - last.offset
                stretches[-1] = Stretch(last.block_id, last.offset, length, [*last.segments, *stretch.segments])
            else:
                stretches.append(stretch)
        return stretches

    def _is_mostly(self, last: Stretch, stretch: Stretch) -> bool:
        size, _ = self._blocks.get(stretch.block_id, (0, 0))
        return _WHOLE_SHARE * (last.length + stretch.length) > size

    def _fetched(self, stretches: list[Stretch]) -> Iterator[tuple[Stretch, bytes | DamageError | DestinationError]]:
        """The bytes of each stretch, or why there are none; the next one is fetched meanwhile."""
        if self._ahead is None:
            for stretch in stretches:
                yield stretch, self._try_to_get(stretch)
            return
        coming: Future[bytes | DamageError | DestinationError] | None = None
        for number, stretch in enumerate(stretches):
            data = (coming or self._ahead.submit(self._try_to_get, stretch)).result()
            following = stretches[number + 1 : number + 2]
            coming = self._ahead.submit(self._try_to_get, following[0]) if following else None
            yield stretch, data

    def _try_to_get(self, stretch: Stretch) -> bytes | DamageError | DestinationError:
        try:
            return self._get(stretch.block_id, stretch.offset, stretch.length)
        except (DamageError, DestinationError) as error:
            return error

    def _get(self, block_id: bytes, offset: int, length: int) -> bytes:
        """Bytes from a frame's offset on; the block's header comes along where it is next to them."""
        head = BLOCK_HEADER_BYTES if offset == BLOCK_HEADER_BYTES else 0
        data = self._place.get(block_name(block_id), offset - head, head + length)
        self.fetched_bytes += len(data)
        if head:
            # A damaged header is met when a segment of the block is opened.
            with suppress(DamageError, NewerVersionError):
                self._reader.keep_seal(block_id, find_seal(block_id, data[:HEAD_BYTES], self._reader.keys).seal)
        return data[head:] if head else data

    def _fetch(self, order: SegmentOrder) -> SealedSegment:
        try:
            data = self._get(order.block_id, order.offset, FRAME_HEADER_BYTES + order.stored_bytes)
        except ONE_PLACE as error:
            return self._healed(order, error)
        return self._opened(order, memoryview(data))

    def _healed(self, order: SegmentOrder, error: BaseException) -> SealedSegment:
        """By the block's parity. Raises the error that came before."""
        name, length = block_name(order.block_id), FRAME_HEADER_BYTES + order.stored_bytes
        return self._reader.healer.read(
            order.block_id,
            lambda block: self._opened_of(order, memoryview(block.get(name, order.offset, length)), block),
            error,
        )

    def _opened(self, order: SegmentOrder, data: memoryview) -> SealedSegment:
        """A segment that was opened, and each of its chunks hashed; of another copy or by parity where it is damaged.

        Raises DamageError.
        """
        try:
            return self._opened_of(order, data, self._place)
        except ONE_PLACE as error:
            name = block_name(order.block_id)

            def read(source: Source) -> SealedSegment:
                again = source.get(name, order.offset, FRAME_HEADER_BYTES + order.stored_bytes)
                return self._opened_of(order, memoryview(again), source)

            found = first_good(self._place, name, read)
            return found[0] if found is not None else self._healed(order, error)

    def _opened_of(self, order: SegmentOrder, data: memoryview, source: Source) -> SealedSegment:
        reader, block_id = self._reader, order.block_id
        segment = reader.decode(block_id, order.offset, data, source)
        frame = reader.block_seal(block_id).open_frame(order.offset, data[:FRAME_HEADER_BYTES])
        hashed = [reader.identity.chunk_id(segment.chunk(at), segment.salts[at]) for at in range(len(segment))]
        for at, position in enumerate(order.positions):
            chunk_id = order.ids[32 * at : 32 * at + 32]
            if position >= len(hashed) or hashed[position] != chunk_id:
                raise FormatError(f"chunk {chunk_id.hex()} has other bytes than its name says")
        _, content = self._blocks[block_id]
        sealed = bytes(data[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + frame.stored_bytes])
        return SealedSegment(frame, content, b"".join(hashed), sealed, segment)


def _order(place: Place, chunks: list[tuple[bytes, int]]) -> SegmentOrder:
    ids = b"".join(chunk_id for chunk_id, _ in chunks)
    positions = [position for _, position in chunks]
    return SegmentOrder(place.block_id, place.offset, place.stored_bytes, positions, ids, [])


def _refuse_closed_door(error: BaseException) -> None:
    """A store that can't be reached or opened is no loss of a place."""
    if isinstance(error, DestinationUnreachableError | StoreDoorError):
        raise error
