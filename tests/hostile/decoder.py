"""What is fuzzed: one row a decoder, and the fixed keys under which valid seals are put over hostile bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backupd.errors import BackupError
from backupd.seal.cipher import Binding, EpochName, keyed_hash
from backupd.seal.header import ObjectKind
from backupd.seal.keyring import Configuration, EpochKeys, Keyring
from tests.hostile.inputs import Shape

Decode = Callable[[bytes, Path], object]
"""Takes the input and an empty directory."""

REPOSITORY_ID = bytes(range(16))
CIPHER = "aes-256-gcm"
KEYRING_KEY = bytes(range(1, 33))
EPOCH = EpochName(1, b"epoch-01")
KEYS = EpochKeys(1, EPOCH.random, bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32)
KEYRING = Keyring(
    1,
    EPOCH.random,
    keyed_hash(KEYRING_KEY, b"backupd keyring" + REPOSITORY_ID),
    bytes([4]) * 32,
    5,
    Configuration(CIPHER, 32 << 20),
    [KEYS],
)


@dataclass(frozen=True)
class Decoder:
    """One decoder with valid encodings to begin from."""

    name: str
    decode: Decode
    seeds: tuple[bytes, ...]
    shape: Shape = "bytes"
    raises: tuple[type[Exception], ...] = (BackupError,)
    """What it may end with: errors that a user is told, or those that its docstring leaves to its caller."""
    gives_error: bool = False
    """Whether what it makes of valid bytes is an error, too."""


def binding(kind: ObjectKind, name: str) -> Binding:
    """What an object of the fixed repository is bound to."""
    return Binding(kind, REPOSITORY_ID, EPOCH, name)
