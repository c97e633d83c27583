"""How long an SFTP server may take for one call."""

from __future__ import annotations

import struct

import pytest

from backupd.destination.sftp import protocol
from backupd.destination.sftp.session import LostError, Session

GREETING = struct.pack(">IBI", 5, protocol.VERSION, 3)
KIBIBYTE = 1 << 10


class Slow:
    """A server, its line and their clock: so many bytes come or go at once, and each time that takes so long."""

    def __init__(self) -> None:
        self.bytes_at_once = 1 << 20
        self.wait_seconds = 0.0
        self.wait_once_seconds = 0.0
        self.now = 0.0
        self._in, self._out = bytearray(), bytearray()

    def now_ns(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now

    def send(self, data: bytes | memoryview) -> int:
        some = bytes(data)[: self.bytes_at_once]
        self._pause()
        self._in += some
        while len(self._in) >= 4 and len(self._in) >= 4 + (length := struct.unpack_from(">I", self._in)[0]):
            self._out += self._answer(bytes(self._in[4 : 4 + length]))
            del self._in[: 4 + length]
        return len(some)

    def receive(self, most: int) -> bytes:
        assert self._out, "nothing was asked"
        some = bytes(self._out[: min(most, self.bytes_at_once)])
        self._pause()
        del self._out[: len(some)]
        return some

    def has_received(self) -> bool:
        return bool(self._out)

    def _pause(self) -> None:
        self.now += self.wait_seconds + self.wait_once_seconds
        self.wait_once_seconds = 0.0

    def _answer(self, request: bytes) -> bytes:
        kind, number = request[0], request[1:5]
        if kind == protocol.INIT:
            return GREETING
        if kind == protocol.LSTAT:
            fields = bytes([protocol.ATTRIBUTES]) + number + struct.pack(">IQI", 5, 1 << 20, 0o100600)
        elif kind == protocol.OPEN:
            fields = bytes([protocol.HANDLE]) + number + protocol.text(b"h")
        elif kind == protocol.READ:
            fields = bytes([protocol.DATA]) + number + protocol.text(bytes(32 << 10))
        elif kind == protocol.OPENDIR:
            fields = bytes([protocol.HANDLE]) + number + protocol.text(b"h")
        elif kind == protocol.READDIR:
            entry = protocol.text(b"n") + protocol.text(b"") + bytes(4)
            fields = bytes([protocol.NAME]) + number + struct.pack(">I", 1) + entry
        else:
            fields = bytes([protocol.STATUS]) + number + bytes(12)
        return struct.pack(">I", len(fields)) + fields


@pytest.fixture
def server() -> Slow:
    return Slow()


@pytest.fixture
def session(server: Slow) -> Session:
    """One that stands already."""
    session = Session(server, clock=server)
    session.begin_call()
    return session


def test_answers_byte_by_byte(server: Slow, session: Session) -> None:
    """Else a server that is never silent, and never done, holds a backup for ever, and all that wait for it."""
    server.bytes_at_once, server.wait_seconds = 1, 4.0
    with pytest.raises(LostError, match="too long") as caught:
        session.look("/" + "a" * 100)
    assert caught.value.is_silence
    assert 60 < server.now < 70


def test_a_server_that_takes_a_request_byte_by_byte(server: Slow, session: Session) -> None:
    """The same, while a block is sent to it."""
    server.bytes_at_once, server.wait_seconds = 100, 1.0
    with pytest.raises(LostError, match="too long"):
        session.write_file("/a", [bytes(1 << 20)])
    assert server.now < 60 + 1024 / 8 + 5


def test_a_listing_that_never_ends(server: Slow, session: Session) -> None:
    """The same, with a name each second."""
    server.wait_seconds = 1.0
    with pytest.raises(LostError, match="too long"):
        [*session.folders(["/a"])]
    assert server.now < 100


def test_pauses_of_a_disk_without_end(server: Slow, session: Session) -> None:
    """A disk gets five minutes more, not five minutes for each byte."""
    server.bytes_at_once, server.wait_seconds = 1, 50.0
    with pytest.raises(LostError, match="too long"):
        session.look("/a")
    assert 360 < server.now <= 420


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_slow_line_gets_the_time_for_its_bytes(server: Slow, session: Session, call: str) -> None:
    """Else nobody with a slow line at home ever gets a block there, or back."""
    server.bytes_at_once, server.wait_seconds = 9 * KIBIBYTE, 1.0
    if call == "read":
        assert session.read_file("/a", 0, None) == bytes(1 << 20)
    else:
        session.write_file("/a", [bytes(1 << 20)])
    assert server.now > 100


def test_a_disk_that_pauses(server: Slow, session: Session) -> None:
    """Else what a busy disk takes minutes to sync is sent again and again, which makes it no faster."""
    server.wait_once_seconds = 290.0
    session.write_file("/a", [b"1"])
    assert session.look("/a") is not None


def test_each_call_has_its_own_time(server: Slow, session: Session) -> None:
    """Else a connection is lost after an hour of sound work."""
    server.wait_seconds = 3.0
    for _ in range(100):
        session.begin_call()
        assert session.look("/a") is not None
