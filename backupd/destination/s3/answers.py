"""What a server sends, before boto3 sees it: none is taken that is no final answer, has no end, or comes too slowly.

boto3 takes each status below 300 for a success, and reads the body of a listing or of an error whole, however long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ReadTimeoutError
from botocore.parsers import ResponseParserError

from backupd.clock import SystemClock
from backupd.destination.bounds import LEAST_BYTES_A_SECOND
from backupd.destination.pacing import Pace

MOST_TEXT_BYTES = 16 << 20
"""Of a listing or an error. A page of a thousand names of the longest kind has a third of that."""
_PIECE_BYTES = 256 << 10
_FIRST_FINAL_STATUS = 200
_FIRST_REFUSAL = 300


def bounded(session: Any, silence_seconds: float, pace: Pace | None = None) -> Callable[..., Any]:
    """A handler for `before-send` that sends by that session of botocore and bounds the answer."""

    def send(request: Any, **_: object) -> Any:
        is_stream = request.stream_output
        # Else the session would read the body itself.
        request.stream_output = True
        answer = session.send(request)
        answer.raw = body = _BoundedBody(answer.raw, request.url, silence_seconds, pace if is_stream else None)
        if answer.status_code < _FIRST_FINAL_STATUS:
            # The final one would follow, and be taken for the answer to the next request.
            body.close()
            raise ResponseParserError(f"status {answer.status_code} is no final answer")
        if not is_stream or answer.status_code >= _FIRST_REFUSAL:
            _ = answer.content
        return answer

    return send


class _BoundedBody:
    """As much of a body of urllib3 as botocore uses."""

    def __init__(self, raw: Any, url: str, silence_seconds: float, pace: Pace | None) -> None:
        self._raw, self._url, self._silence_seconds, self._pace = raw, url, silence_seconds, pace
        # An older urllib3 has no such word, and no limit then but the one of silence.
        self._some = getattr(raw, "read1", raw.read)
        self._clock = SystemClock()
        self._began = self._clock.monotonic()

    def read(self, wanted: int | None = None) -> bytes:
        """So many bytes, fewer at the end alone; None: all, if they are no more than a text may have."""
        limit = MOST_TEXT_BYTES if wanted is None else wanted
        pieces, count = [], 0
        while count < limit and (piece := self._piece(limit - count)):
            pieces.append(piece)
            count += len(piece)
            self._check_pace(count if wanted is None else wanted)
        if wanted is None and count == limit:
            self.close()
            raise ResponseParserError("the answer has no end")
        if getattr(self._raw, "length_remaining", None) == 0:
            # This alone gives the connection back.
            self._raw.read(1)
        return b"".join(pieces)

    def _piece(self, left: int) -> bytes:
        most = min(_PIECE_BYTES, left)
        if self._pace is None:
            return bytes(self._some(most))
        most, waited = self._pace.may_read(most)
        self._silence_seconds += waited
        piece = bytes(self._some(most))
        self._pace.give_back(most - len(piece))
        return piece

    def stream(self) -> Iterator[bytes]:
        """All of a text, in one piece."""
        yield self.read()

    def close(self) -> None:
        """Close the connection, if not all has been read; the next request opens it anew."""
        self._raw.close()
        self._raw.release_conn()

    def _check_pace(self, byte_count: int) -> None:
        seconds = self._silence_seconds + byte_count / LEAST_BYTES_A_SECOND
        if self._clock.monotonic() - self._began > seconds:
            self.close()
            raise ReadTimeoutError(endpoint_url=self._url)
