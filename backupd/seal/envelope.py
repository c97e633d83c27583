"""Small sealed objects: keyrings, snapshots, sessions, records (docs/format.md, Sealed objects)."""

from __future__ import annotations

import os
import struct

from backupd.errors import FormatError
from backupd.seal.cipher import SALT_BYTES, Binding, EpochName, derive, make_nonce, new_aead, open_sealed, unpack_epoch
from backupd.seal.compression import Compressor, Decompressor
from backupd.seal.header import HEADER_BYTES, ObjectKind, check_header, make_header

_PLAIN = struct.Struct("<BI")
_FIXED_BYTES = HEADER_BYTES + 12 + SALT_BYTES
MAX_PLAIN_BYTES = 16 << 20


def seal_object(kind: ObjectKind, key: bytes, cipher: str, binding: Binding, plain: bytes) -> bytes:
    """The whole object. `key`: of the kind (keyring key or an epoch's snapshot key)."""
    if len(plain) > MAX_PLAIN_BYTES:
        raise FormatError(f"{binding.name} would hold {len(plain)} bytes, over the limit of {MAX_PLAIN_BYTES}")
    salt = os.urandom(SALT_BYTES)
    compression, body = Compressor("fast").compress(plain)
    aead = new_aead(cipher, derive(key, salt, f"backupd {kind.name.lower()}"))
    sealed = aead.encrypt(make_nonce(0, 0), _PLAIN.pack(compression, len(plain)) + body, binding.associated(0, True))
    return make_header(kind) + binding.epoch.pack() + salt + sealed


def read_epoch(data: bytes, kind: ObjectKind, name: str) -> EpochName:
    """Which epoch's keys open the object. Raises FormatError, NewerVersionError."""
    check_header(data, kind, name)
    if len(data) < _FIXED_BYTES:
        raise FormatError(f"{name} is truncated: {len(data)} bytes")
    return unpack_epoch(data[HEADER_BYTES : HEADER_BYTES + 12])


def open_object(kind: ObjectKind, key: bytes, cipher: str, binding: Binding, data: bytes) -> bytes:
    """Plain bytes of an object. Raises SealError, FormatError, NewerVersionError."""
    if read_epoch(data, kind, binding.name) != binding.epoch:
        raise FormatError(f"{binding.name} is of another epoch")
    salt = data[HEADER_BYTES + 12 : _FIXED_BYTES]
    aead = new_aead(cipher, derive(key, salt, f"backupd {kind.name.lower()}"))
    opened = open_sealed(aead, make_nonce(0, 0), data[_FIXED_BYTES:], binding.associated(0, True), binding.name)
    if len(opened) < _PLAIN.size:
        raise FormatError(f"{binding.name} is empty inside")
    compression, length = _PLAIN.unpack_from(opened)
    if length > MAX_PLAIN_BYTES:
        raise FormatError(f"{binding.name} announces {length} bytes, over the limit of {MAX_PLAIN_BYTES}")
    return Decompressor().decompress(compression, opened[_PLAIN.size :], length, binding.name)
