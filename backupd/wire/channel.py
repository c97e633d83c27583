"""One end of a socket pair that carries msgpack messages, each with a 4-byte little-endian length before it.

Both ends are our own processes; a message over MAX_MESSAGE_BYTES is an error, not an allocation.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from backupd.errors import FormatError
from backupd.wire.malformed import MALFORMED

MAX_MESSAGE_BYTES = 64 << 20
_LENGTH = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()

Message = TypeVar("Message")


class Channel(Generic[Message]):
    """Send any msgpack-able object, receive objects of one type.

    Not safe for several senders or several receivers at once; one sender beside one receiver is fine.
    """

    def __init__(self, end: socket.socket, message_type: Any) -> None:
        self.socket = end
        self._decoder = msgspec.msgpack.Decoder(message_type)
        self._buffer = bytearray()

    @property
    def has_begun(self) -> bool:
        """Whether some of the next message has been read already: then waiting for the socket may be in vain."""
        return bool(self._buffer)

    def send(self, message: object) -> None:
        """Send one message, waiting while the other end is slow. Raises OSError when it is gone."""
        body = _encoder.encode(message)
        if len(body) > MAX_MESSAGE_BYTES:
            raise FormatError(f"a message of {len(body)} bytes is over the limit")
        self.socket.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other end has closed. Raises FormatError for what is none."""
        while True:
            message = self._take()
            if message is not None:
                return message
            if not self._fill():
                return None

    def receive_ready(self) -> Iterator[Message]:
        """Read once from a socket that was readable and give what is complete; never waits.

        What is given may lead to another call meanwhile, which takes the rest: then there is nothing more.
        Raises EOFError when the other end has closed; what was complete before is given first. FormatError: no message.
        """
        alive = self._fill(socket.MSG_DONTWAIT)
        while (message := self._take()) is not None:
            yield message
        if not alive:
            raise EOFError

    def close(self) -> None:
        """Close this end; the other sees the end of the stream."""
        self.socket.close()

    def _fill(self, flags: int = 0) -> bool:
        try:
            data = self.socket.recv(1 << 18, flags)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)

    def _take(self) -> Message | None:
        if len(self._buffer) < 4:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_MESSAGE_BYTES:
            raise FormatError(f"a message of {length} bytes is over the limit")
        if len(self._buffer) < 4 + length:
            return None
        try:
            with memoryview(self._buffer) as view:
                message: Message = self._decoder.decode(view[4 : 4 + length])
        except MALFORMED as error:
            raise FormatError(f"a message is malformed: {error}") from error
        del self._buffer[: 4 + length]
        return message
