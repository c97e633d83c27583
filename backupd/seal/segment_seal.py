"""Sealing segments by themselves, so that they can be copied between blocks as they are (DESIGN 3)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from backupd.errors import SealError
from backupd.seal.cipher import (
    SALT_BYTES,
    TAG_BYTES,
    VERSION,
    Aead,
    EpochName,
    derive,
    make_nonce,
    new_aead,
    open_sealed,
)

_SALT_USES = 1 << 20
_COUNTER = struct.Struct("<Q")


def associated_data(repository_id: bytes, epoch: EpochName, salt: bytes, counter: int) -> bytes:
    """What a segment is bound to: no block and no name, or it could not be copied."""
    return b"backupd segment" + bytes((VERSION,)) + repository_id + epoch.pack() + salt + _COUNTER.pack(counter)


class SegmentSealer:
    """Seals under its own salt and counter; one object a worker, made after the process started.

    A salt is drawn anew after 2^20 segments; no (salt, counter) is ever used twice, so no nonce repeats.
    """

    def __init__(self, repository_id: bytes, epoch: EpochName, data_key: bytes, cipher: str) -> None:
        self._repository_id, self.epoch, self._data_key, self._cipher = repository_id, epoch, data_key, cipher
        self._draw()

    def _draw(self) -> None:
        self.salt = os.urandom(SALT_BYTES)
        self.counter = -1
        self._aead = new_aead(self._cipher, derive(self._data_key, self.salt, "backupd segment"))

    def seal(self, plain: bytes) -> bytes:
        """Sealed bytes, the tag at their end; `salt` and `counter` then tell what they were sealed with."""
        if self.counter + 1 >= _SALT_USES:
            self._draw()
        self.counter += 1
        associated = associated_data(self._repository_id, self.epoch, self.salt, self.counter)
        return self._aead.encrypt(make_nonce(0, self.counter), plain, associated)


class SegmentOpener:
    """Opens segments of any epoch whose data key it can get; keeps the ciphers of the last salts."""

    def __init__(self, repository_id: bytes, cipher: str, data_key_of: Callable[[EpochName], bytes]) -> None:
        self._repository_id, self._cipher, self._data_key_of = repository_id, cipher, data_key_of
        self._aeads: dict[tuple[EpochName, bytes], Aead] = {}

    def open(self, epoch: EpochName, salt: bytes, counter: int, sealed: bytes | memoryview) -> bytes:
        """Still compressed bytes. Raises SealError."""
        if len(sealed) < TAG_BYTES:
            raise SealError("a segment is shorter than its tag")
        aead = self._aeads.get((epoch, salt))
        if aead is None:
            if len(self._aeads) >= 256:
                self._aeads.clear()
            aead = new_aead(self._cipher, derive(self._data_key_of(epoch), salt, "backupd segment"))
            self._aeads[epoch, salt] = aead
        associated = associated_data(self._repository_id, epoch, salt, counter)
        return open_sealed(aead, make_nonce(0, counter), sealed, associated, "a segment")
