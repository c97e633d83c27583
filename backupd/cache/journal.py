"""What a running writer has stored and no index names yet: a file for set and place, fsynced with each block.

A block is written down before it is sent, so whether it arrived is to be asked at the destination. Records are `<I`
length, 8 bytes of BLAKE3, msgpack; a torn tail is passed over. What is published is left out again now and then.
"""

from __future__ import annotations

import os
import struct
import threading
from contextlib import suppress

import msgspec
from blake3 import blake3

from backupd import durable_io
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_HEAD = struct.Struct("<I8s")
_MOST_BYTES = 64 << 20
_COMPACTED_BYTES = 16 << 20
"""So much beside what still counts is written before the file is made anew."""


class JournalSession(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The session that this journal belongs to; the first record."""

    session: bytes
    snapshot_name: str
    cache_path: str
    """The cache file under its temporary name."""


class JournalBlock(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A block that is at the destination or on its way there."""

    block_id: bytes
    size_bytes: int
    content: int
    segments: list[tuple[int, int, int, bytes]]
    """(offset, stored bytes, plain bytes, ids)."""


class JournalPublished(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """These blocks stand in index objects; others may have become safe meanwhile."""

    blocks: list[bytes]


class JournalCheckpoint(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A checkpoint was posted; the cache file is good up to that length."""

    n: int
    cache_bytes: int


JournalRecord = JournalSession | JournalBlock | JournalPublished | JournalCheckpoint
_decoder = msgspec.msgpack.Decoder(JournalRecord)


class JournalState(msgspec.Struct, frozen=True):
    """What a journal says about a writer that is gone."""

    session: JournalSession
    unpublished: list[JournalBlock]
    checkpoint: JournalCheckpoint | None


class Journal:
    """Appends records; safe from several threads."""

    def __init__(self, path: str, session: JournalSession) -> None:
        """Begin a journal anew, replacing one that was read. Raises OSError."""
        self.path = path
        self._lock = threading.Lock()
        self._session, self._checkpoint = _pack(session), b""
        self._unpublished: dict[bytes, bytes] = {}
        self._written = 0
        durable_io.replace(path, [self._session])
        self._fd = self._open()

    def add(self, record: JournalRecord) -> None:
        """Append; on the disk when this returns. Raises OSError."""
        packed = _pack(record)
        with self._lock:
            durable_io.append(self._fd, [packed])
            self._written += len(packed)
            match record:
                case JournalBlock():
                    self._unpublished[record.block_id] = packed
                case JournalPublished():
                    for block_id in record.blocks:
                        self._unpublished.pop(block_id, None)
                    if self._written > _COMPACTED_BYTES + sum(map(len, self._unpublished.values())):
                        self._compact()
                case JournalCheckpoint():
                    self._checkpoint = packed

    def close(self, *, is_ended: bool) -> None:
        """Close; the journal of a session that was ended is of no use any more and goes."""
        with self._lock:
            os.close(self._fd)
            # A thread that hung at a dead destination may come back, and another file may have the number by then.
            self._fd = -1
        if is_ended:
            # The next run finds that its session's name is taken, and removes it then.
            with suppress(OSError):
                os.unlink(self.path)

    def _compact(self) -> None:
        kept = [part for part in (self._checkpoint, *self._unpublished.values()) if part]
        durable_io.replace(self.path, [self._session, *kept])
        os.close(self._fd)
        self._fd = self._open()
        self._written = sum(map(len, kept))

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def read_journal(path: str) -> JournalState | None:
    """What the last writer left; None when there is no journal or its first record is damaged."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translated(error, path) from error
    session: JournalSession | None = None
    unpublished: dict[bytes, JournalBlock] = {}
    checkpoint: JournalCheckpoint | None = None
    for record in _unpack(data):
        match record:
            case JournalSession():
                session = record
            case JournalBlock():
                unpublished[record.block_id] = record
            case JournalPublished():
                for block_id in record.blocks:
                    unpublished.pop(block_id, None)
            case JournalCheckpoint():
                checkpoint = record
    return None if session is None else JournalState(session, list(unpublished.values()), checkpoint)


def _pack(record: JournalRecord) -> bytes:
    body = msgspec.msgpack.encode(record)
    return _HEAD.pack(len(body), blake3(body).digest(8)) + body


def _unpack(data: bytes) -> list[JournalRecord]:
    found: list[JournalRecord] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, digest = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if length > _MOST_BYTES or len(body) != length or blake3(body).digest(8) != digest:
            break
        try:
            found.append(_decoder.decode(body))
        except MALFORMED:
            break
        at += _HEAD.size + length
    return found
