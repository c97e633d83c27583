"""The key by which this host signs lists of what it deleted: Ed25519, kept beside the keys of repositories."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backupd import durable_io
from backupd.errors import AccessError
from backupd.settings.directories import ensure
from backupd.state_errors import translated

_BYTES = 32


def load_or_make(data: str) -> Ed25519PrivateKey:
    """The host's key, drawn at first use, 0600 in the data directory. Raises AccessError, StateFullError."""
    path = os.path.join(ensure(data), "evidence.key")
    try:
        if not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
            durable_io.write_temporary(temporary, [f"{os.urandom(_BYTES).hex()}\n".encode()])
            try:
                durable_io.publish_new(temporary, path)
            except FileExistsError:
                os.unlink(temporary)
        with open(path, "rb") as file:
            secret = bytes.fromhex(file.read(256).decode("ascii", "replace").strip())
    except OSError as error:
        raise translated(error, path) from error
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise AccessError(f"{path} holds no key", hint="remove it: the next list is signed by a new one")
    return Ed25519PrivateKey.from_private_bytes(secret)
