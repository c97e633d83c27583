"""Key slots: how a password or a printed key opens a repository (docs/format.md, Key slots)."""

from __future__ import annotations

import base64
import os
from typing import Literal

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backupd.errors import FormatError
from backupd.seal.cipher import derive
from backupd.seal.header import HEADER_BYTES, ObjectKind, check_header, make_header
from backupd.wire.malformed import MALFORMED

SlotKind = Literal["key", "password", "clear"]
SECRET_BYTES = 32
SECRET_CHARACTERS = 44
CLEAR_SECRET = bytes(SECRET_BYTES)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_MEMORY_KIB = (64 << 10, 1 << 20)


class Argon2(msgspec.Struct, frozen=True, array_like=True):
    """Cost of stretching a password; the default takes about a second of one core."""

    memory_kib: int = 256 << 10
    passes: int = 3
    lanes: int = 1


PASSWORD_COST = Argon2()
"""Of new slots; each keeps its own."""


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """One key slot; added and deleted, never changed."""

    kind: SlotKind
    label: str
    created_ns: int
    kdf: Argon2 | None
    salt: bytes
    keyring: str
    nonce: bytes
    wrapped: bytes


class SlotMaker(msgspec.Struct, frozen=True):
    """What a new slot is made of."""

    kind: SlotKind
    label: str
    created_ns: int
    keyring: str


def new_secret() -> bytes:
    """32 random bytes: the secret of a slot of kind `key`."""
    return os.urandom(SECRET_BYTES)


def secret_to_text(secret: bytes) -> str:
    """The 44 characters that people print and type."""
    return base64.urlsafe_b64encode(secret).decode().rstrip("=") + _check_character(secret)


def secret_from_text(text: str) -> bytes | None:
    """The 32 bytes of 44 typed characters, white space ignored; None when it is no such key, or mistyped."""
    compact = "".join(text.split())
    if len(compact) != SECRET_CHARACTERS or any(c not in _ALPHABET for c in compact):
        return None
    secret = base64.urlsafe_b64decode(compact[:-1] + "=")
    is_canonical = secret_to_text(secret) == compact
    return secret if is_canonical else None


def make_slot(repository_id: bytes, name: str, secret: bytes, keyring_key: bytes, maker: SlotMaker) -> bytes:
    """The object `keys/<name>`. `secret`: 32 bytes of a key, or the bytes of a password."""
    kdf = PASSWORD_COST if maker.kind == "password" else None
    salt, nonce = os.urandom(32), os.urandom(12)
    wrapping_key = _wrapping_key(secret, kdf, salt)
    wrapped = AESGCM(wrapping_key).encrypt(nonce, keyring_key, _associated(repository_id, name))
    slot = Slot(maker.kind, maker.label, maker.created_ns, kdf, salt, maker.keyring, nonce, wrapped)
    return make_header(ObjectKind.KEY_SLOT) + msgspec.msgpack.encode(slot)


def read_slot(name: str, data: bytes) -> Slot:
    """Read a slot, its parameters checked before memory is spent on them. Raises FormatError, NewerVersionError."""
    check_header(data, ObjectKind.KEY_SLOT, f"keys/{name}")
    try:
        slot = msgspec.msgpack.decode(data[HEADER_BYTES:], type=Slot)
    except MALFORMED as error:
        raise FormatError(f"keys/{name} is malformed: {error}") from error
    kdf = slot.kdf
    if (kdf is None) is (slot.kind == "password") or len(slot.salt) != 32 or len(slot.nonce) != 12:
        raise FormatError(f"keys/{name} contradicts itself")
    bounds = kdf is None or (
        _MEMORY_KIB[0] <= kdf.memory_kib <= _MEMORY_KIB[1] and 1 <= kdf.passes <= 16 and 1 <= kdf.lanes <= 16
    )
    if not bounds:
        raise FormatError(f"keys/{name} asks for more work than this program does for a foreign slot")
    return slot


def open_slot(repository_id: bytes, name: str, slot: Slot, secret: bytes) -> bytes | None:
    """The keyring key, or None when the secret does not fit. For a password this takes about a second."""
    try:
        wrapping_key = _wrapping_key(secret, slot.kdf, slot.salt)
        return AESGCM(wrapping_key).decrypt(slot.nonce, slot.wrapped, _associated(repository_id, name))
    except InvalidTag:
        return None


def _wrapping_key(secret: bytes, kdf: Argon2 | None, salt: bytes) -> bytes:
    if kdf is not None:
        argon2 = Argon2id(
            salt=salt, length=32, iterations=kdf.passes, lanes=kdf.lanes, memory_cost=kdf.memory_kib
        )
        secret = argon2.derive(secret)
    return derive(secret, salt, "backupd slot")


def _associated(repository_id: bytes, name: str) -> bytes:
    return b"backupd slot" + repository_id + name.encode()


def _check_character(secret: bytes) -> str:
    return _ALPHABET[blake3(b"backupd key check" + secret).digest()[0] & 63]
