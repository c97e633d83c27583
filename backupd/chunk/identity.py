"""How chunks are named: keyed hashes, their key by the scope of deduplication (docs/format.md, Chunks)."""

from __future__ import annotations

from blake3 import blake3

CHUNK_ID_BYTES = 32
ZERO_SALT = bytes(32)
"""Scope salt of the whole repository, and of all chunks of trees, lists and attribute values."""
_KEPT_SCOPES = 1024


class Identity:
    """Names chunks; keeps the keys of the scopes it met, so that a chunk costs one hash."""

    def __init__(self, chunk_id_key: bytes) -> None:
        self._chunk_id_key = chunk_id_key
        self._scope_keys: dict[bytes, bytes] = {}

    def chunk_id(self, data: bytes | bytearray | memoryview, salt: bytes = ZERO_SALT) -> bytes:
        """32 bytes; equal for equal data of one scope."""
        key = self._scope_keys.get(salt)
        if key is None:
            key = self._add_scope(salt)
        return blake3(data, key=key).digest()

    def _add_scope(self, salt: bytes) -> bytes:
        if len(self._scope_keys) >= _KEPT_SCOPES:
            # Without deduplication every file version is a scope.
            self._scope_keys.clear()
        key = self._scope_keys[salt] = scope_key(self._chunk_id_key, salt)
        return key


def scope_key(chunk_id_key: bytes, salt: bytes) -> bytes:
    """The key that names chunks of one scope."""
    return blake3(salt, key=chunk_id_key).digest()


def set_salt(set_id: bytes) -> bytes:
    """Scope salt of a backup set. set_id: 16 bytes."""
    return blake3(b"backupd set" + set_id).digest()


def path_salt(set_id: bytes, path: bytes) -> bytes:
    """Scope salt of one path of a set, drawn at first sight of it; afterwards the entry carries it."""
    return blake3(b"backupd path" + set_id + path).digest()


def node_key(chunk_id_key: bytes) -> bytes:
    """The key under which hashes of names decide where a tree node ends (docs/format.md, Trees)."""
    return blake3(b"backupd nodes" + chunk_id_key).digest()
