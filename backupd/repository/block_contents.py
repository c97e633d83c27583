"""What a block holds, by its own word: from its directory, else by walking its frames (FEATURES 5.5)."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from backupd.block.layout import (
    BLOCK_HEADER_BYTES,
    DATA,
    FRAME_HEADER_BYTES,
    FRAME_PLAIN_BYTES,
    MAX_BLOCK_BYTES,
    TRAILER_BYTES,
    Trailer,
    block_name,
    unpack_trailer,
)
from backupd.cache.index_table import IndexedFrame
from backupd.destination.contract import Destination
from backupd.errors import DamageError, DestinationUnreachableError, FormatError, NewerVersionError
from backupd.index.layout import BlockContents, Frame
from backupd.model.work import RepositorySetup
from backupd.repository.any_copy import Source
from backupd.repository.block_seals import HEAD_BYTES, DataKeys, find_seal
from backupd.repository.healing import ONE_PLACE, Healer
from backupd.repository.verifying import BlockVerifier, Directory, end_of_frames
from backupd.seal.cipher import TAG_BYTES


class FoundContents(NamedTuple):
    """What can be had of a block; None where nothing can, and what is wrong with it."""

    contents: BlockContents | None
    problems: list[tuple[str, str]]
    """(code, message)."""


class OpenedDirectory(NamedTuple):
    """The end of a block, read."""

    trailer: Trailer
    content: int
    directory: Directory


class ContentsReader:
    """Reads what blocks hold by ranged reads, a whole block only where its end is damaged. For one thread."""

    def __init__(self, place: Destination, setup: RepositorySetup) -> None:
        self._place = place
        self._keys, self._healer = DataKeys(setup), Healer(place, setup)
        self._verifier = BlockVerifier(place, setup)

    def is_known(self, block_id: bytes, size_bytes: int, frames: list[IndexedFrame]) -> bool:
        """Whether an index that has these segments of a block has all of them."""
        at = BLOCK_HEADER_BYTES
        for offset, stored_bytes in sorted({(frame.offset, frame.stored_bytes) for frame in frames}):
            if offset != at:
                return False
            at += FRAME_HEADER_BYTES + stored_bytes
        try:
            return _trailer(block_id, size_bytes, self._place).directory_offset == at
        except DamageError:
            # Its end is damaged: what the index says of it is all the better for it.
            return bool(frames)

    def names_all(self, block_id: bytes, size_bytes: int, frames: list[IndexedFrame]) -> bool:
        """Whether an index that has these chunks of a block has all of them; where the block does not say, too."""
        named = {(frame.offset, position) for frame in frames for position in frame.positions}
        try:
            return len(named) >= _chunks_of(_trailer(block_id, size_bytes, self._place))
        except DamageError:
            return True

    def read(self, block_id: bytes, size_bytes: int) -> FoundContents:
        """What a block holds. Raises DestinationUnreachableError."""
        try:
            return FoundContents(self._from_directory(block_id, size_bytes, self._place), [])
        except DestinationUnreachableError:
            raise
        except ONE_PLACE:
            block = self._healer.block(block_id)
            if block is not None:
                with suppress(DamageError, NewerVersionError):
                    return FoundContents(self._from_directory(block_id, len(block.data), block), [])
            verdict = self._verifier.verify(block_id)
        frames = [Frame(*segment) for segment in verdict.segments]
        if not frames:
            return FoundContents(None, verdict.problems)
        contents = BlockContents(block_id, verdict.size_bytes, verdict.content or DATA, frames)
        return FoundContents(contents, verdict.problems)

    def _from_directory(self, block_id: bytes, size_bytes: int, source: Source) -> BlockContents:
        opened = open_directory(block_id, size_bytes, source, self._keys)
        frames: list[Frame] = []
        at = BLOCK_HEADER_BYTES
        for frame, ids in opened.directory:
            frames.append(Frame(at, frame.stored_bytes, frame.plain_bytes, ids))
            at += FRAME_HEADER_BYTES + frame.stored_bytes
        return BlockContents(block_id, size_bytes, opened.content, frames)


def open_directory(block_id: bytes, size_bytes: int, source: Source, keys: DataKeys) -> OpenedDirectory:
    """A block's directory by three ranged reads. Raises DamageError, NewerVersionError, DestinationError."""
    name = block_name(block_id)
    trailer = _trailer(block_id, size_bytes, source)
    found = find_seal(block_id, source.get(name, 0, HEAD_BYTES), keys)
    sealed = source.get(name, trailer.directory_offset, trailer.directory_bytes)
    directory = found.seal.open_directory(trailer.frame_count, sealed)
    if end_of_frames(directory) != trailer.directory_offset:
        raise FormatError(f"{name}: its directory leaves a gap")
    return OpenedDirectory(trailer, found.content, directory)


def _trailer(block_id: bytes, size_bytes: int, source: Source) -> Trailer:
    name = block_name(block_id)
    if not TRAILER_BYTES < size_bytes <= MAX_BLOCK_BYTES:
        raise FormatError(f"{name} is {size_bytes} bytes long")
    return unpack_trailer(source.get(name, size_bytes - TRAILER_BYTES, TRAILER_BYTES), size_bytes, name)


def _chunks_of(trailer: Trailer) -> int:
    """How many chunks a block has: its directory has 80 bytes a segment, and 32 a chunk."""
    ids = trailer.directory_bytes - TAG_BYTES - 4 - FRAME_PLAIN_BYTES * trailer.frame_count
    return ids // 32
