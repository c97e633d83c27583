"""What the head of an archive of `mongodump` says: of which collections it is."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from backupd.store_errors import StreamError

_MAGIC = b"\x6d\xe2\x99\x81"
_GZIP_MAGIC = b"\x1f\x8b"
_END = b"\xff\xff\xff\xff"
_LENGTH = struct.Struct("<i")
_MOST_DOCUMENT_BYTES = 32 << 20
"""The server's own limit is half of that."""
_MOST_HEAD_BYTES = 256 << 20
_MOST_COLLECTIONS = 1_000_000
_INFLATED_BYTES = 1 << 20
_FIXED_SIZES = {0x01: 8, 0x08: 1, 0x0A: 0, 0x10: 4, 0x12: 8}
"""Of values of BSON (bsonspec.org) by their type: double, boolean, null, two integers."""
_STRING, _DOCUMENT, _ARRAY = 0x02, 0x03, 0x04


class ArchiveHead(NamedTuple):
    """What stands before the first document."""

    namespaces: frozenset[tuple[str, str]]
    """Database and collection, of each that it holds; without a database: what happened while it was written."""
    is_gzip: bool

    @property
    def has_oplog(self) -> bool:
        """Whether it also holds what happened while it was written, so that all can be had as of its end."""
        return ("", "oplog") in self.namespaces


def read_head(pieces: Iterator[bytes]) -> tuple[ArchiveHead, Iterator[bytes]]:
    """The head of an archive, and all its pieces. Raises StreamError for what is none, or too large."""
    taking = _Taking(pieces)
    if taking.take(4) != _MAGIC:
        raise _malformed("it does not begin as one")
    _strings(taking.document(taking.take(4)))
    found: set[tuple[str, str]] = set()
    while (begun := taking.take(4)) != _END:
        described = _strings(taking.document(begun))
        if "db" not in described or "collection" not in described:
            raise _malformed("it has a collection without a name")
        found.add((described["db"], described["collection"]))
        if len(found) > _MOST_COLLECTIONS:
            raise _malformed("its head has no end")
    return ArchiveHead(frozenset(found), taking.is_gzip), chain(taking.read, pieces)


class _Taking:
    """Takes bytes off the front of pieces, which it keeps; of compressed ones it takes what is in them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = filter(None, pieces)
        first = b""
        # No more than is needed: who writes may wait with the rest, or have much of it.
        while len(first) < len(_GZIP_MAGIC) and (piece := next(self._pieces, None)) is not None:
            first += piece
        self.read = [first]
        self.is_gzip = first.startswith(_GZIP_MAGIC)
        self._plain = self._inflated() if self.is_gzip else chain([first], self._next())
        self._buffer, self._taken_bytes, self._read_bytes = bytearray(), 0, len(first)

    def take(self, count: int) -> bytes:
        """So many bytes. Raises StreamError where there are fewer."""
        while len(self._buffer) < count:
            piece = next(self._plain, None)
            if piece is None:
                raise _malformed("it ends in its head")
            self._buffer += piece
            self._taken_bytes += len(piece)
            if self._taken_bytes > _MOST_HEAD_BYTES:
                raise _malformed("its head has no end")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def document(self, begun: bytes) -> bytes:
        """A document of BSON that begins with these four bytes; without them."""
        (size,) = _LENGTH.unpack(begun)
        if not 5 <= size <= _MOST_DOCUMENT_BYTES:
            raise _malformed("it describes a collection by more than a document can hold")
        return self.take(size - 4)

    def _next(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.read.append(piece)
            # Of compressed pieces any number may hold nothing.
            self._read_bytes += len(piece)
            if self._read_bytes > _MOST_HEAD_BYTES:
                raise _malformed("its head has no end")
            yield piece

    def _inflated(self) -> Iterator[bytes]:
        """A little at a time: a piece may hold a thousand times its length."""
        inflating = zlib.decompressobj(wbits=31)
        try:
            for piece in chain(list(self.read), self._next()):
                rest = piece
                while rest:
                    yield inflating.decompress(rest, _INFLATED_BYTES)
                    rest = inflating.unconsumed_tail
                if inflating.eof:
                    return
        except zlib.error as error:
            raise _malformed(str(error)) from error


def _strings(document: bytes) -> dict[str, str]:
    """The values of a document that are strings; without its first four bytes."""
    found: dict[str, str] = {}
    at = 0
    try:
        while (kind := document[at]) != 0:
            end = document.index(b"\0", at + 1)
            name, at = document[at + 1 : end].decode(), end + 1
            if kind == _STRING:
                (size,) = _LENGTH.unpack_from(document, at)
                if size < 1 or at + 4 + size > len(document):
                    raise ValueError("a string that is longer than its document")
                found[name] = document[at + 4 : at + 3 + size].decode()
                at += 4 + size
            elif kind in (_DOCUMENT, _ARRAY):
                (size,) = _LENGTH.unpack_from(document, at)
                at += max(size, 5)
            else:
                at += _FIXED_SIZES[kind]
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise _malformed("it describes a collection in a way that nobody knows") from error
    return found


def _malformed(what: str) -> StreamError:
    return StreamError(f"that is no archive of mongodump: {what}")
