"""What a running writer has stored and no index names yet: one file a set and place, fsynced with each block (DESIGN 8.1).

Records are `<I` length, 8 bytes of BLAKE3, msgpack; a torn tail is passed over.
"""

from __future__ import annotations

import os
import struct
import threading

import msgspec
from blake3 import blake3

from backupd import durable_io

_HEAD = struct.Struct("<I8s")
_MOST_BYTES = 64 << 20


class JournalSession(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The session that this journal belongs to; the first record."""

    session: bytes
    snapshot_name: str
    cache_path: str
    """The cache file under its temporary name."""


class JournalBlock(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A block that is safe at the destination."""

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
        self._path = path
        self._lock = threading.Lock()
        durable_io.replace(path, [_pack(session)])
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def add(self, record: JournalRecord) -> None:
        """Append; on the disk when this returns. Raises OSError."""
        with self._lock:
            durable_io.append(self._fd, [_pack(record)])

    def close(self, *, is_ended: bool) -> None:
        """Close; the journal of a session that was ended is of no use any more and goes."""
        os.close(self._fd)
        if is_ended:
            os.unlink(self._path)


def read_journal(path: str) -> JournalState | None:
    """What the last writer left; None when there is no journal or its first record is damaged."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
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
        except msgspec.MsgspecError:
            break
        at += _HEAD.size + length
    return found
