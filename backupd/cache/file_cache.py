"""What a run saw, for the next run: per directory its tree, per entry its signature and its encoding (DESIGN 7).

One file a run: records are appended as directories finish, and at each checkpoint and last of all a table of those
that were finished since the table before, which it names. It belongs to one state of one snapshot and is worth nothing
without it; losing it costs one full read.
Layout: 64-byte header, records, then table (msgpack) and trailer `<QI16s4s` (offset, length
and BLAKE3 of the table, magic).
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec
from blake3 import blake3

from backupd import durable_io
from backupd.errors import DamagedCacheError
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_HEADER = struct.Struct("<8s16s16s24x")
_MAGIC = b"BKDFILE3"
_TRAILER = struct.Struct("<QI16s4s")
_TRAILER_MAGIC = b"BKDT"
_BUFFER_BYTES = 1 << 20


STALE = b"stale"
"""Signature of a row whose file is stored anew, as if nothing were known of it."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry as it was seen."""

    name: bytes
    signature: bytes
    """source.signature, empty when it is not to be trusted."""
    entry: bytes
    """Encoded; empty where it is kept only in the snapshot (`FileCache.filled`)."""

    @property
    def known(self) -> bytes:
        """The entry where what is stored of the file may be built on, else empty."""
        return self.entry if self.signature != STALE else b""


class PieceRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the rows of a stretch of a directory lie."""

    first_name: bytes
    digest: bytes
    """Over names and signatures in order; empty when a row is not to be trusted."""
    offset: int
    length: int
    check: bytes
    """16 bytes of BLAKE3 of the record."""
    plain: int = 0
    """By which list of names of databases' files (`rules.live_files`) none is among its own; 0: nobody knows."""


class CachedDirectory(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A directory as it was stored."""

    node: bytes
    """Id of its top node; empty when it was not finished."""
    pieces: list[PieceRef]
    files: int
    """Below it, at any depth."""
    byte_count: int
    problems: bool
    """Whether something below it was left out, flagged or young."""


class _Table(msgspec.Struct, frozen=True, array_like=True):
    directories: dict[bytes, CachedDirectory]
    """Finished since the table before."""
    unfinished: dict[bytes, CachedDirectory]
    """Of a checkpoint; they count in its own table only."""
    previous_end: int
    """Where the trailer of the table before ends, 0: this is the first."""
    damage: list[str]
    root: bytes
    """Of the snapshot as it was when the table was written: a later state of it, or an earlier one, is another."""
    token: bytes = b""
    """Of a whole run: who watched the sources since knows it by that. Empty: nobody did."""


_rows_decoder = msgspec.msgpack.Decoder(list[Row])
_table_decoder = msgspec.msgpack.Decoder(_Table)
_encoder = msgspec.msgpack.Encoder()


class FileCache:
    """Reads a cache."""

    def __init__(
        self, path: str, fd: int, options: bytes, table: _Table, directories: dict[bytes, CachedDirectory]
    ) -> None:
        self.path, self._fd, self.options = path, fd, options
        self._size_bytes = os.fstat(fd).st_size
        self._directories = directories
        self.damage = set(table.damage)
        """Names of the damage records that its run knew."""
        self.root = table.root
        """Top node of the snapshot that it belongs to: who has all that this reaches has all that the cache knows."""
        self.token = table.token
        """Of its run, where the sources are watched."""
        self._sorted: list[bytes] | None = None
        self.entries: Callable[[bytes, Collection[bytes]], dict[bytes, bytes]] | None = None
        """Gives encoded entries that are not kept here, by a directory's top node and their names."""

    def directory(self, path: bytes) -> CachedDirectory | None:
        """What was stored of a directory."""
        return self._directories.get(path)

    def paths(self) -> Iterable[bytes]:
        """Of all directories."""
        return self._directories.keys()

    def below(self, path: bytes) -> list[bytes]:
        """Paths of all directories that lie below one."""
        if self._sorted is None:
            self._sorted = sorted(self._directories)
        top = path.rstrip(b"/")
        # The sign after the slash.
        return self._sorted[bisect_left(self._sorted, top + b"/") + (not top) : bisect_left(self._sorted, top + b"0")]

    def rows(self, piece: PieceRef) -> list[Row]:
        """The rows of a piece. Raises DamagedCacheError."""
        try:
            return _rows_decoder.decode(self.read(piece))
        except MALFORMED as error:
            raise DamagedCacheError(f"the file cache {self.path} holds no rows: {error}") from error

    def filled(self, rows: list[Row], node: bytes) -> list[Row]:
        """Rows of a directory with the entries that are not kept here; those that can't be had are left out.

        node: of the directory, empty where it was not finished. Raises DamagedCacheError.
        """
        bare = [row.name for row in rows if not row.entry]
        if not bare:
            return rows
        found = self.entries(node, bare) if self.entries is not None and node else {}
        return [
            row if row.entry else Row(row.name, row.signature, found[row.name])
            for row in rows
            if row.entry or row.name in found
        ]

    def read(self, piece: PieceRef) -> bytes:
        """The rows of a piece as they lie there, to carry them over. Raises DamagedCacheError."""
        if not 0 <= piece.offset <= piece.offset + piece.length <= self._size_bytes:
            raise DamagedCacheError(f"the file cache {self.path} names rows that it has not")
        try:
            data = os.pread(self._fd, piece.length, piece.offset)
        except OSError as error:
            raise DamagedCacheError(f"the file cache {self.path} can't be read: {error.strerror}") from error
        if blake3(data).digest(16) != piece.check:
            raise DamagedCacheError(f"the file cache {self.path} is damaged")
        return data

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def adopt_part(path: str, end: int) -> bool:
    """Make the file that a dead run left a cache of its own, cut at its last checkpoint; False when it is gone."""
    try:
        os.truncate(path + ".part", end)
        os.rename(path + ".part", path)
    except OSError:
        # Gone, or its disk does not give it: without it, more is read.
        return False
    return True


def open_cache(path: str) -> FileCache | None:
    """Open a cache file. None when there is none to trust."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        header = os.pread(fd, _HEADER.size, 0)
        newest = _read_table(fd, os.fstat(fd).st_size)
        if newest is None or len(header) != _HEADER.size or not header.startswith(_MAGIC):
            return None
        directories = {**newest.directories, **newest.unfinished}
        table: _Table | None = newest
        while table is not None and table.previous_end:
            table = _read_table(fd, table.previous_end)
            if table is None:
                return None
            for name, directory in table.directories.items():
                directories.setdefault(name, directory)
        cache = FileCache(path, fd, _HEADER.unpack(header)[1], newest, directories)
        fd = -1
        return cache
    except (*MALFORMED, OSError):
        return None
    finally:
        if fd >= 0:
            os.close(fd)


def _read_table(fd: int, end: int) -> _Table | None:
    """The table whose trailer ends there; None where it is not whole."""
    if end < _HEADER.size + _TRAILER.size:
        return None
    trailer = os.pread(fd, _TRAILER.size, end - _TRAILER.size)
    if len(trailer) != _TRAILER.size:
        return None
    offset, length, check, magic = _TRAILER.unpack(trailer)
    if magic != _TRAILER_MAGIC or offset + length + _TRAILER.size != end:
        return None
    data = os.pread(fd, length, offset)
    if blake3(data).digest(16) != check:
        return None
    table = _table_decoder.decode(data)
    return table if table.previous_end <= offset else None


class FileCacheWriter:
    """Writes the cache of one run under a temporary name; `finish` gives it its own."""

    def __init__(self, path: str, options: bytes, damage: set[str]) -> None:
        """options: 16 bytes, hash of all that shapes trees. Raises StateFullError, AccessError, StateError."""
        self.path = path
        """Under which it can be opened when it is finished."""
        self.temporary = path + ".part"
        with _translated(path):
            self._fd = os.open(self.temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._buffer: list[bytes] = [_HEADER.pack(_MAGIC, options, bytes(16))]
        self._buffered = _HEADER.size
        self._offset = _HEADER.size
        self._directories: dict[bytes, CachedDirectory] = {}
        self._table_end = 0
        self._damage = sorted(damage)

    def add_piece(self, first_name: bytes, digest: bytes, rows: list[Row], plain: int = 0) -> PieceRef:
        """Write the rows of a stretch of a directory."""
        data = _encoder.encode(rows)
        return PieceRef(first_name, digest, self._append(data), len(data), blake3(data).digest(16), plain)

    def add_directory(self, path: bytes, directory: CachedDirectory) -> None:
        """Name a directory's pieces."""
        self._directories[path] = directory

    def carry(self, source: FileCache, path: bytes, directory: CachedDirectory) -> None:
        """Take a directory over as it is, its pieces' bytes copied. Raises DamagedCacheError."""
        pieces = [
            msgspec.structs.replace(piece, offset=self._append(source.read(piece)))
            for piece in directory.pieces
        ]
        self._directories[path] = msgspec.structs.replace(directory, pieces=pieces)

    def checkpoint(self, unfinished: Iterator[tuple[bytes, CachedDirectory]], root: bytes) -> int:
        """Write a table of what there is and bring all to the disk; returns the length to open the file with."""
        self._append_table(dict(unfinished), root)
        self._flush()
        with _translated(self.path):
            durable_io.sync_file(self._fd)
        return self._offset

    def finish(self, root: bytes, token: bytes = b"") -> None:
        """Write the table and give the file its name. token: of a run of watched sources."""
        self._append_table({}, root, token)
        self._flush()
        with _translated(self.path):
            os.rename(self.temporary, self.path)
        os.close(self._fd)

    def finish_as_is(self) -> None:
        """Give the file its name with the table of the last checkpoint; nothing was added since."""
        with _translated(self.path):
            os.rename(self.temporary, self.path)
        os.close(self._fd)

    def discard(self) -> None:
        """Remove the file; where that can't be, the next run of the set does."""
        os.close(self._fd)
        with suppress(OSError):
            os.unlink(self.temporary)

    def keep_part(self) -> None:
        """Close the file under its temporary name: the next run opens it up to the last checkpoint."""
        os.close(self._fd)

    def _append(self, data: bytes) -> int:
        offset = self._offset
        self._buffer.append(data)
        self._offset += len(data)
        self._buffered += len(data)
        if self._buffered >= _BUFFER_BYTES:
            self._flush()
        return offset

    def _append_table(self, unfinished: dict[bytes, CachedDirectory], root: bytes, token: bytes = b"") -> None:
        table = _Table(self._directories, unfinished, self._table_end, self._damage, root, token)
        data = _encoder.encode(table)
        offset = self._append(data)
        self._append(_TRAILER.pack(offset, len(data), blake3(data).digest(16), _TRAILER_MAGIC))
        # A backup of many terabytes makes thousands of checkpoints: none repeats what those before it said.
        self._directories, self._table_end = {}, self._offset

    def _flush(self) -> None:
        with _translated(self.path):
            durable_io.write_buffers(self._fd, self._buffer)
        self._buffer, self._buffered = [], 0


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translated(error, path) from error
