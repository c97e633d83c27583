"""The worker that verifies blocks: every byte read, opened, decompressed, hashed again (FEATURES 8.1)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from backupd.block.layout import (
    BLOCK_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    MAX_BLOCK_BYTES,
    TRAILER_BYTES,
    FrameHeader,
    Trailer,
    block_name,
    digest_of,
    unpack_trailer,
)
from backupd.destination.contract import Destination
from backupd.destination.meter import Meter
from backupd.errors import BackupError, DamageError, DestinationError, FormatError, NewerVersionError
from backupd.model import work
from backupd.model.work import BlockVerdict, CheckSetup, CheckTask, RepositorySetup
from backupd.repository.block_seals import HEAD_BYTES, FoundSeal, find_seal
from backupd.repository.healing import heals
from backupd.repository.reader import SegmentReader
from backupd.wire.channel import Channel

_DIGEST_BYTES = 32
_MOST_IDS_BYTES = 60 << 20
"""A block of 64 MiB can't name more in its directory; a verdict must fit into a message."""

Directory = list[tuple[FrameHeader, bytes]]
"""(frame header, chunk ids) of each segment, in the order of the block."""


class CheckWorker:
    """Verifies the blocks it is told to."""

    def __init__(
        self, channel: Channel[work.ToWorker], setup: CheckSetup, place: Destination, meter: Meter
    ) -> None:
        """place: sees the repository's folder only. meter: the place's."""
        self._channel, self._meter = channel, meter
        self._verifier = BlockVerifier(place, setup.repository)

    def run(self) -> None:
        """Work until the coordinator closes the channel."""
        while (message := self._channel.receive()) is not None:
            if isinstance(message, CheckTask):
                verdicts = [self._verifier.verify(block_id, size) for block_id, size in message.blocks]
                self._channel.send(work.CheckDone(message.task, verdicts, self._meter.take()))


class BlockVerifier:
    """Says of whole blocks what is good in them. Not for several threads at once."""

    def __init__(self, place: Destination, setup: RepositorySetup) -> None:
        self._place = place
        self._segments = SegmentReader(place, setup)

    def verify(self, block_id: bytes, known_bytes: int = 0) -> BlockVerdict:
        """Read a block and verify it. known_bytes: its size by the index, 0 when it is not in it."""
        try:
            data = self._place.get(block_name(block_id), 0, MAX_BLOCK_BYTES + 1)
            verdict = self.verify_bytes(block_id, data, known_bytes)
        except DestinationError as error:
            verdict = BlockVerdict(block_id, 0, 0, [], [(error.code, error.message)])
            if not heals(error):
                return verdict
        if not verdict.problems:
            return verdict
        block = self._segments.healer.block(block_id)
        is_healable = block is not None and not self.verify_bytes(block_id, block.data, known_bytes).problems
        return msgspec.structs.replace(verdict, is_healable=is_healable)

    def verify_bytes(self, block_id: bytes, data: bytes, known_bytes: int = 0) -> BlockVerdict:
        """Verify the bytes of a block; allocates no more than they and one segment."""
        problems: list[BackupError] = []
        segments: list[tuple[int, int, int, bytes]] = []
        content = 0
        name = block_name(block_id)
        if known_bytes and len(data) != known_bytes:
            problems.append(FormatError(f"{name} is {len(data)} bytes long, the index says {known_bytes}"))
        try:
            if len(data) > MAX_BLOCK_BYTES:
                raise FormatError(f"{name} is over the limit of {MAX_BLOCK_BYTES} bytes")
            found = find_seal(block_id, data[:HEAD_BYTES], self._segments.keys)
            if found.problem is not None:
                problems.append(found.problem)
            content = found.content
            self._segments.keep_seal(block_id, found.seal)
            trailer, directory = self._read_end(name, data, found, problems)
            segments = list(self._verify_segments(block_id, data, trailer, directory, problems))
            if trailer is not None and not problems and not _has_digest(data, trailer):
                problems.append(FormatError(f"{name} has other bytes than were written: its digest differs"))
        except (DamageError, NewerVersionError) as error:
            problems.append(error)
        return BlockVerdict(block_id, len(data), content, segments, _pairs(problems))

    def _read_end(
        self, name: str, data: bytes, found: FoundSeal, problems: list[BackupError]
    ) -> tuple[Trailer | None, Directory | None]:
        trailer = directory = None
        with memoryview(data) as view:
            try:
                trailer = unpack_trailer(view[-TRAILER_BYTES:], len(data), name)
                end = trailer.directory_offset + trailer.directory_bytes
                directory = found.seal.open_directory(trailer.frame_count, view[trailer.directory_offset : end])
                if end_of_frames(directory) != trailer.directory_offset:
                    raise FormatError(f"{name}: its directory leaves a gap")
            except DamageError as error:
                problems.append(error)
        return trailer, directory

    def _verify_segments(
        self,
        block_id: bytes,
        data: bytes,
        trailer: Trailer | None,
        directory: Directory | None,
        problems: list[BackupError],
    ) -> Iterator[tuple[int, int, int, bytes]]:
        """(offset, stored bytes, plain bytes, ids) of each good segment."""
        view = memoryview(data)
        end = trailer.directory_offset if trailer is not None else None
        places = _planned(directory) if directory is not None else self._walk(block_id, view, end, problems)
        bad: list[tuple[int, BackupError]] = []
        ids_bytes = 0
        for offset, frame, ids in places:
            try:
                found = self._verify_segment(block_id, view, offset, frame)
                if ids is not None and found != ids:
                    raise FormatError(f"the segment at {offset} has other chunks than the directory says")
            except DamageError as error:
                bad.append((offset, error))
            else:
                ids_bytes += len(found)
                if ids_bytes > _MOST_IDS_BYTES:
                    raise FormatError(f"{block_name(block_id)} holds more chunks than a block can name")
                yield offset, frame.stored_bytes, frame.plain_bytes, found
        if bad:
            problems.append(_summary(block_name(block_id), bad))

    def _verify_segment(self, block_id: bytes, view: memoryview, offset: int, frame: FrameHeader) -> bytes:
        end = offset + FRAME_HEADER_BYTES + frame.stored_bytes
        segment = self._segments.decode(block_id, offset, view[offset:end])
        chunk_id = self._segments.identity.chunk_id
        return b"".join([chunk_id(segment.chunk(at), salt) for at, salt in enumerate(segment.salts)])

    def _walk(
        self, block_id: bytes, view: memoryview, end: int | None, problems: list[BackupError]
    ) -> Iterator[tuple[int, FrameHeader, bytes | None]]:
        """Frame by frame, without a directory. end: where the directory begins; None: not known."""
        at = BLOCK_HEADER_BYTES
        limit = end if end is not None else len(view)
        seal = self._segments.block_seal(block_id)
        while at + FRAME_HEADER_BYTES <= limit:
            try:
                frame = seal.open_frame(at, view[at : at + FRAME_HEADER_BYTES])
            except DamageError as error:
                # Without a trailer, what can't be opened may well be the directory.
                if end is not None:
                    problems.append(error)
                return
            yield at, frame, None
            at += FRAME_HEADER_BYTES + frame.stored_bytes


def end_of_frames(directory: Directory) -> int:
    """Where the last segment of a directory ends."""
    return BLOCK_HEADER_BYTES + sum(FRAME_HEADER_BYTES + frame.stored_bytes for frame, _ in directory)


def _planned(directory: Directory) -> Iterator[tuple[int, FrameHeader, bytes | None]]:
    at = BLOCK_HEADER_BYTES
    for frame, ids in directory:
        yield at, frame, ids
        at += FRAME_HEADER_BYTES + frame.stored_bytes


def _has_digest(data: bytes, trailer: Trailer) -> bool:
    with memoryview(data) as view:
        return digest_of([view[:-_DIGEST_BYTES]]) == trailer.digest


def _summary(name: str, bad: list[tuple[int, BackupError]]) -> DamageError:
    """One problem for all bad segments of a block, of the first one's class."""
    offset, first = bad[0]
    which = f"the segment at {offset} is bad"
    if len(bad) > 1:
        which = f"{len(bad)} segments are bad, the first at {offset}"
    kind = type(first) if isinstance(first, DamageError) else DamageError
    return kind(f"{name}: {which}: {first.message}")


def _pairs(problems: list[BackupError]) -> list[tuple[str, str]]:
    return [(problem.code, problem.message) for problem in problems]
