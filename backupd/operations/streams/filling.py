"""How each kind of database is filled from a dump: looked at first, made where it is not there, then filled."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from backupd import durable_io
from backupd.errors import BackupError, UsageError
from backupd.model.streams import ALL_DATABASES, StreamOrder
from backupd.operations.context import JobContext
from backupd.operations.streams.commands import Making, connection, give_password
from backupd.operations.streams.process import StreamProcess
from backupd.store_errors import DatabaseInUseError, StreamError

_NAME = re.compile(r"[^-\s=/\\:\0'\"`][^\s=/\\:\0'\"`]{0,127}")
_MOST_ANSWER = 1 << 16
_POSTGRESQL_OBJECTS = (
    "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)';\n"
)


class Filling(Protocol):
    """One database that is to be filled."""

    def refuse_full(self) -> None:
        """Raise DatabaseInUseError where it holds anything; StreamError where that can't be seen."""
        ...

    def make(self) -> None:
        """Make it where it is not there. Raises StreamError."""
        ...

    def fill(self, pieces: Iterator[bytes]) -> None:
        """Give it the dump. Raises StreamError."""
        ...


def filling_of(order: StreamOrder, name: str, context: JobContext, folder: str, *, keeps_owners: bool) -> Filling:
    """What fills a database of a stream's kind. folder: for what programs put aside. Raises UsageError."""
    kind = order.text.kind
    if kind == "sqlite":
        return _Sqlite(name)
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"'{name}' is no database's name", hint="its name alone; the server is that of the stream")
    if kind == "mongodb" or ALL_DATABASES in (order.text.postgresql, order.text.mysql):
        program = {"postgresql": "psql -f FILE postgres", "mysql": "mariadb < FILE"}.get(str(kind), "mongorestore")
        raise UsageError(
            f"{order.text.name} can't be put into one database that is sure to be empty",
            hint=f"bkctl restore SET /.streams/{order.text.name} --strip --to DIR, then {program}",
        )
    programs = _Programs(order, context, folder)
    return _Postgresql(programs, name, keeps_owners) if kind == "postgresql" else _Mysql(programs, name)


class _Programs:
    """The programs of one server, with the stream's connection."""

    def __init__(self, order: StreamOrder, context: JobContext, folder: str) -> None:
        self.order, self.context, self._folder = order, context, folder

    def answer(self, programs: list[str], words: list[str], text: str) -> str:
        """What a program says to a text on its standard input. Raises StreamError."""
        found: list[bytes] = []

        def read(fd: int) -> None:
            with os.fdopen(fd, "rb") as file:
                found.append(file.read(_MOST_ANSWER))
                while file.read(_MOST_ANSWER):
                    pass

        read_fd, write_fd = os.pipe()
        reader = threading.Thread(target=read, args=(read_fd,), daemon=True)
        reader.start()
        try:
            self._run(programs, words, iter([text.encode()]), write_fd)
        finally:
            os.close(write_fd)
            reader.join()
        return found[0].decode(errors="replace").strip()

    def feed(self, programs: list[str], words: list[str], pieces: Iterator[bytes]) -> None:
        """Give a program bytes on its standard input. Raises StreamError."""
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            self._run(programs, words, pieces, null)
        finally:
            os.close(null)

    def _run(self, programs: list[str], words: list[str], pieces: Iterator[bytes], stdout: int) -> None:
        making = Making(self.order, self._folder, self.context.environ.get("PATH", ""))
        command = give_password(making, making.command(programs, words))
        process = StreamProcess(self.order.text, self.order.timeout_seconds, command, self.context)
        read_fd, write_fd = os.pipe()
        try:
            process.start(stdin=read_fd, stdout=stdout, feeds=write_fd)
            os.close(read_fd)
            read_fd = -1
            with suppress(BrokenPipeError):
                for piece in pieces:
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(write_fd, view) :]
            process.end_input()
            os.close(write_fd)
            write_fd = -1
            process.wait()
            if process.failure is not None:
                raise StreamError(f"{self.order.text.name}: {process.failure}", hint="what it said is in the job's log")
        except BaseException:
            # Before its input ends: what is cut off there might be taken for a whole statement, and for all.
            process.close()
            raise
        finally:
            for fd in (read_fd, write_fd):
                if fd >= 0:
                    os.close(fd)


class _Postgresql:
    def __init__(self, programs: _Programs, name: str, keeps_owners: bool) -> None:
        self._programs, self._name, self._keeps_owners = programs, name, keeps_owners
        self._is_there = False

    def _words(self, database: str) -> list[str]:
        return ["--no-password", *connection(self._programs.order.text, "--username"), f"--dbname={database}"]

    def _ask(self, database: str, text: str) -> str:
        words = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        words.append(f"--set=name={self._name}")
        return self._programs.answer(["psql"], [*words, *self._words(database)], text)

    def refuse_full(self) -> None:
        found = self._ask("postgres", "select count(*) from pg_database where datname = :'name';\n")
        self._is_there = found != "0"
        if self._is_there and (count := self._ask(self._name, _POSTGRESQL_OBJECTS)) != "0":
            raise _in_use(self._name, f"{count} tables, indexes and the like")

    def make(self) -> None:
        if not self._is_there:
            self._ask("postgres", 'create database :"name" template template0;\n')

    def fill(self, pieces: Iterator[bytes]) -> None:
        words = ["--exit-on-error", "--single-transaction", *self._words(self._name)]
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
    def __init__(self, programs: _Programs, name: str) -> None:
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
            raise _in_use(self._name, f"{counts[0] if counts else 'some'} tables")

    def make(self) -> None:
        text = f"create database if not exists `{self._name}`;\n"
        self._programs.answer(["mariadb", "mysql"], self._words(), text)

    def fill(self, pieces: Iterator[bytes]) -> None:
        # For who finds a job that was killed, which can't say anything more.
        self._programs.context.tell("information", f"until all is in {self._name}, it holds a part of the dump")
        try:
            self._programs.feed(["mariadb", "mysql"], [*self._words(), f"--database={self._name}"], pieces)
        except BackupError as error:
            told = f"part of it may be in {self._name}: drop that database before you try again"
            # Whatever ended it, and however that is told.
            self._programs.context.warn(told)
            if isinstance(error, StreamError):
                raise StreamError(error.message, hint=told) from error
            raise


class _Sqlite:
    """A file; nothing but the whole database is ever seen under its name."""

    def __init__(self, path: str) -> None:
        self._path = path
        if not os.path.isabs(path):
            raise UsageError(f"'{path}' is no path of a database", hint="--into-database ./NAME")

    def refuse_full(self) -> None:
        beside = [self._path + end for end in ("-wal", "-journal")]
        if any(os.path.lexists(path) and os.lstat(path).st_size for path in (self._path, *beside)):
            raise _in_use(self._path, "something")

    def make(self) -> None:
        if not os.path.isdir(os.path.dirname(self._path)):
            raise StreamError(f"{os.path.dirname(self._path)} is no directory", hint="make it, or name another file")

    def fill(self, pieces: Iterator[bytes]) -> None:
        part = f"{self._path}.part"
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                with os.fdopen(fd, "wb") as file:
                    for piece in pieces:
                        file.write(piece)
                    file.flush()
                    durable_io.sync_file(file.fileno())
                self._check(part)
                self.refuse_full()
                self._publish(part)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part)
                raise
        except OSError as error:
            hint = "may you write there, and is there space?"
            raise StreamError(f"{self._path}: {error.strerror}", hint=hint) from error

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


def _in_use(name: str, what: str) -> DatabaseInUseError:
    return DatabaseInUseError(
        f"the database {name} holds {what}",
        hint="name one that is empty or not there yet, and compare; nothing was changed",
    )
