"""An SFTP session against servers that answer what no server should."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.destination.sftp import protocol
from backupd.destination.sftp.call import CallLimits
from backupd.destination.sftp.listing import objects_below
from backupd.destination.sftp.protocol import SftpFormatError, StatusError
from backupd.destination.sftp.session import LostError, Session

FILE = struct.pack(">IQI", 5, 1, 0o100600)
"""ATTRS of an ordinary file of one byte."""
FOLDER = struct.pack(">II", 4, 0o040700)


class Scripted:
    """A server in memory: gets whole requests, and answers what a function says."""

    def __init__(self, answer: Callable[[int, bytes], bytes]) -> None:
        self._answer, self._out = answer, bytearray()
        self.requests: list[int] = []
        self.packets = 0

    def send(self, data: bytes | memoryview) -> int:
        self.packets += 1
        left = bytes(data)
        while left:
            end = 4 + struct.unpack_from(">I", left)[0]
            self.take(left[:end])
            left = left[end:]
        return len(data)

    def take(self, frame: bytes) -> None:
        kind = frame[4]
        self.requests.append(kind)
        if kind == protocol.INIT:
            self._out += framed(bytes([protocol.VERSION]) + struct.pack(">I", 3))
        else:
            self._out += self._answer(kind, frame[5:9])

    def receive(self, most: int) -> bytes:
        if not self._out:
            raise LostError("the end")
        data = bytes(self._out[:most])
        del self._out[:most]
        return data

    def has_received(self) -> bool:
        return bool(self._out)


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def answer(kind: int, number: bytes, *fields: bytes) -> bytes:
    return framed(bytes([kind]) + number + b"".join(fields))


def status(number: bytes, code: int, text: bytes = b"") -> bytes:
    return answer(protocol.STATUS, number, struct.pack(">I", code), protocol.text(text), protocol.text(b""))


def names(number: bytes, *entries: tuple[bytes, bytes]) -> bytes:
    body = b"".join(protocol.text(name) + protocol.text(b"") + attributes for name, attributes in entries)
    return answer(protocol.NAME, number, struct.pack(">I", len(entries)), body)


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(0, 3))
def test_no_bytes_of_a_server_end_in_anything_but_our_errors(bodies: list[bytes], call: int) -> None:
    """A traceback instead of an error code ends the whole run, not one destination's part."""
    left = iter(bodies)

    def reply(kind: int, number: bytes) -> bytes:
        body = next(left, b"")
        return framed(body[:1] + number + body[1:]) if kind % 2 else framed(body)

    calls: list[Callable[[Session], object]] = [
        lambda session: session.read_file("/a", 0, None),
        lambda session: session.write_file("/a", [b"x" * 100_000]),
        lambda session: [*session.folders(["/a", "/b"])],
        lambda session: session.look("/a"),
    ]
    with pytest.raises((SftpFormatError, StatusError, LostError, Done)):  # noqa: PT012
        calls[call](Session(Scripted(reply)))
        raise Done


class Done(Exception):
    """It went well, which a lucky server may reach."""


def test_a_frame_of_any_length_is_not_waited_for() -> None:
    """Else a server fills this machine's memory."""
    session = Session(Scripted(lambda _kind, _number: struct.pack(">I", 1 << 31) + bytes(100)))
    with pytest.raises(SftpFormatError, match="a frame of"):
        session.look("/a")


def test_more_bytes_than_were_asked_for() -> None:
    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.LSTAT:
            return answer(protocol.ATTRIBUTES, number, FILE)
        if kind == protocol.OPEN:
            return answer(protocol.HANDLE, number, protocol.text(b"h"))
        return answer(protocol.DATA, number, protocol.text(b"xx"))

    with pytest.raises(SftpFormatError, match="2 bytes where 1"):
        Session(Scripted(reply)).read_file("/a", 0, None)


def test_short_reads_are_read_on() -> None:
    """The protocol lets a server give less than was asked for; the rest is no zeros."""
    size = 100_000
    data = bytes(range(256)) * 400
    server: list[Scripted] = []
    asked: list[tuple[int, int]] = []

    class Server(Scripted):
        def take(self, frame: bytes) -> None:
            if frame[4] == protocol.READ:
                asked.append(struct.unpack_from(">QI", frame, 14))
            super().take(frame)

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.LSTAT:
            return answer(protocol.ATTRIBUTES, number, struct.pack(">IQI", 5, size, 0o100600))
        if kind == protocol.OPEN:
            return answer(protocol.HANDLE, number, protocol.text(b"h"))
        if kind == protocol.READ:
            offset, length = asked[-1]
            return answer(protocol.DATA, number, protocol.text(data[offset : offset + max(1, length // 3)]))
        return status(number, protocol.OK)

    server.append(Server(reply))
    assert Session(server[0]).read_file("/a", 0, None) == data[:size]


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_each_refused_write_is_told(failing: int) -> None:
    """Of writes that are under way at once, too: paramiko's own files forget those of the last ones."""
    count = iter(range(100))

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.OPEN:
            return answer(protocol.HANDLE, number, protocol.text(b"h"))
        is_bad = kind == protocol.WRITE and next(count) == failing
        return status(number, protocol.FAILURE if is_bad else protocol.OK, b"Failure")

    server = Scripted(reply)
    session = Session(server)
    with pytest.raises(StatusError, match="Failure"):
        session.write_file("/a", [bytes(120_000)])
    assert server.requests[-1] == protocol.CLOSE
    session.remove("/a")


def test_small_requests_go_together_and_none_stays_behind() -> None:
    """Else many small objects take twice the time, or a file that was read keeps its space after it is removed."""

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.LSTAT:
            return answer(protocol.ATTRIBUTES, number, FILE)
        if kind == protocol.OPEN:
            return answer(protocol.HANDLE, number, protocol.text(b"h"))
        if kind == protocol.READ:
            return answer(protocol.DATA, number, protocol.text(b"x"))
        return status(number, protocol.OK)

    server = Scripted(reply)
    session = Session(server)
    before = server.packets
    session.write_file("/a", [b"x"])
    assert server.requests[-3:] == [protocol.OPEN, protocol.WRITE, protocol.CLOSE]
    assert server.packets - before == 2
    assert session.read_file("/a", 0, None) == b"x"
    assert server.requests[-4:] == [protocol.LSTAT, protocol.OPEN, protocol.READ, protocol.CLOSE]


def test_names_that_lead_elsewhere_are_not_followed() -> None:
    """A server that names `..` or `/etc` would have a listing walk its whole disk, or go on for ever."""
    bad = [b"..", b".", b"../x", b"/etc", b"a/b", b"a\nb", b"a\0b", b"", b"A", b".hidden"]
    listed: dict[bytes, int] = {}

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.OPENDIR:
            return answer(protocol.HANDLE, number, protocol.text(b"h%d" % len(listed)))
        if kind == protocol.READDIR and not listed:
            listed[number] = 1
            return names(number, *((name, FOLDER) for name in bad), *((name, FILE) for name in bad), (b"k", FILE))
        return status(number, protocol.END_OF_FILE if kind == protocol.READDIR else protocol.OK)

    server = Scripted(reply)
    assert [info.name for info in objects_below(Session(server), "/base", "", "place")] == ["k"]
    assert server.requests.count(protocol.OPENDIR) == 1


def test_folders_without_end() -> None:
    """Each folder holds one of the same name: a link that leads back, or a hostile server."""

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.OPENDIR:
            return answer(protocol.HANDLE, number, protocol.text(number))
        if kind == protocol.READDIR and server.requests[-2] != protocol.READDIR:
            return names(number, (b"a", FOLDER))
        return status(number, protocol.END_OF_FILE if kind == protocol.READDIR else protocol.OK)

    server = Scripted(reply)
    assert objects_below(Session(server), "/base", "", "place") == []
    assert server.requests.count(protocol.OPENDIR) < 20


def listing_without_end(*entries: tuple[bytes, bytes]) -> Scripted:
    """A directory whose server sends the same names again and again."""

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.OPENDIR:
            return answer(protocol.HANDLE, number, protocol.text(b"h"))
        return names(number, *entries) if kind == protocol.READDIR else status(number, protocol.OK)

    return Scripted(reply)


def test_folders_in_folders_without_end() -> None:
    """Each folder holds some that nobody made: ten thousand million of them in ten levels, and a run for ever."""
    inside = [(b"%d" % number, FOLDER) for number in range(10)]
    has_more: list[bool] = []

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.OPENDIR:
            return answer(protocol.HANDLE, number, protocol.text(number))
        if kind == protocol.READDIR:
            has_more.append(not has_more or not has_more[-1])
            if has_more[-1]:
                return names(number, *inside)
        return status(number, protocol.END_OF_FILE if kind == protocol.READDIR else protocol.OK)

    server = Scripted(reply)
    with pytest.raises(SftpFormatError, match="over 2000 folders"):
        objects_below(Session(server, CallLimits(folders=2000)), "/base", "", "place")
    assert server.requests.count(protocol.OPENDIR) == 1111


def test_names_that_no_file_has_are_not_kept() -> None:
    """Else a server that sends names of a megabyte each ends the daemon by its memory, and with it all backups."""
    rest = iter([False, False, True, True])

    def reply(kind: int, number: bytes) -> bytes:
        if kind == protocol.OPENDIR:
            return answer(protocol.HANDLE, number, protocol.text(b"h"))
        if kind == protocol.READDIR and not next(rest):
            return names(number, (b"n" * 1_000_000, FILE), (b"l" * 256, FILE), (b"k" * 255, FILE))
        return status(number, protocol.END_OF_FILE if kind == protocol.READDIR else protocol.OK)

    ((_, entries),) = Session(Scripted(reply)).folders(["/a"])
    assert entries is not None
    assert [entry.name for entry in entries] == ["k" * 255] * 2


@pytest.mark.parametrize(
    ("entries", "limits", "match"),
    [
        ([(b"n" * 100_000, FILE)], CallLimits(listed_bytes=1 << 20), "over 1048576 bytes"),
        ([(b"n", FILE)] * 10, CallLimits(names=100), "over 100 names"),
        ([], CallLimits(names=100), "over 100 names"),
    ],
)
def test_listings_without_end(entries: list[tuple[bytes, bytes]], limits: CallLimits, match: str) -> None:
    """Else one hostile place holds the daemon for ever, or takes its memory from the backups to all others."""
    server = listing_without_end(*entries)
    with pytest.raises(SftpFormatError, match=match):
        objects_below(Session(server, limits), "/base", "", "place")
    assert server.requests.count(protocol.READDIR) < 200


def test_answers_to_nothing() -> None:
    """Else a server keeps a run busy for ever, and no time limit sees that."""
    session = Session(Scripted(lambda _kind, _number: status(b"\xff\xff\xff\xff", 0)))
    with pytest.raises(SftpFormatError, match="nothing that was asked"):
        session.look("/a")


def test_one_request_has_one_answer() -> None:
    """Else a server answers the second of three requests again and again, and the first one is waited for for ever."""

    def reply(kind: int, number: bytes) -> bytes:
        return answer(protocol.ATTRIBUTES, number, FILE) * 2 if kind == protocol.LSTAT else b""

    with pytest.raises(SftpFormatError, match="nothing that was asked"):
        Session(Scripted(reply)).read_file("/a", 0, None)
