"""A few SSH connections with a few SFTP sessions each, made when needed and lent to one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from paramiko import ChannelException

from backupd.destination.sftp.protocol import StatusError
from backupd.destination.sftp.session import LostError, Session
from backupd.destination.sftp.ssh_connection import Server, SshConnection
from backupd.errors import DestinationError, DestinationUnreachableError

Answer = TypeVar("Answer")


class Connections:
    """Safe from several threads; at most so many sessions as the limits say work at once, others wait for one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._connections: list[SshConnection] = []
        self._idle: list[tuple[SshConnection, Session]] = []
        self._count = 0
        """Sessions that are open or being opened."""
        self._dialing = 0
        """Connections that are being made."""
        self._most = server.limits.sessions
        self._is_closed = False

    def run(self, action: Callable[[Session], Answer]) -> Answer:
        """Lend a session to an action; tried once more where the session was lost while it lay idle.

        Raises what the action raises, StatusError, SftpFormatError, LostError, DestinationError.
        """
        connection, session, was_idle = self._take()
        before = session.answers
        try:
            return self._lent(connection, session, action)
        except LostError as error:
            if not was_idle or error.is_silence or session.answers != before:
                raise
        connection, session, _ = self._take(fresh=True)
        return self._lent(connection, session, action)

    def run_if_open(self, action: Callable[[Session], Answer]) -> Answer | None:
        """The same over a session that lies idle; None without one."""
        with self._changed:
            if not self._idle:
                return None
        return self.run(action)

    @property
    def is_openssh(self) -> bool:
        """Whether the server says so; asked when a connection has stood."""
        return any(connection.is_openssh for connection in self._connections)

    def close(self) -> None:
        """End all connections."""
        with self._changed:
            self._is_closed = True
            connections, self._connections, self._idle = self._connections, [], []
            self._changed.notify_all()
        for connection in connections:
            connection.close()

    def _lent(self, connection: SshConnection, session: Session, action: Callable[[Session], Answer]) -> Answer:
        is_whole = False
        session.begin_call()
        try:
            answer = action(session)
            is_whole = True
        except (StatusError, DestinationError):
            is_whole = True
            raise
        finally:
            self._give_back(connection, session, is_whole)
        return answer

    def _take(self, *, fresh: bool = False) -> tuple[SshConnection, Session, bool]:
        """(connection, session, whether it lay idle)."""
        with self._changed:
            while True:
                if self._is_closed:
                    raise DestinationUnreachableError(f"{self._server.place} was closed")
                while self._idle:
                    connection, session = self._idle.pop()
                    if connection.is_alive and not fresh:
                        return connection, session, True
                    # Where one was lost while it lay idle, the others were, too.
                    self._count -= 1
                    connection.close()
                self._connections = [found for found in self._connections if found.is_alive]
                if self._count < self._most:
                    self._count += 1
                    break
                self._changed.wait()
        try:
            opened = self._open()
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise
        if opened is not None:
            return (*opened, False)
        with self._changed:
            # The server gives no more: who has none waits for the others'.
            self._count -= 1
            self._most = max(1, self._count)
        return self._take()

    def _open(self) -> tuple[SshConnection, Session] | None:
        """None where the server gives no further session, and others have some."""
        connection, may_connect = self._choose()
        if may_connect:
            connection = self._connect()
        if connection is None:
            return None
        is_open = False
        try:
            session = connection.open()
            is_open = connection.has_opened = True
        except ChannelException as error:
            connection.is_full = True
            if connection.has_opened:
                return None
            hint = "the account's shell or the server's settings forbid it; it needs `Subsystem sftp`"
            message = f"{self._server.place}: the server opens no session"
            raise DestinationUnreachableError(message, hint=hint) from error
        finally:
            if not is_open:
                with self._changed:
                    connection.sessions -= 1
        return connection, session

    def _choose(self) -> tuple[SshConnection | None, bool]:
        """One that stands, with a session counted for the caller, or whether the caller is to make a further one."""
        with self._changed:
            while True:
                least = self._least()
                may_connect = len(self._connections) + self._dialing < self._server.limits.connections
                if may_connect and (least is None or least.sessions):
                    self._dialing += 1
                    return None, True
                if least is not None:
                    least.sessions += 1
                if least is not None or not self._dialing:
                    return least, False
                self._changed.wait()

    def _least(self) -> SshConnection | None:
        usable = [found for found in self._connections if found.is_alive and not found.is_full]
        return min(usable, key=lambda found: found.sessions, default=None)

    def _connect(self) -> SshConnection | None:
        """A further one; where the server refuses further ones alone, one that stands, or None."""
        made: SshConnection | None = None
        try:
            made = SshConnection(self._server)
        except DestinationUnreachableError:
            with self._changed:
                if not any(found.is_alive for found in self._connections):
                    raise
        finally:
            with self._changed:
                self._dialing -= 1
                self._changed.notify_all()
                if made is not None and not self._is_closed:
                    self._connections.append(made)
                chosen = made or self._least()
                if chosen is not None:
                    chosen.sessions += 1
        if made is not None and self._is_closed:
            made.close()
            raise DestinationUnreachableError(f"{self._server.place} was closed")
        return chosen

    def _give_back(self, connection: SshConnection, session: Session, is_whole: bool) -> None:
        with self._changed:
            if is_whole and connection.is_alive and not self._is_closed:
                self._idle.append((connection, session))
                self._changed.notify()
                return
            self._count -= 1
            # What was left unsaid in one session says nothing good of its connection.
            if connection in self._connections:
                self._connections.remove(connection)
            gone = [pair for pair in self._idle if pair[0] is connection]
            self._idle = [pair for pair in self._idle if pair[0] is not connection]
            self._count -= len(gone)
            self._changed.notify_all()
        connection.close()
