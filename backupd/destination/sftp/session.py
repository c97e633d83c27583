"""One SFTP session over one SSH channel: requests and answers, many at once. For one thread at a time."""

from __future__ import annotations

import itertools
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from backupd.clock import Clock, SystemClock
from backupd.destination.contract import Buffers
from backupd.destination.pacing import Pace
from backupd.destination.sftp import protocol
from backupd.destination.sftp.call import Call, CallLimits
from backupd.destination.sftp.protocol import Answer, Attributes, Entry, SftpFormatError, Space, StatusError

Done = TypeVar("Done")
_PACKET_BYTES = (32 << 10) - 64
"""What OpenSSH takes in one SSH packet, as paramiko fills it: whole packets cost least."""
_WRITE_PACKETS = 7
_PLAIN_BYTES = 32 << 10
"""Of one read or write of a server that names no limits: all take so much."""
_MOST_BYTES = 255 << 10
_AHEAD_BYTES = 4 << 20
"""Asked for or sent before the first answer is waited for."""
_RECEIVE_BYTES = 8 << 20
_FOLDERS_AT_ONCE = 16

FSYNC, STATVFS, HARDLINK, LIMITS = (
    b"fsync@openssh.com",
    b"statvfs@openssh.com",
    b"hardlink@openssh.com",
    b"limits@openssh.com",
)


class LostError(Exception):
    """The connection is of no use any more."""

    def __init__(self, text: str, *, is_silence: bool = False) -> None:
        super().__init__(text)
        self.is_silence = is_silence
        """It stands, but nothing comes, or too little."""


class Pipe(Protocol):
    """What carries a session's bytes; its methods raise LostError."""

    def send(self, data: bytes | memoryview) -> int:
        """Send some of it, at least a byte; returns how many."""
        ...

    def receive(self, most: int) -> bytes:
        """What came, at least a byte."""
        ...

    def has_received(self) -> bool:
        """Whether `receive` would not wait."""
        ...


class Session:
    """Requests by name. Raises StatusError for what the server refuses, SftpFormatError, LostError."""

    def __init__(
        self, pipe: Pipe, limits: CallLimits | None = None, clock: Clock | None = None, pace: Pace | None = None
    ) -> None:
        self._pipe, self._limits, self._clock, self._pace = pipe, limits or CallLimits(), clock or SystemClock(), pace
        self._call = Call(self._limits)
        self._numbers = itertools.count(1)
        self._buffer, self._start = bytearray(), 0
        self._expected: set[int] = set()
        self._unsent = b""
        self._forgotten: set[int] = set()
        """Asked, but nobody waits for the answer."""
        self._arrived: dict[int, Answer] = {}
        self.answers = 0
        """To what was waited for: late ones to what nobody waits for say nothing of a later request."""
        self._read_bytes = self._write_bytes = _PLAIN_BYTES
        self._push(protocol.greeting())
        self.extensions = protocol.extensions(self._frame())
        if LIMITS in self.extensions:
            answer = self._ask(protocol.EXTENDED, protocol.text(LIMITS))
            _, reading, writing, _ = (answer.long() for _ in range(4))
            self._read_bytes = min(reading or _PLAIN_BYTES, _MOST_BYTES)
            self._write_bytes = min(writing or _PLAIN_BYTES, _MOST_BYTES)

    def begin_call(self) -> None:
        """What follows is counted anew against the limits of a call."""
        self._call = Call(self._limits)

    def look(self, path: str) -> Attributes | None:
        """Attributes, not of what a link leads to; None when nothing is there."""
        return self._look(protocol.LSTAT, path)

    def follow(self, path: str) -> Attributes | None:
        """Attributes, of what a link leads to; None when nothing is there."""
        return self._look(protocol.STAT, path)

    def space(self, path: str) -> Space | None:
        """None where the server doesn't say."""
        if STATVFS not in self.extensions:
            return None
        return self._ask(protocol.EXTENDED, protocol.text(STATVFS), protocol.path_text(path)).space()

    def make_folder(self, path: str) -> None:
        """For its owner alone."""
        self._ask(protocol.MKDIR, protocol.path_text(path), protocol.permissions(0o700))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._ask(protocol.REMOVE, protocol.path_text(path))

    def remove_folder(self, path: str) -> None:
        """Remove an empty directory."""
        self._ask(protocol.RMDIR, protocol.path_text(path))

    def link(self, path: str, name: str) -> None:
        """Give a file a second name."""
        self._ask(protocol.EXTENDED, protocol.text(HARDLINK), protocol.path_text(path), protocol.path_text(name))

    def rename(self, path: str, name: str, synced: Sequence[str] = ()) -> None:
        """The draft's rename, which must fail where the new name exists; then bring these directories to the disk."""
        renamed = self._send(protocol.RENAME, protocol.path_text(path), protocol.path_text(name))
        opened = self._send_open_folders(synced)
        try:
            self._answer(renamed)
        except StatusError:
            self._close_folders(opened, is_synced=False)
            raise
        self._close_folders(opened, is_synced=True)

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Bring names to the disk where the server can."""
        self._close_folders(self._send_open_folders(paths), is_synced=True)

    def write_file(self, path: str, buffers: Buffers) -> None:
        """Create a file that nothing has the name of, and bring it to the disk where the server can."""
        flags = protocol.OPEN_WRITE | protocol.OPEN_CREATE | protocol.OPEN_EXCLUSIVE
        handle = self._handle(self._send_open(path, flags, 0o600))
        ahead: deque[int] = deque()
        most = max(1, _AHEAD_BYTES // self._write_bytes)
        head = len(protocol.frame(protocol.WRITE, 0, handle)) + 12
        size = min(self._write_bytes, _WRITE_PACKETS * _PACKET_BYTES - head)
        offset, is_closed = 0, False
        try:
            for piece in protocol.pieces(buffers, size):
                fields = struct.pack(">QI", offset, len(piece))
                ahead.append(self._send(protocol.WRITE, handle, fields, piece))
                offset += len(piece)
                self._call.move(len(piece))
                while len(ahead) > most or (ahead and self._pipe.has_received()):
                    self._answer(ahead.popleft())
            if FSYNC in self.extensions:
                ahead.append(self._send(protocol.EXTENDED, protocol.text(FSYNC), handle))
            is_closed = True
            ahead.append(self._send(protocol.CLOSE, handle))
            while ahead:
                self._answer(ahead.popleft())
        except StatusError:
            for number in ahead:
                self._forget(number)
            if not is_closed:
                self._drop(handle)
            raise

    def read_file(self, path: str, offset: int, length: int | None) -> bytes | None:
        """Bytes of an ordinary file; None when something else has the name, and the session is then of no use."""
        looked = self._send(protocol.LSTAT, protocol.path_text(path))
        opened = self._send_open(path, protocol.OPEN_READ, 0)
        try:
            found = self._attributes(looked)
        except StatusError:
            self._forget(opened)
            raise
        if not found.is_file:
            return None  # Opening a FIFO never ends: the answer is not waited for.
        handle = self._handle(opened)
        try:
            if found.size_bytes is None:
                raise SftpFormatError("a file without a size")
            end = found.size_bytes if length is None else min(found.size_bytes, offset + length)
            self._call.read(end - offset)
            return b"".join(self._read(handle, offset, end))
        finally:
            self._drop(handle)

    def folders(self, paths: Sequence[str]) -> Iterator[tuple[str, list[Entry] | None]]:
        """Each path with its entries, in any order; None where no directory is. Several are asked for at once."""
        self._call.enter(len(paths))
        for at in range(0, len(paths), _FOLDERS_AT_ONCE):
            some = paths[at : at + _FOLDERS_AT_ONCE]
            opened = [(path, self._send(protocol.OPENDIR, protocol.path_text(path))) for path in some]
            handles: dict[str, bytes] = {}
            refused: StatusError | None = None
            for path, number in opened:
                try:
                    handles[path] = self._handle(number)
                except StatusError as error:
                    if error.code == protocol.NO_SUCH_FILE:
                        yield path, None
                    else:
                        refused = refused or error
            if refused is not None:
                for handle in handles.values():
                    self._drop(handle)
                raise refused
            found: dict[str, list[Entry]] = {path: [] for path in handles}
            while handles:
                self._read_on(handles, found)
            yield from found.items()

    def _read_on(self, handles: dict[str, bytes], found: dict[str, list[Entry]]) -> None:
        """Some more entries of each open directory; those at their end are closed."""
        asked = deque((path, self._send(protocol.READDIR, handles[path])) for path in handles for _ in range(2))
        refused: StatusError | None = None
        while asked:
            path, number = asked.popleft()
            try:
                answer = _expect(self._answer(number), protocol.NAME)
                entries = answer.entries()
            except StatusError as error:
                refused = refused or (error if error.code != protocol.END_OF_FILE else None)
                if path in handles:
                    self._drop(handles.pop(path))
            else:
                found[path] += entries
                self._call.list_names(len(entries), answer.size_bytes)
        if refused is not None:
            for handle in handles.values():
                self._drop(handle)
            raise refused

    def _read(self, handle: bytes, offset: int, end: int) -> Iterator[bytes]:
        ahead: deque[tuple[int, int, int]] = deque()
        most = max(1, _AHEAD_BYTES // self._read_bytes)
        try:
            while True:
                while offset < end and len(ahead) < most:
                    # What was asked for comes, whoever reads it.
                    count = min(self._read_bytes, end - offset)
                    stop = offset + (count if self._pace is None else self._pace.may_read(count)[0])
                    ahead.append((self._send_read(handle, offset, stop - offset), offset, stop))
                    offset = stop
                    if self._pace is not None:
                        self._flush()
                        if self._pipe.has_received():
                            break
                self._flush()  # what came already keeps nobody from asking on
                if not ahead:
                    return
                number, start, stop = ahead.popleft()
                while True:
                    data = _expect(self._answer(number), protocol.DATA).text()
                    if not data or len(data) > stop - start:
                        raise SftpFormatError(f"{len(data)} bytes where {stop - start} were asked for")
                    yield data
                    start += len(data)
                    if start == stop:
                        break
                    number = self._send_read(handle, start, stop - start)
        finally:
            for number, _, _ in ahead:
                self._forget(number)

    def _look(self, kind: int, path: str) -> Attributes | None:
        try:
            return _expect(self._ask(kind, protocol.path_text(path)), protocol.ATTRIBUTES).attributes()
        except StatusError as error:
            if error.code == protocol.NO_SUCH_FILE:
                return None
            raise

    def _attributes(self, number: int) -> Attributes:
        return _expect(self._answer(number), protocol.ATTRIBUTES).attributes()

    def _handle(self, number: int) -> bytes:
        """As it goes into requests, with its length."""
        return protocol.text(_expect(self._answer(number), protocol.HANDLE).text())

    def _send_open(self, path: str, flags: int, mode: int) -> int:
        attributes = protocol.permissions(mode) if mode else bytes(4)
        return self._send(protocol.OPEN, protocol.path_text(path), struct.pack(">I", flags), attributes)

    def _send_read(self, handle: bytes, offset: int, count: int) -> int:
        return self._send(protocol.READ, handle, struct.pack(">QI", offset, count))

    def _send_open_folders(self, paths: Sequence[str]) -> list[int]:
        """OpenSSH opens directories as if they were files, and brings them to the disk; others refuse that."""
        return [self._send_open(path, protocol.OPEN_READ, 0) for path in paths if FSYNC in self.extensions]

    def _close_folders(self, opened: list[int], *, is_synced: bool) -> None:
        asked: list[int] = []
        for number in opened:
            with suppress(StatusError):
                handle = self._handle(number)
                if is_synced:
                    asked.append(self._send(protocol.EXTENDED, protocol.text(FSYNC), handle))
                asked.append(self._send(protocol.CLOSE, handle))
        for number in asked:
            with suppress(StatusError):
                self._answer(number)

    def _ask(self, kind: int, *fields: bytes) -> Answer:
        self._call.step()
        return self._answer(self._send(kind, *fields))

    def _send(self, kind: int, *fields: bytes) -> int:
        number = next(self._numbers) & 0xFFFF_FFFF
        self._expected.add(number)
        request = protocol.frame(kind, number, *fields)
        # Several small ones in one packet: each packet costs more than what stands in it.
        if len(self._unsent) + len(request) > _PACKET_BYTES:
            self._flush()
        if len(request) > _PACKET_BYTES:
            self._push(request)
        else:
            self._unsent += request
        return number

    def _flush(self) -> None:
        request, self._unsent = self._unsent, b""
        self._push(request)

    def _push(self, request: bytes) -> None:
        for piece in (request,) if self._pace is None else self._pace.cut(request):
            left = memoryview(piece)
            while left:
                left = left[self._timed(partial(self._pipe.send, left)) :]

    def _drop(self, handle: bytes) -> None:
        """Close what is not to be used further, at once."""
        self._forget(self._send(protocol.CLOSE, handle))
        self._flush()

    def _forget(self, number: int) -> None:
        """An answer that nobody waits for."""
        if number in self._expected:
            self._expected.remove(number)
            self._forgotten.add(number)
        self._arrived.pop(number, None)

    def _answer(self, number: int) -> Answer:
        """The answer to a request, whatever comes before. Raises StatusError."""
        while number not in self._arrived:
            answer = self._frame()
            arrived = answer.number()
            # Each request has one answer: a server can't hold a call by further ones.
            if arrived in self._expected:
                self._expected.remove(arrived)
                self._arrived[arrived] = answer
                self.answers += 1
            elif arrived in self._forgotten:
                self._forgotten.remove(arrived)
            else:
                raise SftpFormatError("an answer to nothing that was asked")
        answer = self._arrived.pop(number)
        if answer.kind == protocol.STATUS:
            error = answer.status()
            if error is not None:
                raise error
        return answer

    def _frame(self) -> Answer:
        self._fill(4)
        (length,) = struct.unpack_from(">I", self._buffer, self._start)
        if length > protocol.MAX_FRAME_BYTES:
            raise SftpFormatError(f"a frame of {length} bytes")
        self._fill(4 + length)
        self._start += 4 + length
        return Answer(bytes(memoryview(self._buffer)[self._start - length : self._start]))

    def _fill(self, count: int) -> None:
        """Have so many bytes at hand."""
        while len(self._buffer) - self._start < count:
            if self._start:
                del self._buffer[: self._start]
                self._start = 0
            self._flush()
            # All at once: what stays behind in paramiko's buffer is moved at each reading.
            self._buffer += self._timed(partial(self._pipe.receive, _RECEIVE_BYTES))

    def _timed(self, action: Callable[[], Done]) -> Done:
        """What waits for the server, while it has time left. What came late, but whole, is taken."""
        if self._call.is_over:
            raise LostError("the server takes too long", is_silence=True)
        began = self._clock.monotonic()
        done = action()
        self._call.wait(self._clock.monotonic() - began)
        return done


def _expect(answer: Answer, kind: int) -> Answer:
    if answer.kind != kind:
        raise SftpFormatError(f"an answer of kind {answer.kind} instead of {kind}")
    return answer
