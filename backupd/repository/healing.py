"""Damaged blocks made whole from their own parity, while they are read (docs/format.md, Parity)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from backupd.block import parity
from backupd.block.layout import HAS_PARITY, MAX_BLOCK_BYTES, TRAILER_BYTES, block_name, unpack_trailer
from backupd.destination.contract import Destination
from backupd.errors import (
    DamageError,
    DestinationError,
    DestinationUnreachableError,
    NewerVersionError,
    ObjectMissingError,
)
from backupd.model.work import RepositorySetup
from backupd.repository.any_copy import Source, copies_of
from backupd.seal.header import HEADER_BYTES, ObjectKind, optional_bits
from backupd.sizes import MOST_PARITY
from backupd.store_errors import StoreDoorError

Result = TypeVar("Result")

ONE_PLACE = (DamageError, DestinationError, NewerVersionError)
"""What is one place's loss, unless it is the store itself; a version that nobody knows may be a damaged byte."""
_PIECE_BYTES = 256 << 10
_SECTOR_BYTES = 4096


class HealedBlock:
    """A block's bytes as they were written; a source of it and of nothing else."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """As of a destination. name: of the block."""
        return self.data[offset:] if length is None else self.data[offset : offset + length]


class Healer:
    """Heals blocks of one place, and keeps the last one. Not for several threads at once."""

    def __init__(
        self, place: Destination, setup: RepositorySetup, note: Callable[[bytes], object] | None = None
    ) -> None:
        """note: hears the id of each block of which something was made anew and used."""
        self._place, self._note = place, note
        self._heals, self._expects = setup.heals, setup.parity > 0
        self._found: dict[bytes, bool] = {}
        """Of blocks that need not have parity: whether they do."""
        self._last: tuple[bytes, HealedBlock] | None = None
        self._hopeless: set[bytes] = set()

    def read(self, block_id: bytes, read: Callable[[Source], Result], error: BaseException) -> Result:
        """What `read` makes of the healed block. Raises `error` where it can't be healed, what `read` raises."""
        block = self.block(block_id) if heals(error) else None
        if block is None:
            raise error
        result = read(block)
        if self._note is not None:
            self._note(block_id)
        return result

    def may_heal(self, block_id: bytes) -> bool:
        """Whether a block has parity, for all that is known. Raises DestinationUnreachableError, StoreDoorError."""
        if not self._heals or self._expects:
            return self._heals
        if block_id not in self._found:
            self._found[block_id] = self._has_parity(block_id)
        return self._found[block_id]

    def _has_parity(self, block_id: bytes) -> bool:
        """By its header, else by its end: parity may have been added after the repository was made."""
        name = block_name(block_id)

        def by_header() -> bool:
            return bool(optional_bits(self._place.get(name, 0, HEADER_BYTES), ObjectKind.BLOCK, name) & HAS_PARITY)

        def by_trailer() -> bool:
            size = self._place.size(name) or 0
            end = self._place.get(name, max(0, size - TRAILER_BYTES), TRAILER_BYTES)
            return unpack_trailer(end, size, name).parity_bytes > 0

        for says_so in (by_header, by_trailer):
            try:
                if says_so():
                    return True
            except (DestinationUnreachableError, StoreDoorError):
                raise
            except ONE_PLACE:
                continue
        return False

    def block(self, block_id: bytes) -> HealedBlock | None:
        """A damaged block, healed; None where it can't be. Raises DestinationUnreachableError, StoreDoorError."""
        if block_id in self._hopeless or not self.may_heal(block_id):
            return None
        if self._last is None or self._last[0] != block_id:
            self._last = None
            name = block_name(block_id)
            sources: list[Source] = [self._place, *copies_of(self._place, name)]
            for source in sources:
                try:
                    self._last = (block_id, HealedBlock(parity.repair(self._get_whole(source, name)).data))
                    break
                except (DestinationUnreachableError, StoreDoorError):
                    raise
                except ONE_PLACE:
                    continue
        if self._last is None:
            self._hopeless.add(block_id)
            return None
        return self._last[1]

    def _get_whole(self, source: Source, name: str) -> bytes:
        """All of a block, zeros for sectors that can't be read. Raises as `get` where too many can't."""
        try:
            return source.get(name, 0, MAX_BLOCK_BYTES + 1)
        except (DestinationUnreachableError, StoreDoorError, ObjectMissingError):
            raise
        except DestinationError:
            size = self._place.size(name)
            if size is None or size > MAX_BLOCK_BYTES:
                raise
        parts: list[bytes] = []
        # Beyond that no parity helps, and each try may take a disk long.
        left = size * MOST_PARITY // 100 // _SECTOR_BYTES + 1
        for start in range(0, size, _PIECE_BYTES):
            piece, failed = _get_piece(source, name, start, min(_PIECE_BYTES, size - start), left)
            parts.append(piece)
            left -= failed
        return b"".join(parts)


def heals(error: BaseException) -> bool:
    """Whether an error is of a kind that parity may make up for: not of a store that is shut, or a block that is gone.

    A sector that can't be read is such a loss, like bytes that are wrong.
    """
    is_shut = isinstance(error, DestinationUnreachableError | StoreDoorError | ObjectMissingError)
    return isinstance(error, ONE_PLACE) and not is_shut


def _get_piece(source: Source, name: str, start: int, length: int, most: int) -> tuple[bytes, int]:
    """Some of an object, and how many sectors of it could not be read. Raises as `get` where more than `most` can't."""
    try:
        return source.get(name, start, length), 0
    except DestinationError as error:
        if not heals(error):
            raise
    parts: list[bytes] = []
    failed = 0
    for at in range(start, start + length, _SECTOR_BYTES):
        size = min(_SECTOR_BYTES, start + length - at)
        try:
            parts.append(source.get(name, at, size))
        except DestinationError as error:
            failed += 1
            if failed > most or not heals(error):
                raise
            parts.append(bytes(size))
    return b"".join(parts), failed
