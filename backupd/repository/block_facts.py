"""How what lies in blocks is sealed, compressed and protected, and whether that is as it is wanted now (FEATURES 5.1).

Blocks never change, so what was read of one holds for ever; this host keeps it with its caches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated

import msgspec

from backupd import durable_io
from backupd.block.layout import MAX_BLOCK_BYTES, TRAILER_BYTES, FrameHeader
from backupd.block.parity_layout import part_bytes
from backupd.destination.contract import Destination
from backupd.errors import DamageError, DestinationError, DestinationUnreachableError, NewerVersionError
from backupd.index.layout import BlockRow
from backupd.model.work import RepositorySetup
from backupd.repository.block_contents import open_directory
from backupd.repository.block_seals import DataKeys
from backupd.seal.cipher import EpochName
from backupd.seal.compression import LEVEL_NUMBERS, NONE
from backupd.state_errors import translated
from backupd.store_errors import StoreDoorError
from backupd.wire.malformed import MALFORMED

_READERS = 8
_LIMIT_BYTES = 256 << 20
_FAST = LEVEL_NUMBERS["fast"]


class Sealing(msgspec.Struct, frozen=True, array_like=True):
    """How some segments of a block are sealed."""

    epoch: str
    level: int
    """As in their frame headers."""
    is_plain: bool
    """They are not compressed."""


class BlockFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a block's end says of it."""

    body_bytes: Annotated[int, msgspec.Meta(gt=0, le=MAX_BLOCK_BYTES)]
    """Before its parity."""
    parity_bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_BLOCK_BYTES)]
    sealings: list[Sealing]


class Wanted(msgspec.Struct, frozen=True):
    """How all is to be stored now."""

    epoch: EpochName
    compression: str
    parity: int
    """Percent; blocks with more of it are well."""

    def lacks(self, facts: BlockFacts | None) -> list[str]:
        """What a block is not as it is wanted: `epoch`, `compression`, `parity`; `unread` where nothing is known."""
        if facts is None:
            return ["unread"]
        found = []
        if any(one.epoch != self.epoch.text for one in facts.sealings):
            found.append("epoch")
        if not all(self._is_well(one.level, one.is_plain) for one in facts.sealings):
            found.append("compression")
        if facts.parity_bytes < part_bytes(facts.body_bytes, self.parity):
            found.append("parity")
        return found

    def takes(self, frame: FrameHeader) -> bool:
        """Whether a segment may be copied as it is sealed."""
        return frame.epoch == self.epoch and self.is_compressed_well(frame)

    def is_compressed_well(self, frame: FrameHeader) -> bool:
        """Whether trying harder to compress a segment is no use or not wanted."""
        return self._is_well(frame.level, frame.compression == NONE)

    def level_for(self, frame: FrameHeader) -> str:
        """How a segment is compressed that is sealed anew: never weaker than before."""
        # A level that this version does not know is above all that it does.
        number = min(max(frame.level, LEVEL_NUMBERS[self.compression]), max(LEVEL_NUMBERS.values()))
        return next(name for name, of_name in LEVEL_NUMBERS.items() if of_name == number)

    def _is_well(self, level: int, is_plain: bool) -> bool:
        """What did not shrink once does not shrink at all; what nobody knows of was done in the weakest way."""
        known = level or (LEVEL_NUMBERS["none"] if is_plain else _FAST)
        return known >= LEVEL_NUMBERS[self.compression] or (is_plain and known >= _FAST)


class FactsReader:
    """Reads facts of blocks from their ends, three small requests each."""

    def __init__(self, place: Destination, setup: RepositorySetup, step: Callable[[], None]) -> None:
        """step: called after each block, in the caller's thread."""
        self._place, self._keys, self._step = place, DataKeys(setup), step

    def read(self, rows: Iterable[BlockRow], found: dict[bytes, BlockFacts]) -> None:
        """Add to the facts by block those of further ones whose end can be read.

        Raises DestinationUnreachableError and others where the store itself can't be used, and what `step` raises.
        """
        fresh = [row for row in rows if row.block_id not in found]
        with ThreadPoolExecutor(_READERS if self._place.traits.parallel_calls else 1, "facts") as pool:
            try:
                for row, facts in zip(fresh, pool.map(self._read_one, fresh), strict=True):
                    self._step()
                    if facts is not None:
                        found[row.block_id] = facts
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _read_one(self, row: BlockRow) -> BlockFacts | None:
        try:
            opened = open_directory(row.block_id, row.size_bytes, self._place, self._keys)
        except (DestinationUnreachableError, StoreDoorError):
            raise
        except (DamageError, DestinationError, NewerVersionError):
            return None
        trailer = opened.trailer
        body = row.size_bytes - TRAILER_BYTES - trailer.parity_bytes
        return BlockFacts(body, trailer.parity_bytes, list(_sealings(frame for frame, _ in opened.directory)))


def _sealings(frames: Iterable[FrameHeader]) -> Iterator[Sealing]:
    yield from dict.fromkeys(Sealing(one.epoch.text, one.level, one.compression == NONE) for one in frames)


def load(path: str) -> dict[bytes, BlockFacts]:
    """By block id; empty where there is no such file, or none that can be read."""
    with suppress(OSError, *MALFORMED), open(path, "rb") as file:
        return msgspec.msgpack.decode(file.read(_LIMIT_BYTES), type=dict[bytes, BlockFacts])
    return {}


def keep(path: str, facts: Mapping[bytes, BlockFacts]) -> None:
    """Make the file anew of these alone. Raises StateFullError, AccessError, StateError."""
    try:
        durable_io.make_directories(os.path.dirname(path))
        durable_io.replace(path, [msgspec.msgpack.encode(facts)])
    except OSError as error:
        raise translated(error, path) from error
