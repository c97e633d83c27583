"""Jobs and questions that a daemon carries out, as a conversation follows them."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

import msgspec

from backupd.errors import BackupError, DaemonUnreachableError, DestinationUnreachableError
from backupd.model.any_order import AnyOrder, ToJob
from backupd.model.api import Change, Ending, Nothing, Question, Reply
from backupd.model.events import Done, Failed, FromJob
from backupd.model.steering import Answer, CancelRequest, StateRequest
from backupd.wire.malformed import MALFORMED
from bkctl.daemon_client import DaemonClient, LineStream

_ATTEMPTS, _PAUSE_SECONDS = 50, 0.2
"""Ten seconds are enough for a daemon to start again."""
_decoder: msgspec.json.Decoder[FromJob] = msgspec.json.Decoder(FromJob)


class _Link:
    """What jobs and questions have in common."""

    def __init__(self, client: DaemonClient, stream: LineStream, base: str) -> None:
        self._client, self._stream, self._base = client, stream, base

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def fileno(self) -> int:
        """The stream's socket."""
        return self._stream.socket.fileno()

    def events(self) -> Iterator[FromJob]:
        """What has arrived. Raises EOFError after the last one, DaemonUnreachableError for what is no event."""
        for line in self._stream.lines():
            try:
                yield _decoder.decode(line)
            except MALFORMED as error:
                raise DaemonUnreachableError(
                    f"backupd speaks another protocol: {error}", hint="are bkctl and backupd of one version?"
                ) from error

    def send(self, message: ToJob) -> None:
        """Pass a message on; a job that is gone is noticed at the next reading."""
        with suppress(BackupError):
            match message:
                case Answer():
                    self._post("answer", Reply(ask=message.ask, text=message.text))
                case CancelRequest(signal="int" | "term" as name):
                    self._post("cancel", Ending(signal=name))
                case StateRequest():
                    self._post("state", Nothing())
                case _:
                    pass

    def leave(self) -> None:
        """The job goes on without us."""

    def kill(self) -> None:
        """The daemon ends what does not end by itself."""
        self.send(CancelRequest(signal="int"))

    def ending(self) -> str:
        """There was no last word."""
        return "or backupd went away"

    def _post(self, verb: str, body: object) -> None:
        self._client.request("POST", f"{self._base}/{verb}", body, Change)


class DaemonJob(_Link):
    """A job of the daemon, followed from now on; it goes on when we leave."""

    def __init__(self, client: DaemonClient, job_id: str) -> None:
        base = f"/v1/jobs/{job_id}"
        super().__init__(client, client.stream("GET", f"{base}/events", None), base)

    def __enter__(self) -> DaemonJob:
        return self

    def events(self) -> Iterator[FromJob]:
        """What has arrived. A daemon that is restarted is waited for; the job goes on with it."""
        try:
            yield from super().events()
        except EOFError:
            self._stream.close()
            self._stream = self._connect_again()

    def _connect_again(self) -> LineStream:
        for attempt in range(_ATTEMPTS):
            try:
                return self._client.stream("GET", f"{self._base}/events", None)
            except DaemonUnreachableError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last attempt answers or raises")


class DaemonQuestion(_Link):
    """An order that is answered while we wait; it ends when we leave."""

    def __init__(self, client: DaemonClient, order: AnyOrder) -> None:
        name = os.urandom(16).hex()
        stream = client.stream("POST", "/v1/questions", Question(order=order, name=name))
        super().__init__(client, stream, f"/v1/questions/{name}")

    def __enter__(self) -> DaemonQuestion:
        return self

    def until_end(self) -> Iterator[FromJob]:
        """All that is still to come, waiting for it; for questions that are answered in a moment."""
        poller = select.poll()
        poller.register(self, select.POLLIN)
        while True:
            poller.poll()
            try:
                yield from self.events()
            except EOFError:
                return


def ask_daemon(client: DaemonClient, order: AnyOrder) -> Done | Failed:
    """Put a question and wait for its last word. Raises BackupError."""
    with DaemonQuestion(client, order) as question:
        for event in question.until_end():
            if isinstance(event, Done | Failed):
                return event
    raise DestinationUnreachableError(f"the process that tried {order.place} ended", hint="see backupd's log")
