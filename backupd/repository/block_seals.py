"""From the first bytes of a block to what opens its parts, also where its clear header is damaged."""

from __future__ import annotations

import msgspec

from backupd.block.layout import (
    BLOCK_HEADER_BYTES,
    DATA,
    FRAME_HEADER_BYTES,
    BlockHeader,
    BlockSeal,
    block_name,
    unpack_header,
)
from backupd.errors import BackupError, DamageError, FormatError, NewerVersionError
from backupd.model.work import RepositorySetup
from backupd.seal.cipher import EpochName

HEAD_BYTES = BLOCK_HEADER_BYTES + FRAME_HEADER_BYTES
"""A block's header and its first frame header: what `find_seal` looks at."""


class FoundSeal(msgspec.Struct, frozen=True):
    """What opens a block's parts, and what is wrong with its header."""

    seal: BlockSeal
    content: int
    """DATA where a damaged header does not tell."""
    problem: BackupError | None


class DataKeys:
    """The data keys of all epochs that the key at hand opens."""

    def __init__(self, setup: RepositorySetup) -> None:
        self.repository_id, self.cipher = setup.repository_id, setup.cipher
        self._keys = {EpochName(number, random): key for number, random, key in setup.epochs}

    def epochs(self) -> list[EpochName]:
        """The newest first."""
        return list(reversed(self._keys))

    def key(self, epoch: EpochName) -> bytes:
        """The data key of an epoch. Raises DamageError."""
        key = self._keys.get(epoch)
        if key is None:
            raise DamageError(f"something is sealed under epoch {epoch.number}, which this key does not open")
        return key


def find_seal(block_id: bytes, head: bytes | memoryview, keys: DataKeys) -> FoundSeal:
    """What opens a block. head: its first HEAD_BYTES, fewer where it ends before.

    All that the clear header says is known from elsewhere, but for the epoch, and that is tried on the first frame: so
    a header that is damaged costs nothing else. Raises DamageError, NewerVersionError.
    """
    try:
        header = unpack_header(head, block_id)
        if header.repository_id != keys.repository_id:
            raise FormatError(f"{block_name(block_id)} is of another repository")
        return FoundSeal(BlockSeal(header, keys.key(header.epoch), keys.cipher), header.content, None)
    except (DamageError, NewerVersionError) as error:
        for epoch in keys.epochs():
            seal = BlockSeal(BlockHeader(keys.repository_id, block_id, epoch, DATA), keys.key(epoch), keys.cipher)
            if _opens(seal, head[BLOCK_HEADER_BYTES:HEAD_BYTES]):
                return FoundSeal(seal, DATA, error)
        raise


def _opens(seal: BlockSeal, frame: bytes | memoryview) -> bool:
    try:
        seal.open_frame(BLOCK_HEADER_BYTES, frame)
    except DamageError:
        return False
    return True
