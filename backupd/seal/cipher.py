"""Authenticated encryption and key derivation (docs/format.md, Sealed objects)."""

from __future__ import annotations

import struct
from typing import Protocol

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backupd.errors import SealError, UsageError

VERSION = 1
TAG_BYTES = 16
SALT_BYTES = 32
CIPHERS = ("aes-256-gcm", "aes-128-gcm", "chacha20-poly1305")
_NONCE = struct.Struct("<IQ")
_PART = struct.Struct("<QB")


class Aead(Protocol):
    """An authenticated cipher under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Sealed bytes, the tag at their end."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Plain bytes; raises InvalidTag."""
        ...


def check_cipher_name(name: str) -> str:
    """The canonical name of a cipher. Raises UsageError, with the reason for modes that do not authenticate."""
    canonical = name.lower().replace("_", "-")
    if canonical in CIPHERS:
        return canonical
    if any(mode in canonical for mode in ("ecb", "cbc", "ctr", "cfb", "ofb")):
        raise UsageError(
            f"{name} is refused: it does not authenticate, so bytes changed at the destination would go unnoticed",
            hint="choose aes-256-gcm, aes-128-gcm or chacha20-poly1305",
        )
    raise UsageError(f"unknown cipher '{name}'", hint="choose aes-256-gcm, aes-128-gcm or chacha20-poly1305")


def new_aead(cipher: str, key: bytes) -> Aead:
    """The cipher of that name under a 32-byte key; AES-128 takes its first 16 bytes."""
    if cipher == "aes-256-gcm":
        return AESGCM(key)
    if cipher == "aes-128-gcm":
        return AESGCM(key[:16])
    if cipher == "chacha20-poly1305":
        return ChaCha20Poly1305(key)
    raise SealError(f"unknown cipher '{cipher}'")


def derive(key: bytes, salt: bytes, info: str) -> bytes:
    """32 bytes of HKDF-SHA256."""
    return HKDF(SHA256(), 32, salt, info.encode()).derive(key)


def keyed_hash(key: bytes, data: bytes | bytearray | memoryview) -> bytes:
    """32 bytes of BLAKE3 under a 32-byte key."""
    return blake3(data, key=key).digest()


def make_nonce(domain: int, number: int) -> bytes:
    """12 bytes from a domain (what is sealed) and a number used once in it."""
    return _NONCE.pack(domain, number)


def open_sealed(aead: Aead, nonce: bytes, data: bytes | memoryview, associated: bytes, what: str) -> bytes:
    """Plain bytes. Raises SealError naming `what` when the bytes are not what was sealed there."""
    try:
        return aead.decrypt(nonce, data, associated)  # type: ignore[arg-type]
    except (InvalidTag, ValueError) as error:
        raise SealError(f"{what} fails its authentication: damaged, or not what stood there") from error


EPOCH_BYTES = 12
"""Of an epoch's name in headers."""


class EpochName(msgspec.Struct, frozen=True, array_like=True):
    """Which keyring epoch sealed an object: the number people see and the random part that makes it unique."""

    number: int
    random: bytes

    @property
    def text(self) -> str:
        """The object name below `keyring/`."""
        return f"{self.number}-{self.random.hex()}"

    def pack(self) -> bytes:
        """12 bytes, as they stand in headers."""
        return struct.pack("<I8s", self.number, self.random)


def unpack_epoch(data: bytes | memoryview) -> EpochName:
    """The inverse of `EpochName.pack`."""
    number, random = struct.unpack("<I8s", data)
    return EpochName(number, random)


class Binding(msgspec.Struct, frozen=True):
    """What a sealed part is bound to: kind, repository, epoch and the object's full name below the repository."""

    kind: int
    repository_id: bytes
    epoch: EpochName
    name: str

    def associated(self, part: int, is_last: bool) -> bytes:
        """Associated data of one part."""
        head = b"backupd" + bytes((VERSION, self.kind)) + self.repository_id + self.epoch.pack()
        return head + _PART.pack(part, is_last) + self.name.encode()
