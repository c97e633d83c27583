"""What a run saw, for the next run: per directory its tree, per entry its signature and its encoding (DESIGN 7).

One file a run: records are appended as directories finish, a table of all directories comes last, and at each
checkpoint. It belongs to one snapshot and is worth nothing without it; losing it costs one full read.
Layout: 64-byte header, records, then table (msgpack) and trailer `<QI16s4s` (offset, length
and BLAKE3 of the table, magic).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from blake3 import blake3

from backupd import durable_io
from backupd.errors import FormatError, StateFullError

_HEADER = struct.Struct("<8s16s16s24x")
_MAGIC = b"BKDFILE1"
_TRAILER = struct.Struct("<QI16s4s")
_TRAILER_MAGIC = b"BKDT"
_BUFFER_BYTES = 1 << 20


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry as it was seen."""

    name: bytes
    signature: bytes
    """source.signature, empty when it is not to be trusted."""
    entry: bytes
    """Encoded."""


class PieceRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the rows of a stretch of a directory lie."""

    first_name: bytes
    digest: bytes
    """Over names and signatures in order; empty when a row is not to be trusted."""
    offset: int
    length: int
    check: bytes
    """16 bytes of BLAKE3 of the record."""


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
    damage: list[str]
    base: str


_rows_decoder = msgspec.msgpack.Decoder(list[Row])
_table_decoder = msgspec.msgpack.Decoder(_Table)
_encoder = msgspec.msgpack.Encoder()


class DamagedCacheError(FormatError):
    """Bytes of a file cache are not what was written: nothing of it is to be used."""


class FileCache:
    """Reads a cache."""

    def __init__(self, path: str, fd: int, options: bytes, table: _Table) -> None:
        self.path, self._fd, self.options = path, fd, options
        self._directories = table.directories
        self.damage = set(table.damage)
        """Names of the damage records that its run knew."""
        self.snapshot_name = table.base
        """The snapshot that it belongs to."""

    def directory(self, path: bytes) -> CachedDirectory | None:
        """What was stored of a directory."""
        return self._directories.get(path)

    def rows(self, piece: PieceRef) -> list[Row]:
        """The rows of a piece. Raises DamagedCacheError."""
        return _rows_decoder.decode(self.read(piece))

    def read(self, piece: PieceRef) -> bytes:
        """The rows of a piece as they lie there, to carry them over. Raises DamagedCacheError."""
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
    except FileNotFoundError:
        return False
    return True


def open_cache(path: str) -> FileCache | None:
    """Open a cache file. None when there is none to trust."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(fd).st_size
        header = os.pread(fd, _HEADER.size, 0)
        trailer = os.pread(fd, _TRAILER.size, size - _TRAILER.size) if size > _HEADER.size + _TRAILER.size else b""
        if len(header) == _HEADER.size and len(trailer) == _TRAILER.size:
            magic, options, _ = _HEADER.unpack(header)
            offset, length, check, trailer_magic = _TRAILER.unpack(trailer)
            table = os.pread(fd, length, offset) if offset + length + _TRAILER.size == size else b""
            is_whole = magic == _MAGIC and trailer_magic == _TRAILER_MAGIC and blake3(table).digest(16) == check
            if is_whole:
                cache = FileCache(path, fd, options, _table_decoder.decode(table))
                fd = -1
                return cache
    except (msgspec.MsgspecError, OSError):
        return None
    finally:
        if fd >= 0:
            os.close(fd)
    return None


class FileCacheWriter:
    """Writes the cache of one run under a temporary name; `finish` gives it its own."""

    def __init__(self, path: str, options: bytes, snapshot_name: str, damage: set[str]) -> None:
        """options: 16 bytes, hash of all that shapes trees. All of it raises StateFullError, other OSError as it is."""
        self._path = path
        self.temporary = path + ".part"
        with _translated(path):
            self._fd = os.open(self.temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._buffer: list[bytes] = [_HEADER.pack(_MAGIC, options, bytes(16))]
        self._buffered = _HEADER.size
        self._offset = _HEADER.size
        self._directories: dict[bytes, CachedDirectory] = {}
        self._damage, self._snapshot_name = sorted(damage), snapshot_name

    def add_piece(self, first_name: bytes, digest: bytes, rows: list[Row]) -> PieceRef:
        """Write the rows of a stretch of a directory."""
        data = _encoder.encode(rows)
        return PieceRef(first_name, digest, self._append(data), len(data), blake3(data).digest(16))

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

    def checkpoint(self, unfinished: Iterator[tuple[bytes, CachedDirectory]]) -> int:
        """Write a table of what there is and bring all to the disk; returns the length to open the file with."""
        loose = dict(unfinished)
        self._append_table({**self._directories, **loose})
        self._flush()
        with _translated(self._path):
            durable_io.sync_file(self._fd)
        return self._offset

    def finish(self) -> None:
        """Write the table and give the file its name."""
        self._append_table(self._directories)
        self._flush()
        os.close(self._fd)
        os.rename(self.temporary, self._path)

    def finish_as_is(self) -> None:
        """Give the file its name with the table of the last checkpoint; nothing was added since."""
        os.close(self._fd)
        os.rename(self.temporary, self._path)

    def discard(self) -> None:
        """Remove the file."""
        os.close(self._fd)
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

    def _append_table(self, directories: dict[bytes, CachedDirectory]) -> None:
        data = _encoder.encode(_Table(directories, self._damage, self._snapshot_name))
        offset = self._append(data)
        self._append(_TRAILER.pack(offset, len(data), blake3(data).digest(16), _TRAILER_MAGIC))

    def _flush(self) -> None:
        with _translated(self._path):
            durable_io.write_buffers(self._fd, self._buffer)
        self._buffer, self._buffered = [], 0


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateFullError(f"no space left for {path}", hint="free some space on that file system") from error
        raise
