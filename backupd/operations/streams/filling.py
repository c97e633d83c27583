"""How each kind of database is filled from a dump: looked at first, made where it is not there, then filled."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Protocol

from backupd import durable_io
from backupd.errors import UsageError
from backupd.inode_io import sync_file_system
from backupd.model.streams import ALL_DATABASES, StreamOrder
from backupd.operations.context import JobContext
from backupd.operations.streams.commands import connection
from backupd.operations.streams.database_programs import DatabasePrograms, in_use, telling_what_is_left
from backupd.operations.streams.filling_all import MysqlServer, PostgresqlServer
from backupd.operations.streams.filling_mongodb import MongodbDatabase, MongodbServer
from backupd.operations.streams.psql import Psql
from backupd.store_errors import StreamError
from backupd.target.placing import lock_temporary, remove_leftovers, temporary_name

_NAME = re.compile(r"[^-\s=/\\:\0'\"`][^\s=/\\:\0'\"`]{0,127}")
_BEGUN = re.compile(rb"^(?:(USE |CREATE DATABASE )|DROP |CREATE |INSERT )", re.MULTILINE | re.IGNORECASE)
"""The first statement of a dump that does something, and in its group if that chooses a database."""
_MOST_HEAD_BYTES = 1 << 20


class Filling(Protocol):
    """One database that is to be filled, or all of a server."""

    def refuse_full(self) -> None:
        """Raise DatabaseInUseError where it holds anything; StreamError where that can't be seen."""
        ...

    def make(self) -> None:
        """Make it where it is not there. Raises StreamError."""
        ...

    def fill(self, pieces: Iterator[bytes]) -> None:
        """Give it the dump. Raises StreamError."""
        ...


def filling_of(order: StreamOrder, name: str, context: JobContext, folder: str, *, owner: str) -> Filling:
    """What fills a database of a stream's kind, or all of its server. folder: for what programs put aside.

    owner: as of a restore. Raises UsageError.
    """
    kind = order.text.kind
    is_of_all = ALL_DATABASES in (order.text.postgresql, order.text.mysql, order.text.mongodb)
    if owner != "name" and (owner, kind, is_of_all) != ("me", "postgresql", False):
        raise UsageError(
            f"--owner {owner} is not for a database of {order.text.name}",
            hint="a dump of one database of PostgreSQL has owners that --owner me leaves out",
        )
    if kind == "sqlite":
        return _Sqlite(name)
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"'{name}' is no database's name", hint="its name alone; the server is that of the stream")
    if is_of_all != (name == ALL_DATABASES):
        what = "all databases" if is_of_all else "one database"
        hint = "--into-database all: the server must have none yet" if is_of_all else "--into-database NAME: its name"
        raise UsageError(f"{order.text.name} is a dump of {what}", hint=hint)
    programs = DatabasePrograms(order, context, folder)
    match kind:
        case "postgresql":
            return PostgresqlServer(programs) if is_of_all else _Postgresql(programs, name, owner != "me")
        case "mongodb":
            return MongodbServer(programs) if is_of_all else MongodbDatabase(programs, name)
        case _:
            return MysqlServer(programs) if is_of_all else _Mysql(programs, name)


class _Postgresql:
    def __init__(self, programs: DatabasePrograms, name: str, keeps_owners: bool) -> None:
        self._programs, self._name, self._keeps_owners = programs, name, keeps_owners
        self._psql = Psql(programs)
        self._is_there = False

    def refuse_full(self) -> None:
        found = self._psql.ask("select count(*) from pg_database where datname = :'name';\n", name=self._name)
        self._is_there = found != "0"
        if self._is_there:
            self._psql.refuse_full(self._name)

    def make(self) -> None:
        if not self._is_there:
            self._psql.ask('create database :"name" template template0;\n', name=self._name)

    def fill(self, pieces: Iterator[bytes]) -> None:
        words = ["--exit-on-error", "--single-transaction", *self._psql.connected(self._name)]
        if not self._keeps_owners:
            words += ["--no-owner", "--no-privileges"]
        try:
            self._programs.feed(["pg_restore"], words, pieces)
        except StreamError as error:
            raise StreamError(
                error.message,
                hint=f"{self._name} is as empty as before; where owners are missing here, --owner me leaves them out",
            ) from error


class _Mysql:
    def __init__(self, programs: DatabasePrograms, name: str) -> None:
        self._programs, self._name = programs, name

    def _words(self) -> list[str]:
        return connection(self._programs.order.text)

    def refuse_full(self) -> None:
        text = "".join(
            f"select count(*) from information_schema.{table} where {column} = '{self._name}';\n"
            for table, column in (("tables", "table_schema"), ("routines", "routine_schema"))
        )
        words = ["--batch", "--skip-column-names", *self._words()]
        counts = self._programs.answer(["mariadb", "mysql"], words, text).split()
        if counts != ["0", "0"]:
            raise in_use(f"the database {self._name} holds {counts[0] if counts else 'some'} tables")

    def make(self) -> None:
        text = f"create database if not exists `{self._name}`;\n"
        self._programs.answer(["mariadb", "mysql"], self._words(), text)

    def fill(self, pieces: Iterator[bytes]) -> None:
        dump = self._into_it_alone(pieces)
        told = f"part of it may be in {self._name}: drop that database before you try again"
        with telling_what_is_left(self._programs.context, f"in {self._name}", lambda: told):
            self._programs.feed(["mariadb", "mysql"], [*self._words(), f"--database={self._name}"], dump)

    def _into_it_alone(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces; their head is read for that. Raises StreamError for a dump that chooses databases by itself."""
        head = b""
        for piece in pieces:
            head += piece
            if _BEGUN.search(head) is not None or len(head) > _MOST_HEAD_BYTES:
                break
        begun = _BEGUN.search(head)
        if begun is not None and begun[1]:
            stream = self._programs.order.text.name
            raise StreamError(
                f"the dump goes where it came from, not into {self._name}: it was made with --databases",
                hint=f"bkctl restore SET /.streams/{stream} --strip --to DIR gives it back as a file; look into it",
            )
        return chain([head], pieces)


class _Sqlite:
    """A file; nothing but the whole database is ever seen under its name."""

    def __init__(self, path: str) -> None:
        self._path = path
        if not os.path.isabs(path):
            raise UsageError(f"'{path}' is no path of a database", hint="--into-database ./NAME")

    def refuse_full(self) -> None:
        beside = [self._path + end for end in ("-wal", "-journal")]
        if any(os.path.lexists(path) and os.lstat(path).st_size for path in (self._path, *beside)):
            raise in_use(f"the database {self._path} holds something")

    def make(self) -> None:
        if not os.path.isdir(os.path.dirname(self._path)):
            raise StreamError(f"{os.path.dirname(self._path)} is no directory", hint="make it, or name another file")

    def fill(self, pieces: Iterator[bytes]) -> None:
        folder = os.path.dirname(self._path)
        part = os.path.join(folder, os.fsdecode(temporary_name()))
        try:
            _tidy(folder)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                lock_temporary(fd)
                try:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    durable_io.sync_file(fd)
                    self._check(part)
                    self.refuse_full()
                    self._publish_lastingly(part, fd)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(part)
                    raise
        except OSError as error:
            hint = "may you write there, and is there space?"
            raise StreamError(f"{self._path}: {error.strerror}", hint=hint) from error

    def _publish_lastingly(self, part: str, fd: int) -> None:
        try:
            self._publish(part)
        except PermissionError:
            if os.path.lexists(part):
                raise
            # It has its name, but who may not list the directory can't bring that alone to the disk.
            sync_file_system(fd)

    def _publish(self, part: str) -> None:
        """Give it its name where nobody has made another database meanwhile; an empty one gives way."""
        try:
            try:
                durable_io.publish_new(part, self._path)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                durable_io.publish_weakly(part, self._path)
        except FileExistsError:
            self.refuse_full()
            os.rename(part, self._path)
            durable_io.sync_directory(os.path.dirname(self._path))

    @staticmethod
    def _check(path: str) -> None:
        try:
            database = sqlite3.connect(path)
            try:
                found = database.execute("PRAGMA quick_check(1)").fetchone()
            finally:
                database.close()
        except sqlite3.Error as error:
            raise StreamError(f"what is stored is no database of SQLite: {error}") from error
        if found != ("ok",):
            raise StreamError("what is stored is no whole database of SQLite")


def _tidy(folder: str) -> None:
    """Take away what restores that were killed had begun there, if one may list it."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_leftovers(fd)
        finally:
            os.close(fd)
