"""A few FTP connections that threads share in turn."""

from __future__ import annotations

import ftplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backupd.clock import Clock, SystemClock
from backupd.destination.ftp.connection import Connection, Server
from backupd.destination.ftp.errors import code_of
from backupd.errors import BackupError

_MOST = 4
_ASKED_AFTER_SECONDS = 30.0
"""Routers forget connections that were silent for long; a question is cheaper than a time limit."""


class Pool:
    """Makes connections when they are needed, at most four, fewer where the server says so."""

    def __init__(self, server: Server, clock: Clock | None = None) -> None:
        self._server, self._clock = server, clock or SystemClock()
        self._idle: list[tuple[float, Connection]] = []
        self._open, self._most = 0, _MOST
        self._changed = threading.Condition()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One connection for this thread; given back, or closed where its replies are no longer in step."""
        connection = self._take()
        try:
            yield connection
        except (ftplib.error_perm, ftplib.error_temp, BackupError) as error:
            if isinstance(error, ftplib.Error) and code_of(error) == "421":
                connection.drop()
            raise
        except BaseException:
            connection.drop()
            raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Log out of all."""
        with self._changed:
            idle, self._idle = self._idle, []
            self._open -= len(idle)
        for _, connection in idle:
            connection.leave()

    def _take(self) -> Connection:
        while True:
            with self._changed:
                while not self._idle and self._open >= self._most:
                    self._changed.wait()
                if self._idle:
                    since, connection = self._idle.pop()
                    is_long = self._clock.monotonic() - since > _ASKED_AFTER_SECONDS
                else:
                    self._open += 1
                    break
            if connection.is_alive(asked=is_long):
                return connection
            connection.drop()
            self._forget_one()
        try:
            return Connection(self._server)
        except ftplib.Error as error:
            if self._forget_one() and code_of(error) in ("421", "530"):
                # The login is good, for others are open by it: the server takes no more of them.
                with self._changed:
                    self._most = max(1, self._open)
                return self._take()
            raise
        except BaseException:
            self._forget_one()
            raise

    def _give_back(self, connection: Connection) -> None:
        if not connection.is_between:
            connection.drop()
            self._forget_one()
            return
        with self._changed:
            self._idle.append((self._clock.monotonic(), connection))
            self._changed.notify()

    def _forget_one(self) -> int:
        """One is closed; returns how many are left."""
        with self._changed:
            self._open -= 1
            self._changed.notify()
            return self._open
