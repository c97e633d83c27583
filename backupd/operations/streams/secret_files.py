"""A secret for a child process: a file without a name that only it can open, never its arguments or environment."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress


class SecretFile:
    """A file of mode 0600 that a child inherits as a descriptor and opens at `path`; it is gone with the last of them.

    Where the system has no files in memory, one on the disk is unlinked before anything is written to it.
    """

    def __init__(self, content: bytes, uid: int | None) -> None:
        """uid: of the child's user; None: our own. Raises OSError."""
        self.fd = _make()
        try:
            os.fchmod(self.fd, 0o600)
            if uid is not None:
                os.fchown(self.fd, uid, -1)
            written = 0
            while written < len(content):
                written += os.write(self.fd, content[written:])
            os.lseek(self.fd, 0, os.SEEK_SET)
        except OSError:
            self.close()
            raise

    @property
    def path(self) -> str:
        """As the child opens it."""
        return f"/dev/fd/{self.fd}"

    def close(self) -> None:
        """Give up our own descriptor."""
        with suppress(OSError):
            os.close(self.fd)


def postgresql_passwords(secret: bytes) -> bytes:
    """A password file of libpq that holds for each server and user."""
    return b"*:*:*:*:" + secret.replace(b"\\", b"\\\\").replace(b":", b"\\:") + b"\n"


def mysql_options(secret: bytes) -> bytes:
    """An option file of MariaDB's and MySQL's clients."""
    return b'[client]\npassword="' + secret.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"\n'


def mongodb_configuration(secret: bytes) -> bytes:
    """A configuration file of MongoDB's tools: YAML."""
    return b'password: "' + secret.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"\n'


def _make() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("backupd", os.MFD_CLOEXEC)
    fd, path = tempfile.mkstemp()
    os.unlink(path)
    return fd
