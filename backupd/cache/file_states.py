"""States of a job's files on disk: frames that a job process appends and the daemon reads in pages.

A frame is `<IIB` stored bytes, plain bytes and compression, then msgpack. Nothing relies on it: it is not fsynced, a
torn end is passed over and cut off by the next writer, and a disk that is full ends the keeping, not the run.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.errors import DamageError
from backupd.model.files import FileState, FileStateName
from backupd.seal.compression import Compressor, Decompressor
from backupd.state_errors import translated
from backupd.wire.malformed import MALFORMED

_HEAD = struct.Struct("<IIB")
_FRAME_FILES = 1000
_FRAME_BYTES = 1 << 20
"""A frame is written once it has so many files, or bytes of paths and reasons."""
_FRAME_MOST_BYTES = 16 << 20
_FILES_MOST = 1_000_000
"""Of one run; beyond it only failures are kept, as many again at most."""
_PAGE_FRAMES = 200
"""Looked through for one page at most, so that a rare state costs no second."""
_JOBS_MOST_BYTES = 1 << 30


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """States that were written together."""

    files: list[FileState]
    not_kept: int = 0
    """Of the run so far."""


class FileStatesPart(msgspec.Struct, frozen=True):
    """What one look at the file gave."""

    files: list[FileState]
    not_kept: int
    after: int
    """Where the next look goes on."""
    is_end: bool


class FileStatesWriter:
    """Keeps the states of one run; the coordinator's thread alone calls it."""

    def __init__(self, path: str, destination: str) -> None:
        """Go on at the end of the file, which is made where it is not there. Raises what `translated` gives."""
        self._path, self._destination = path, destination
        self._compressor = Compressor("fast")
        self._files: list[FileState] = []
        self._held_bytes = self._kept = self._failures = self._not_kept = 0
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            os.ftruncate(self._fd, _whole_bytes(self._fd))
        except OSError as error:
            raise translated(error, path) from error

    def add(self, path: bytes, state: FileStateName, reason: str = "", files: int = 1) -> None:
        """Keep a state. Raises what `translated` gives, now and then for states given before."""
        if self._kept >= _FILES_MOST:
            if state != "failed" or self._failures >= _FILES_MOST:
                self._not_kept += files
                return
            self._failures += 1
        self._kept += 1
        one = FileState(path=path, state=state, reason=reason, files=files, destination=self._destination)
        self._files.append(one)
        self._held_bytes += len(path) + len(reason)
        if len(self._files) >= _FRAME_FILES or self._held_bytes >= _FRAME_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held. Raises what `translated` gives."""
        if not self._files:
            return
        files, self._files, self._held_bytes = self._files, [], 0
        self._write(Frame(files, self._not_kept))

    def close(self) -> None:
        """Write the rest and close. Raises what `translated` gives."""
        try:
            self.flush()
            if self._not_kept:
                self._write(Frame([], self._not_kept))
        finally:
            os.close(self._fd)

    def _write(self, frame: Frame) -> None:
        plain = msgspec.msgpack.encode(frame)
        compression, body = self._compressor.compress(plain)
        try:
            durable_io.write_buffers(self._fd, [_HEAD.pack(len(body), len(plain), compression), body])
        except OSError as error:
            raise translated(error, self._path) from error


def read_file_states(path: str, after: int, wanted: Collection[FileStateName], most: int) -> FileStatesPart:
    """States from an offset on: whole frames until `most` files of the wanted states are found, or 200 frames.

    after: 0 or what an earlier look gave. A file that is not there has no states. Raises what `translated` gives.
    """
    decoder, decompressor = msgspec.msgpack.Decoder(Frame), Decompressor()
    files: list[FileState] = []
    not_kept, is_end = 0, False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return FileStatesPart([], 0, 0, True)
    except OSError as error:
        raise translated(error, path) from error
    try:
        after = min(after, os.fstat(fd).st_size)
        for _ in range(_PAGE_FRAMES):
            head = _head(fd, after)
            if head is None:
                is_end = True
                break
            if len(files) >= most:
                break
            length, plain_bytes, compression = head
            body = os.pread(fd, length, after + _HEAD.size)
            frame = decoder.decode(decompressor.decompress(compression, body, plain_bytes, "states of files"))
            files += [one for one in frame.files if one.state in wanted]
            not_kept = max(not_kept, frame.not_kept)
            after += _HEAD.size + length
    except (DamageError, *MALFORMED):
        # Not what a writer wrote: what follows can't be told apart from it.
        is_end = True
    finally:
        os.close(fd)
    return FileStatesPart(files, not_kept, after, is_end)


def forget_oldest(directory: str, most_bytes: int = _JOBS_MOST_BYTES) -> None:
    """Remove the states of the jobs longest ago until the rest takes no more than that."""
    found: list[tuple[int, int, str]] = []
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                found.append((stat.st_mtime_ns, stat.st_size, entry.path))
    held = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if held <= most_bytes:
            return
        held -= size
        with suppress(FileNotFoundError):
            os.unlink(path)


def _whole_bytes(fd: int) -> int:
    """Length of all whole frames: a writer that was killed may have left a part of one."""
    at = 0
    while (head := _head(fd, at)) is not None:
        at += _HEAD.size + head[0]
    return at


def _head(fd: int, at: int) -> tuple[int, int, int] | None:
    """(stored bytes, plain bytes, compression) of the frame at an offset; None: there is no whole one."""
    packed = os.pread(fd, _HEAD.size, at)
    if len(packed) < _HEAD.size:
        return None
    length, plain_bytes, compression = _HEAD.unpack(packed)
    if max(length, plain_bytes) > _FRAME_MOST_BYTES or at + _HEAD.size + length > os.fstat(fd).st_size:
        return None
    return length, plain_bytes, compression
