"""SFTP version 3 as bytes, without any I/O (draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL file).

paramiko's own client is not used above its channels: it drops the errors of pipelined writes, folds what a server says
into one error, and knows neither fsync nor free space.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from backupd.destination.contract import Buffers

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 3, 4, 5, 6, 7, 8
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, STAT, RENAME = 11, 12, 13, 14, 15, 17, 18
STATUS, HANDLE, DATA, NAME, ATTRIBUTES = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201

OK, END_OF_FILE, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
UNSUPPORTED = 8

OPEN_READ, OPEN_WRITE, OPEN_CREATE, OPEN_EXCLUSIVE = 1, 2, 8, 32

MAX_FRAME_BYTES = 1 << 20
"""Of one answer; OpenSSH sends up to 256 KiB."""
_HAS_SIZE, _HAS_OWNER, _HAS_PERMISSIONS, _HAS_TIMES, _IS_EXTENDED = 1, 2, 4, 8, 1 << 31
_MAX_TEXT = 200
_MAX_NAME_BYTES = 255
"""As file systems have it."""


class SftpFormatError(Exception):
    """The server sent what no SFTP server sends."""


class StatusError(Exception):
    """The server answered a request with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text or 'no reason given'} ({code})")
        self.code, self.text = code, text


class Attributes(msgspec.Struct, frozen=True):
    """What a server says of a name; None where it doesn't."""

    size_bytes: int | None
    permissions: int | None
    """With the kind of file, as `st_mode`."""

    @property
    def is_file(self) -> bool:
        """An ordinary one, no link."""
        return self.permissions is not None and stat.S_ISREG(self.permissions)

    @property
    def is_folder(self) -> bool:
        """A directory, no link to one."""
        return self.permissions is not None and stat.S_ISDIR(self.permissions)


class Entry(msgspec.Struct, frozen=True):
    """One name of a directory."""

    name: str
    """With surrogates where it is no UTF-8."""
    attributes: Attributes


class Space(msgspec.Struct, frozen=True):
    """What a file system has left."""

    free_bytes: int
    """For an ordinary user."""
    free_names: int | None
    """None: it makes them as needed."""
    is_read_only: bool


class Answer:
    """One frame of the server, read field by field. Raises SftpFormatError where it ends too early."""

    def __init__(self, frame: bytes) -> None:
        self._frame, self._at = frame, 1
        if not frame:
            raise SftpFormatError("an empty frame")
        self.kind = frame[0]
        self.size_bytes = len(frame)

    def number(self) -> int:
        """32 bits."""
        return int(self._unpack(">I", 4))

    def long(self) -> int:
        """64 bits."""
        return int(self._unpack(">Q", 8))

    def text(self) -> bytes:
        """A length and so many bytes."""
        length = self.number()
        if length > len(self._frame) - self._at:
            raise SftpFormatError("a length beyond the frame")
        self._at += length
        return self._frame[self._at - length : self._at]

    def has_more(self) -> bool:
        """Whether fields follow."""
        return self._at < len(self._frame)

    def attributes(self) -> Attributes:
        """ATTRS."""
        flags = self.number()
        size = self.long() if flags & _HAS_SIZE else None
        if flags & _HAS_OWNER:
            self.long()
        permissions = self.number() if flags & _HAS_PERMISSIONS else None
        if flags & _HAS_TIMES:
            self.long()
        if flags & _IS_EXTENDED:
            for _ in range(self.number()):
                self.text()
                self.text()
        return Attributes(size, permissions)

    def entries(self) -> list[Entry]:
        """The names of a NAME answer, without `.`, `..` and those that are too long to be of a file."""
        found: list[Entry] = []
        for _ in range(self.number()):
            name = self.text()
            self.text()
            attributes = self.attributes()
            if len(name) <= _MAX_NAME_BYTES and name not in (b".", b".."):
                found.append(Entry(name.decode(errors="surrogateescape"), attributes))
        return found

    def space(self) -> Space:
        """The answer to `statvfs@openssh.com`."""
        _, fragment, _, _, available, names, _, free_names, _, flags, _ = (self.long() for _ in range(11))
        return Space(available * fragment, free_names if names else None, bool(flags & 1))

    def status(self) -> StatusError | None:
        """What a STATUS says; None where all went well."""
        code = self.number()
        if code == OK:
            return None
        text = self.text().decode(errors="replace")[:_MAX_TEXT] if self.has_more() else ""
        return StatusError(code, "".join(letter if letter.isprintable() else "?" for letter in text))

    def _unpack(self, form: str, length: int) -> int:
        if len(self._frame) - self._at < length:
            raise SftpFormatError("a frame that ends too early")
        self._at += length
        value: int = struct.unpack_from(form, self._frame, self._at - length)[0]
        return value


def text(value: bytes) -> bytes:
    """A length and the bytes."""
    return struct.pack(">I", len(value)) + value


def path_text(path: str) -> bytes:
    """A path as it is sent."""
    return text(path.encode(errors="surrogateescape"))


def permissions(mode: int) -> bytes:
    """ATTRS with the permissions alone."""
    return struct.pack(">II", _HAS_PERMISSIONS, mode)


def frame(kind: int, number: int, *fields: bytes) -> bytes:
    """A request."""
    return struct.pack(">IBI", 5 + sum(map(len, fields)), kind, number) + b"".join(fields)


def greeting() -> bytes:
    """What a client sends first."""
    return struct.pack(">IBI", 5, INIT, 3)


def extensions(answer: Answer) -> dict[bytes, bytes]:
    """What a server's first answer offers beyond the draft; name -> version."""
    if answer.kind != VERSION:
        raise SftpFormatError("no greeting")
    if answer.number() < 3:
        raise SftpFormatError("a version before 3")
    found: dict[bytes, bytes] = {}
    while answer.has_more():
        name = answer.text()
        found[name] = answer.text()
    return found


def pieces(buffers: Buffers, size: int) -> Iterator[bytes]:
    """The bytes of all buffers in pieces of one size, the last one shorter."""
    parts: list[bytes | memoryview] = []
    missing = size
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        while len(view) >= missing:
            yield b"".join([*parts, view[:missing]])
            view, parts, missing = view[missing:], [], size
        if len(view):
            parts.append(view)
            missing -= len(view)
    if parts:
        yield b"".join(parts)
