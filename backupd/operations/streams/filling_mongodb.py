"""How MongoDB is filled from an archive: one database that is empty, or a server that has none of its own yet.

There is no client among its tools, so `mongodump` is asked what there is: its archive begins with a list of that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from backupd.errors import UsageError
from backupd.model.streams import ALL_DATABASES
from backupd.operations.streams.commands import connection
from backupd.operations.streams.database_programs import DatabasePrograms, in_use, telling_what_is_left
from backupd.operations.streams.filling_all import listed
from backupd.operations.streams.mongodb_archive import ArchiveHead, read_head
from backupd.sizes import count
from backupd.store_errors import StreamError

_OWN = ("admin", "config", "local")
_NAME = re.compile(r"[^/\\. \"$*<>:|?\0]{1,63}")
"""Without what MongoDB refuses on any system: a `*` would stand for many of them."""
_CONNECTS = re.compile(
    r"--(authentication|compressors|gssapi|host|port|ssl|tls|uri|username|\w+Timeout|TCPKeepAlive)\w*|-[uh]|mongodb.*://.*"
)
_ALONE = re.compile(r"--(ssl|sslAllow\w+|sslFIPSMode|tlsInsecure)|mongodb.*://.*")
"""Without a word that belongs to them."""
_SAYS_WHERE = re.compile(
    r"--(authenticationDatabase|uri)|mongodb.*://|--authenticationMechanism[= ]?(GSSAPI|MONGODB|PLAIN)"
)
"""Where the login is: there, or with whoever vouches for it."""


class MongodbDatabase:
    """One database."""

    def __init__(self, programs: DatabasePrograms, name: str) -> None:
        """Raises UsageError."""
        self._programs, self._name = programs, name
        self._dumped = str(programs.order.text.mongodb)
        if _NAME.fullmatch(name) is None or len(os.fsencode(name)) > 63:
            raise UsageError(f"'{name}' is no name of a database of MongoDB", hint="63 bytes without . $ * / and such")
        if name in _OWN:
            raise UsageError(f"{name} is the server's own", hint="name one of yours, or one that is not there yet")

    def refuse_full(self) -> None:
        """Raise DatabaseInUseError where it holds anything; StreamError."""
        found = _there(self._programs, [f"--db={self._name}"])
        if found.namespaces:
            raise in_use(f"the database {self._name} holds {count(len(found.namespaces), 'collection')}")

    def make(self) -> None:
        """It is made with its first collection."""

    def fill(self, pieces: Iterator[bytes]) -> None:
        """Give it the archive. Raises StreamError."""
        head, whole = _stored(self._programs, pieces)
        if others := sorted({database for database, _ in head.namespaces} - {self._dumped}):
            message = f"the archive is of {', '.join(map(repr, others))}, not of {self._dumped} alone"
            raise StreamError(message, hint=_as_file(self._programs))
        # A star in a name would stand for many there.
        dumped = self._dumped.replace("*", r"\*")
        if any(name.startswith("$admin.") for _, name in head.namespaces):
            hint = "mongorestore --restoreDbUsersAndRoles brings them from the file"
            self._programs.context.warn(f"users and roles of {self._dumped} are left out: {hint}")
        words = [f"--nsInclude={dumped}.*", f"--nsFrom={dumped}.*", f"--nsTo={self._name}.*"]
        told = f"part of it may be in {self._name}: drop that database before you try again"
        with telling_what_is_left(self._programs.context, f"in {self._name}", lambda: told):
            _feed(self._programs, head, whole, words)


class MongodbServer:
    """All databases, users and roles of a server."""

    def __init__(self, programs: DatabasePrograms) -> None:
        self._programs = programs

    def refuse_full(self) -> None:
        """Raise DatabaseInUseError where it has a database but its own, or a collection in them; StreamError."""
        found = _there(self._programs, [])
        databases = {database for database, name in found.namespaces if not _is_own(database, name)}
        if databases:
            raise in_use(f"the server has {listed('database', sorted(map(os.fsencode, databases)))} already")
        self._programs.context.warn("users and roles of the dump are added to those that the server has")

    def make(self) -> None:
        """The archive makes its databases."""

    def fill(self, pieces: Iterator[bytes]) -> None:
        """Give it the archive. Raises StreamError."""
        head, whole = _stored(self._programs, pieces)
        told = "part of it may be on the server, some of its users too: drop what is there before you try again"
        with telling_what_is_left(self._programs.context, "on the server", lambda: told):
            _feed(self._programs, head, whole, ["--oplogReplay"] if head.has_oplog else [])


def _there(programs: DatabasePrograms, words: list[str]) -> ArchiveHead:
    """What there is to be dumped; nothing is, but its list."""
    words = ["--archive", *_connected(programs), *words]
    return programs.beginning(["mongodump"], words, lambda pieces: read_head(pieces)[0])


def _stored(programs: DatabasePrograms, pieces: Iterator[bytes]) -> tuple[ArchiveHead, Iterator[bytes]]:
    """The head of what is to be filled in, and all of it. Raises StreamError, of one that holds nothing, too."""
    try:
        head, whole = read_head(pieces)
    except StreamError as error:
        raise StreamError(error.message, hint=_as_file(programs)) from error
    if not head.namespaces:
        # As mongodump dumps a database that is not there, too, and says that all is well.
        raise StreamError("the archive holds no collection", hint="does the stream name the right database?")
    return head, whole


def _as_file(programs: DatabasePrograms) -> str:
    stream = programs.order.text.name
    return f"bkctl restore SET /.streams/{stream} --strip --to DIR gives it back as a file; look into it"


def _feed(programs: DatabasePrograms, head: ArchiveHead, archive: Iterator[bytes], words: list[str]) -> None:
    words = ["--archive", "--stopOnError", *_connected(programs), *words]
    programs.feed(["mongorestore"], [*words, "--gzip"] if head.is_gzip else words, archive)


def _connected(programs: DatabasePrograms) -> list[str]:
    """The words that say which server, and as whom: of the options for `mongodump` those that do."""
    text = programs.order.text
    chosen: list[str] = []
    options = iter(text.options)
    for word in options:
        if (found := _CONNECTS.match(word)) is None:
            continue
        chosen.append(word)
        if word == found[0] and not _ALONE.fullmatch(word):
            chosen += [value for value in (next(options, None),) if value is not None]
    has_login = text.login is not None or any(word.startswith(("-u", "--username")) for word in chosen)
    if has_login and text.mongodb != ALL_DATABASES and not _SAYS_WHERE.search(" ".join(chosen)):
        # Where `mongodump --db` looks by itself for who dumps that.
        chosen.append(f"--authenticationDatabase={text.mongodb}")
    return [*connection(text, "--username"), *chosen]


def _is_own(database: str, collection: str) -> bool:
    return database in _OWN and (database != "admin" or collection.startswith("system."))

