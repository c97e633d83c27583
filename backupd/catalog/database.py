"""The catalog's file: one thread that writes, one that reads; copied before it is brought to a newer version.

SQLite in WAL mode, synchronous=FULL: what was answered with "done" survives a power cut. Names of files stand in it, so
it is 0600. It is never the only truth: lost, sets come back from conf.d and repositories from their destinations.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from backupd import durable_io
from backupd.catalog.migrations import STEPS
from backupd.errors import BackupError, NewerVersionError, StateFullError

RESERVE_BYTES = 64 << 20

P = ParamSpec("P")
T = TypeVar("T")
Connection = sqlite3.Connection
Work = Callable[Concatenate[Connection, P], T]


class Database:
    """An open catalog. Methods give futures; the functions they are given run on the threads of this object."""

    def __init__(self, state: str) -> None:
        """Open or make `<state>/catalog.sqlite`. Raises NewerVersionError, StateFullError, BackupError."""
        self.path = os.path.join(state, "catalog.sqlite")
        self._reserve = os.path.join(state, "reserve")
        self._writer = ThreadPoolExecutor(1, "catalog-writer")
        self._reader = ThreadPoolExecutor(1, "catalog-reader")
        try:
            self._writing = self._writer.submit(self._open_to_write).result()
            self._reading = self._reader.submit(_connect, self.path).result()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        self.keep_reserve()

    def write(self, work: Work[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Run `work(connection, ...)` as one transaction. Its future raises StateFullError, BackupError.

        Only what frees space or ends work may fall back on the reserve: see `write_always`.
        """
        return self._writer.submit(self._transact, lambda c: work(c, *args, **named), may_spend=False)

    def write_always(self, work: Work[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """As `write`; on a full disk the reserve file is given up for it."""
        return self._writer.submit(self._transact, lambda c: work(c, *args, **named), may_spend=True)

    def read(self, work: Work[P, T], *args: P.args, **named: P.kwargs) -> Future[T]:
        """Run `work(connection, ...)` on what is committed."""
        return self._reader.submit(self._look, lambda c: work(c, *args, **named))

    def keep_reserve(self) -> bool:
        """Make the reserve file again where it was spent and there is room; whether it is there."""
        with suppress(OSError):
            if os.stat(self._reserve).st_size == RESERVE_BYTES:
                return True
        try:
            with suppress(FileNotFoundError):
                os.unlink(self._reserve)
            durable_io.write_temporary(self._reserve, [bytes(1 << 20)] * (RESERVE_BYTES >> 20), keeps_cached=False)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Finish what was given, then close."""
        for pool, connection in ((self._reader, self._reading), (self._writer, self._writing)):
            pool.submit(connection.close).result()
            pool.shutdown()

    def _transact(self, work: Callable[[Connection], T], *, may_spend: bool) -> T:
        try:
            return self._attempt(work)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) or not may_spend:
                raise self._translated(error) from error
        except sqlite3.Error as error:
            raise self._translated(error) from error
        with suppress(OSError):
            os.unlink(self._reserve)
        try:
            return self._attempt(work)
        except sqlite3.Error as error:
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
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _open_to_write(self) -> Connection:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.close(fd)
        connection = _connect(self.path)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(STEPS):
            connection.close()
            raise NewerVersionError(
                f"{self.path} was written by a newer backupd (catalog version {version}, known here: {len(STEPS)})",
                hint=f"update backupd, or put back {self.path}.v{len(STEPS)}, the copy from before the update",
            )
        if 0 < version < len(STEPS):
            self._copy(connection, version)
        for number in range(version, len(STEPS)):
            connection.executescript(f"BEGIN IMMEDIATE; {STEPS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
        return connection

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

    def _translated(self, error: sqlite3.Error) -> BackupError:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return StateFullError(f"no space left for {self.path}", hint="free some space on that file system")
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            return BackupError(
                f"{self.path} is damaged: {error}",
                hint="move it away and start again: sets come back from conf.d, repositories from their destinations",
            )
        return BackupError(f"{self.path}: {error}")


def _connect(path: str) -> Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
