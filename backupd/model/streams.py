"""Streams of a backup set: sources that are a command's output, as people write them and as jobs get them."""

from __future__ import annotations

from typing import Literal

from backupd.model.secret_references import SecretReference
from backupd.model.structs import Seconds, Strict, Text

STREAMS_NAME = b".streams"
STREAMS_PATH = b"/.streams"
"""The directory of a snapshot in which streams lie, each under its name; no directory of the machine."""
DATABASE_SERVERS = ("postgresql", "mysql", "mongodb")
"""Kinds that a server gives."""
DATABASES = ("postgresql", "mysql", "sqlite", "mongodb")
"""Kinds that can go back into one."""
KINDS = ("run", "postgresql", "mysql", "sqlite", "mongodb", "device", "system")
StreamKind = Literal["run", "postgresql", "mysql", "sqlite", "mongodb", "device", "system"]
ALL_DATABASES = "all"
GIVEN_UP = ".end"
"""Of a file beside a FIFO, once no end of what is written to it is waited for any more."""


class StreamText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a command writes, stored as one file. One of the seven kinds says which command."""

    name: str
    """Of the file; each run stores its next version."""
    run: list[str] | None = None
    """The command and its arguments, in no shell."""
    postgresql: str | None = None
    """Name of a database, or `all`."""
    mysql: str | None = None
    """Name of a database of MariaDB or MySQL, or `all`."""
    sqlite: str | None = None
    """Absolute path of a database."""
    mongodb: str | None = None
    """Name of a database, or `all`."""
    device: str | None = None
    """Absolute path of a block device, or of an image in a file."""
    system: bool | None = None
    """`true`: a text of what this machine is made of."""
    host: str | None = None
    """Of a database server: its name, or the directory or path of its socket; none: what its programs take."""
    port: int | None = None
    login: str | None = None
    """The database's own user."""
    password: SecretReference | None = None
    """Of the login; of `run`: readable at the path that BACKUPD_PASSWORD_FILE names."""
    user: str | None = None
    """Of this machine, as whom the command runs; none: as the daemon's."""
    environment: dict[str, str] = {}
    timeout: str | None = None
    """A duration, after which the command is ended; none: a day."""
    options: list[str] = []
    """Further words for the program that writes a database out."""

    @property
    def kind(self) -> StreamKind | None:
        """Which of the kinds it is; None for none or several of them, or one that is not filled in."""
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        return given[0] if len(given) == 1 and getattr(self, given[0]) else None  # type: ignore[return-value]


class StreamOrder(Strict, frozen=True, kw_only=True):
    """A stream for a job, its secret read."""

    text: StreamText
    timeout_seconds: Seconds = 86400
    secret: bytes | None = None
    warning: str = ""
    """Of how its secret is kept."""
