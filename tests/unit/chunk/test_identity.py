"""If these fail, chunks are named otherwise than before, or data is shared over the scope its owner chose."""

from __future__ import annotations

import os

from blake3 import blake3

from backupd.chunk.identity import ZERO_SALT, Identity, node_key, path_salt, set_salt

KEY = bytes(range(32))
SET = bytes(range(16))


def test_golden_names() -> None:
    identity = Identity(KEY)
    assert identity.chunk_id(b"backup").hex() == "9019aead676f42aa9838e3e5d0ea6ed8487b9364d8c0e30e10cdfcf2f46cc8b2"
    assert (
        identity.chunk_id(b"backup", set_salt(SET)).hex()
        == "1d9ccc7f84caf43fe590c4151b4c187e23ab2cbe7e6ee0096c8291861b9f7733"
    )
    assert (
        identity.chunk_id(b"backup", path_salt(SET, b"/etc/\xff")).hex()
        == "ed2df5479cda1b632095900a475c8399a6e9c27c9e3dbc2f594dbd0a4c491370"
    )
    assert node_key(KEY).hex() == "1bace337a89026e32b5f8c41dba7e35687afe089b80c5ca1269dbf95b9bf3c55"


def test_a_name_is_a_keyed_hash_under_the_key_of_its_scope() -> None:
    for salt in (ZERO_SALT, set_salt(SET)):
        scope = blake3(salt, key=KEY).digest()
        assert Identity(KEY).chunk_id(memoryview(b"data"), salt) == blake3(b"data", key=scope).digest()


def test_many_scopes_do_not_pile_up() -> None:
    """Without deduplication every file version is a scope of its own."""
    identity = Identity(KEY)
    first = identity.chunk_id(b"data", ZERO_SALT)
    names = {identity.chunk_id(b"data", os.urandom(32)) for _ in range(3000)}
    assert len(names) == 3000
    assert identity.chunk_id(b"data", ZERO_SALT) == first
    assert len(identity._scope_keys) <= 1024
