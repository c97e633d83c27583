"""Calls to a store's rclone, with time limits; one that ended is replaced at the next call."""

from __future__ import annotations

import http.client
import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backupd.clock import SystemClock
from backupd.destination.rclone.child import RcloneChild, check_version, proxy_secrets
from backupd.destination.rclone.errors import secrets_of, translated
from backupd.errors import BackupError, DestinationUnreachableError
from backupd.model.store_access import StoreAccess
from backupd.store_errors import StoreAnswerError, StoreFolderError

CALL_SECONDS = 240.0
"""rclone itself gives a server 20 s to connect and 60 s to say something, twice; this is for one that stands still."""
LISTING_SECONDS = 3600.0
"""rclone says nothing of a listing before it is complete."""
_BYTES_SECONDS = 120.0
_END_SECONDS = 0.3
"""Between the end of a program's connection and the news of its own end."""
_PULSE_SECONDS = 60.0
_PULSE_ANSWER_SECONDS = 20.0
_MOST_ANSWER_BYTES = 4 << 20
_MOST_NAMES = 20
NOT_FOUND = 404


class RcloneCalls:
    """What is asked of one rclone. Safe for several threads."""

    def __init__(self, shown: str, remote: str, access: StoreAccess) -> None:
        """shown: the place, for messages. remote: name of the remote in rclone's configuration."""
        self._shown, self._remote, self._access = shown, remote, access
        self._secrets = secrets_of(access.credentials) + proxy_secrets(access.proxy)
        self._lock = threading.Lock()
        self._child: RcloneChild | None = None
        self._is_closed = False
        self.deaths = 0
        """How often rclone ended by itself."""

    @property
    def folder(self) -> str:
        """A private directory that lives as long as the rclone of now."""
        return self._running().folder

    def call(self, path: str, seconds: float = CALL_SECONDS, **parameters: Any) -> dict[str, Any]:
        """Answer of one remote control command. Raises BackupError, ObjectMissingError for what is not there."""
        with self.answer("POST", "/" + path, json.dumps(parameters).encode(), seconds=seconds) as response:
            return self._parsed(response)

    @contextmanager
    def answer(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Iterator[http.client.HTTPResponse]:
        """A good answer, whose body is still to be read; left with an error, or unread, its connection is closed."""
        child = self._running()
        connection = child.connection()
        is_whole = False
        try:
            with self._broken_is_told(child):
                sent = {"Authorization": child.login, "Content-Type": "application/json", **(headers or {})}
                connection.request(method, target, body, sent)
                self._wait(child, connection, seconds)
                response = connection.getresponse()
                if response.status >= http.client.BAD_REQUEST:
                    raise self._refusal(response)
                yield response
                is_whole = response.isclosed() and not response.will_close
        finally:
            if is_whole:
                child.give_back(connection)
            else:
                connection.close()

    def close(self) -> None:
        """End rclone; no call comes after this."""
        with self._lock:
            self._is_closed = True
            child, self._child = self._child, None
        if child is not None:
            child.stop()

    def _running(self) -> RcloneChild:
        with self._lock:
            if self._is_closed:
                raise DestinationUnreachableError(f"{self._shown} is closed")
            if self._child is not None and self._child.has_ended:
                self.deaths += 1
                self._child.stop()
                self._child = None
            if self._child is None:
                self._child = self._started()
            return self._child

    def _started(self) -> RcloneChild:
        child = RcloneChild(self._access.credentials, self._access.ca_file, self._access.proxy)
        connection = child.connection()
        try:
            with self._broken_is_told(child):
                connection.request("POST", "/core/version", b"{}", {"Authorization": child.login})
                version = self._parsed(connection.getresponse()).get("decomposed")
            check_version(version)
        except BaseException:
            child.stop()
            raise
        finally:
            connection.close()
        return child

    @contextmanager
    def _broken_is_told(self, child: RcloneChild) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            child.stop()
            raise DestinationUnreachableError(
                f"{self._shown}: rclone does not answer any more; it was ended", hint="the next try starts another one"
            ) from error
        except (http.client.HTTPException, OSError) as error:
            what = "ended" if child.ends_within(_END_SECONDS) else "broke off"
            raise DestinationUnreachableError(
                f"{self._shown}: rclone {what} in the middle of a call",
                hint="the next try starts another one if need be; is there memory enough?",
            ) from error

    def _wait(self, child: RcloneChild, connection: http.client.HTTPConnection, seconds: float) -> None:
        """Until the answer begins. Raises TimeoutError when rclone shows no sign of life, or takes too long."""
        clock = SystemClock()
        until = clock.monotonic() + seconds
        poller = select.poll()
        poller.register(connection.sock, select.POLLIN)
        while not poller.poll(1000 * min(_PULSE_SECONDS, max(0.0, until - clock.monotonic()))):
            if clock.monotonic() >= until:
                raise TimeoutError
            pulse = child.connection()
            try:
                pulse.timeout = _PULSE_ANSWER_SECONDS
                if pulse.sock is not None:
                    pulse.sock.settimeout(_PULSE_ANSWER_SECONDS)
                pulse.request("POST", "/rc/noop", b"{}", {"Authorization": child.login})
                pulse.getresponse().read(_MOST_ANSWER_BYTES)
            finally:
                pulse.close()
        connection.sock.settimeout(_BYTES_SECONDS)

    def _parsed(self, response: http.client.HTTPResponse) -> dict[str, Any]:
        text = response.read(_MOST_ANSWER_BYTES)
        response.read(1)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StoreAnswerError(f"{self._shown}: rclone answers what is no JSON") from error
        if not isinstance(found, dict):
            raise StoreAnswerError(f"{self._shown}: rclone answers what is no JSON object")
        return found

    def _refusal(self, response: http.client.HTTPResponse) -> BackupError:
        text = response.read(_MOST_ANSWER_BYTES)
        try:
            words = str(json.loads(text)["error"])
        except (ValueError, RecursionError, KeyError, TypeError):
            # Not from its commands but from its file server, which says 404 whatever the store said.
            return StoreAnswerError(f"{self._shown}: rclone gives no object, with HTTP status {response.status}")
        error = translated(self._shown, self._remote, words.partition("\ngoroutine ")[0], self._secrets)
        if isinstance(error, StoreFolderError) and "section in config file" in words:
            return StoreFolderError(
                f"{self._shown}: rclone's configuration has no remote {self._remote}", hint=self._remotes_hint()
            )
        return error

    def _remotes_hint(self) -> str:
        try:
            names = [str(name) for name in self.call("config/listremotes").get("remotes") or []]
        except BackupError:
            names = []
        if not names:
            return "it has none; `rclone config` makes one"
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return f"it has {', '.join(name[:80] for name in sorted(names)[:_MOST_NAMES])}{more}; `rclone config` makes one"
