"""The worker that brings content back: segments fetched and decoded once, their chunks to all files (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from backupd.block.layout import FRAME_HEADER_BYTES, block_name
from backupd.block.segment import Segment
from backupd.destination.contract import Destination
from backupd.destination.meter import Meter
from backupd.errors import DamageError, DestinationError, DestinationUnreachableError
from backupd.model import work
from backupd.model.work import FetchSetup, FetchTask, SegmentOrder
from backupd.repository.any_copy import copies_of
from backupd.repository.file_writing import FileWriter, Slots
from backupd.repository.healing import ONE_PLACE, heals
from backupd.repository.reader import SegmentReader
from backupd.store_errors import StoreDoorError
from backupd.wire.channel import Channel

GAP_BYTES = 512 << 10
"""Stretches of a block that lie nearer than this are read as one."""


class Stretch(msgspec.Struct, frozen=True):
    """Segments of one block that are read by one request."""

    block_id: bytes
    offset: int
    length: int
    segments: list[SegmentOrder]


def plan_reads(segments: Sequence[SegmentOrder]) -> Iterator[Stretch]:
    """The requests that bring these segments, block by block, each in the order of the block. Pure."""
    group: list[SegmentOrder] = []
    end = 0
    for segment in sorted(segments, key=_place):
        if group and (segment.block_id != group[0].block_id or segment.offset - end >= GAP_BYTES):
            yield Stretch(group[0].block_id, group[0].offset, end - group[0].offset, group)
            group = []
        group.append(segment)
        end = segment.offset + FRAME_HEADER_BYTES + segment.stored_bytes
    if group:
        yield Stretch(group[0].block_id, group[0].offset, end - group[0].offset, group)


class FetchWorker:
    """Fetches segments and writes files below a directory, as it is told."""

    def __init__(
        self, channel: Channel[work.ToWorker], setup: FetchSetup, place: Destination, root_fd: int, meter: Meter
    ) -> None:
        """place: sees the repository's folder only. root_fd: the directory that everything is written below.

        meter: the place's.
        """
        self._channel, self._place, self._meter = channel, place, meter
        self._healed: set[bytes] = set()
        self._reader = SegmentReader(place, setup.repository, self._healed.add)
        self._writer = FileWriter(setup, root_fd, self._reader.identity)

    def run(self) -> None:
        """Work until the coordinator closes the channel."""
        while (message := self._channel.receive()) is not None:
            if isinstance(message, FetchTask):
                slots = Slots(message.slot_count)
                fetched_bytes = sum(self._fetch(stretch, slots) for stretch in plan_reads(message.segments))
                done = self._writer.write(message, slots)
                cost = self._meter.take()
                healed = sorted(self._healed)
                self._healed.clear()
                self._channel.send(
                    work.FetchDone(message.task, fetched_bytes, done.read_back_bytes, done.results, cost, healed)
                )

    def _fetch(self, stretch: Stretch, slots: Slots) -> int:
        """Fill the slots of a stretch's segments as far as they can be had; returns the bytes fetched."""
        try:
            data = self._place.get(block_name(stretch.block_id), stretch.offset, stretch.length)
        except (DestinationUnreachableError, StoreDoorError):
            raise
        except DestinationError as error:
            if heals(error) and self._reader.healer.may_heal(stretch.block_id):
                for segment in stretch.segments:
                    self._decode(segment, memoryview(b""), slots)
                return 0
            # A block that is gone or can't be read is one place's loss: its chunks may stand elsewhere, too.
            for segment in stretch.segments:
                _note_loss(segment, error.message, slots)
            return 0
        view = memoryview(data)
        for segment in stretch.segments:
            start = segment.offset - stretch.offset
            self._decode(segment, view[start : start + FRAME_HEADER_BYTES + segment.stored_bytes], slots)
        return len(data)

    def _opened(self, order: SegmentOrder, data: memoryview) -> Segment:
        """A segment of what was fetched, or of another copy of it, or by the block's parity."""
        try:
            return self._reader.decode(order.block_id, order.offset, data)
        except ONE_PLACE as error:
            is_healable = heals(error) and self._reader.healer.may_heal(order.block_id)
            if not is_healable and not copies_of(self._place, block_name(order.block_id)):
                raise
            return self._reader.fetch(order.block_id, order.offset, order.stored_bytes)

    def _decode(self, order: SegmentOrder, data: memoryview, slots: Slots) -> None:
        reader, ids, at = self._reader, order.ids, 0
        try:
            segment = self._opened(order, data)
        except (DestinationUnreachableError, StoreDoorError):
            raise
        except ONE_PLACE as error:
            _note_loss(order, error.message, slots)
            return
        for position, slot in zip(order.positions, order.slots, strict=True):
            chunk_id = ids[at : at + 32]
            at += 32
            slots.ids[slot] = chunk_id
            try:
                slots.chunks[slot] = reader.chunk(segment, position, chunk_id)
                slots.salts[slot] = segment.salts[position]
            except DamageError as error:
                slots.reasons[slot] = error.message


def _place(segment: SegmentOrder) -> tuple[bytes, int]:
    return segment.block_id, segment.offset


def _note_loss(order: SegmentOrder, message: str, slots: Slots) -> None:
    for at, slot in enumerate(order.slots):
        slots.ids[slot] = order.ids[32 * at : 32 * at + 32]
        slots.reasons[slot] = message
