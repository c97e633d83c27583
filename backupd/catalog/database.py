"""The catalog's file: one thread that writes, one that reads; copied before it is brought to a newer version.

SQLite in WAL mode, synchronous=FULL: what was answered with "done" survives a power cut. Names of files stand in it, so
it is 0600. It is never the only truth: lost, sets come back from conf.d and repositories from their destinations.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from backupd.catalog.migrations import STEPS
from backupd.catalog.reserve import Reserve
from backupd.errors import BackupError, NewerVersionError, StateError, StateFullError
from backupd.wire.malformed import MALFORMED

_NEEDED = "backupd takes nothing new on below 96 MiB"
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says on a full disk, depending on the file that it could not write."""
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""Statements are the program's own: where one does not fit, the tables are not those that it made."""

P = ParamSpec("P")
T = TypeVar("T")
Connection = sqlite3.Connection
Work = Callable[Concatenate[Connection, P], T]


class Database:
    """An open catalog. Methods give futures; the functions they are given run on the threads of this object."""

    def __init__(self, state: str, steps: Sequence[str] = STEPS) -> None:
        """Open or make `<state>/catalog.sqlite`, on a full disk with the space of the reserve.

        steps: of migration. Raises NewerVersionError, StateFullError, BackupError.
        """
        self.path, self._steps = os.path.join(state, "catalog.sqlite"), steps
        self._reserve = Reserve(os.path.join(state, "reserve"))
        self._writer = ThreadPoolExecutor(1, "catalog-writer")
        self._reader = ThreadPoolExecutor(1, "catalog-reader")
        try:
            try:
                self._open()
            except sqlite3.OperationalError as error:
                if not _is_full(error):
                    raise
                self._reserve.give_up()
                self._open()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        self.keep_reserve()

    def write(self, work: Work[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Run `work(connection, ...)` as one transaction. Its future raises StateFullError, BackupError.

        Refused while the reserve is given up. Only what frees space or ends work may use that: see `write_always`.
        """
        return self._writer.submit(self._transact, lambda c: work(c, *args, **named), may_spend=False)

    def write_always(self, work: Work[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """As `write`; on a full disk the reserve file is given up for it."""
        return self._writer.submit(self._transact, lambda c: work(c, *args, **named), may_spend=True)

    def read(self, work: Work[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Run `work(connection, ...)` on what is committed."""
        return self._reader.submit(self._look, lambda c: work(c, *args, **named))

    def keep_reserve(self) -> bool:
        """Make the reserve again where it was given up and there is room; whether it is there. May be slow."""
        return self._reserve.keep()

    def make_room(self) -> None:
        """Give the reserve up where the disk is full, for a job that is to end with a checkpoint."""
        self._reserve.make_room()

    def close(self) -> None:
        """Finish what was given, then close."""
        for pool, connection in ((self._reader, self._reading), (self._writer, self._writing)):
            pool.submit(connection.close).result()
            pool.shutdown()

    def _open(self) -> None:
        self._writing = self._writer.submit(self._open_to_write).result()
        self._reading = self._reader.submit(_connect, self.path).result()

    def _transact(self, work: Callable[[Connection], T], *, may_spend: bool) -> T:
        if self._reserve.is_given_up and not may_spend:
            raise self._full()
        try:
            return self._attempt(work)
        except sqlite3.OperationalError as error:
            if not _is_full(error) or not may_spend:
                raise self._translated(error) from error
        except (sqlite3.Error, *MALFORMED) as error:
            raise self._translated(error) from error
        self._reserve.give_up()
        try:
            return self._attempt(work)
        except (sqlite3.Error, *MALFORMED) as error:
            raise self._translated(error) from error

    def _attempt(self, work: Callable[[Connection], T]) -> T:
        connection = self._writing
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _look(self, work: Callable[[Connection], T]) -> T:
        try:
            return work(self._reading)
        except (sqlite3.Error, *MALFORMED) as error:
            raise self._translated(error) from error

    def _open_to_write(self) -> Connection:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.close(fd)
        connection = _connect(self.path)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        known = len(self._steps)
        if version > known:
            connection.close()
            copies = [path for n in range(known, 0, -1) if os.path.exists(path := f"{self.path}.v{n}")]
            back = f", or move {self.path} away and put back {copies[0]}, the copy from before" if copies else ""
            raise NewerVersionError(
                f"{self.path} was written by a newer backupd (catalog version {version}, known here: {known})",
                hint=f"update backupd{back}",
                context={"copy": copies[0] if copies else None},
            )
        if 0 < version < known:
            self._copy(connection, version)
        for number in range(version, known):
            self._migrate(connection, number)
        return connection

    def _migrate(self, connection: Connection, number: int) -> None:
        """One step, all of it or nothing."""
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {self._steps[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )
        except sqlite3.Error:
            connection.close()
            raise

    def _copy(self, connection: Connection, version: int) -> None:
        """Keep the catalog as it is before it migrates: an older backupd can go back to it."""
        path = f"{self.path}.v{version}"
        with suppress(FileNotFoundError):
            os.unlink(path)
        copy = sqlite3.connect(path)
        with copy:
            connection.backup(copy)
        copy.close()
        os.chmod(path, 0o600)

    def _translated(self, error: Exception) -> BackupError:
        """What has no code is malformed: SQLite has no checksums, so a wrong digit may first show in a row's text."""
        if _is_full(error):
            return self._full()
        if not hasattr(error, "sqlite_errorcode") or _code(error) in _DAMAGED:
            return StateError(
                f"{self.path} is damaged: {error}",
                hint="move it away and start again: sets come back from conf.d, repositories from their destinations",
            )
        return BackupError(f"{self.path}: {error}")

    def _full(self) -> StateFullError:
        above = os.path.dirname(self.path)
        return StateFullError(
            f"no space left for {self.path}", hint=f"free some space on the file system of {above}: {_NEEDED}"
        )


def _is_full(error: Exception) -> bool:
    return _code(error) in _FULL


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _connect(path: str) -> Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
