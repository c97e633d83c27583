"""Keyrings: the keys and the configuration of a repository, by epoch (docs/format.md, Keyring)."""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec

from backupd.errors import FormatError, KeyMissingError
from backupd.seal.cipher import Binding, EpochName, check_cipher_name, keyed_hash
from backupd.seal.envelope import open_object, seal_object
from backupd.seal.header import ObjectKind
from backupd.sizes import MOST_PARITY
from backupd.wire.malformed import MALFORMED

Word = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""What headers and the cutter hold in 32 bits."""
BLOCK_BYTES_CHOICES = (32 << 20, 64 << 20)


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """What is chosen once, when a repository is made."""

    cipher: str
    block_bytes: int
    parity: int = 0
    """Percent of a block's bytes that are stored once more in another form, to heal what gets lost of it."""


class EpochKeys(msgspec.Struct, frozen=True, array_like=True):
    """Keys for what was written during one epoch."""

    number: Word
    random: bytes
    data_key: bytes
    index_key: bytes
    snapshot_key: bytes

    @property
    def name(self) -> EpochName:
        """The epoch's name, as it stands in objects."""
        return EpochName(self.number, self.random)


class Keyring(msgspec.Struct, frozen=True, array_like=True):
    """All keys of a repository that one epoch knows; the last of `epochs` is its own."""

    number: Word
    random: bytes
    commitment: bytes
    chunk_id_key: bytes
    chunker_seed: Word
    configuration: Configuration
    epochs: list[EpochKeys]

    @property
    def current(self) -> EpochKeys:
        """Keys for what is written now."""
        return self.epochs[-1]

    def keys_of(self, epoch: EpochName) -> EpochKeys:
        """Keys of an epoch. Raises KeyMissingError for one that came after this keyring."""
        for keys in self.epochs:
            if keys.number == epoch.number and keys.random == epoch.random:
                return keys
        raise KeyMissingError(
            f"this key opens epochs up to {self.number}, but something was written in epoch {epoch.number}",
            hint="use a key that was added or made anew at the last `bkctl key rotate`",
        )


def new_keyring(repository_id: bytes, keyring_key: bytes, configuration: Configuration) -> Keyring:
    """A repository's first keyring, of random keys."""
    epoch = EpochKeys(1, os.urandom(8), os.urandom(32), os.urandom(32), os.urandom(32))
    seed = int.from_bytes(os.urandom(4), "little")
    commitment = _commitment(repository_id, keyring_key)
    return Keyring(1, epoch.random, commitment, os.urandom(32), seed, configuration, [epoch])


def next_keyring(repository_id: bytes, keyring_key: bytes, old: Keyring, number: int = 0) -> Keyring:
    """The keyring of a new epoch: new keys for what is written, the old ones still readable.

    number: where the next one is taken by a rotation that was broken off.
    """
    epoch = EpochKeys(number or old.number + 1, os.urandom(8), os.urandom(32), os.urandom(32), os.urandom(32))
    commitment = _commitment(repository_id, keyring_key)
    return msgspec.structs.replace(
        old, number=epoch.number, random=epoch.random, commitment=commitment, epochs=[*old.epochs, epoch]
    )


def seal_keyring(repository_id: bytes, keyring_key: bytes, keyring: Keyring) -> bytes:
    """The object `keyring/<n>-<random>`. Its own cipher is always AES-256-GCM: the configuration lies inside."""
    binding = _binding(repository_id, keyring.current.name)
    plain = msgspec.msgpack.encode(fields_of(keyring))
    return seal_object(ObjectKind.KEYRING, keyring_key, "aes-256-gcm", binding, plain)


def fields_of(keyring: Keyring) -> list[Any]:
    """What stands in a keyring object: a field that came later only where it says something."""
    config = keyring.configuration
    shown = [config.cipher, config.block_bytes, *([config.parity] if config.parity else [])]
    fields = (getattr(keyring, name) for name in Keyring.__struct_fields__)
    return [shown if field is config else field for field in fields]


def open_keyring(repository_id: bytes, keyring_key: bytes, name: EpochName, data: bytes) -> Keyring:
    """Read a keyring object. Raises SealError, FormatError."""
    binding = _binding(repository_id, name)
    plain = open_object(ObjectKind.KEYRING, keyring_key, "aes-256-gcm", binding, data)
    try:
        keyring = msgspec.msgpack.decode(plain, type=Keyring)
    except MALFORMED as error:
        raise FormatError(f"{binding.name} is malformed: {error}") from error
    # Compared as it comes: only who has the key gets here, and nobody else can offer a commitment.
    if keyring.commitment != _commitment(repository_id, keyring_key):
        raise FormatError(f"{binding.name} is not committed to its key")
    sound = keyring.epochs and keyring.current.name == name and len(keyring.chunk_id_key) == 32
    if not sound or any(len(k) != 32 for e in keyring.epochs for k in (e.data_key, e.index_key, e.snapshot_key)):
        raise FormatError(f"{binding.name} contradicts itself")
    if keyring.configuration.block_bytes not in BLOCK_BYTES_CHOICES:
        raise FormatError(f"{binding.name}: block size {keyring.configuration.block_bytes} is not known")
    if not 0 <= keyring.configuration.parity <= MOST_PARITY:
        raise FormatError(f"{binding.name}: parity of {keyring.configuration.parity} percent is not known")
    check_cipher_name(keyring.configuration.cipher)
    return keyring


def _binding(repository_id: bytes, name: EpochName) -> Binding:
    return Binding(ObjectKind.KEYRING, repository_id, name, f"keyring/{name.text}")


def _commitment(repository_id: bytes, keyring_key: bytes) -> bytes:
    return keyed_hash(keyring_key, b"backupd keyring" + repository_id)
