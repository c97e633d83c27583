"""A command's output on its way through a worker: read from a FIFO step by step, its end not known before."""

from __future__ import annotations

import errno
import os
import select
import stat as modes
from collections.abc import Callable, Iterator

from backupd.block.segment import ZERO_SALT
from backupd.chunk.cutter import Cutter
from backupd.chunk.size_class import SAMPLE_BYTES
from backupd.model import work
from backupd.model.streams import GIVEN_UP
from backupd.model.work import FileResult, StreamTask
from backupd.repository.asked import Asked, NewChunk
from backupd.repository.sampling import Sampler
from backupd.source import reader
from backupd.source.extents import pack_extents
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Extra, Kind, Stored
from backupd.wire.channel import Channel

STEP_BYTES = 8 << 20
_LOOK_SECONDS = 1.0
"""How often it is looked for whether the stream was given up."""
READ_BYTES = 1 << 20
ZERO_BYTES = 64 << 10
"""Aligned stretches of so many zeros become holes."""
_MOST_EXTENTS = 65_536
"""Of a file in a snapshot; after so many, zeros are stored like other bytes."""
_ZEROS = bytes(ZERO_BYTES)

Add = Callable[[bytes | memoryview, bytes, bool, list[NewChunk]], bytes]
"""Names a chunk, adds it to those that are asked for, gives its id."""


class StreamReader:
    """Reads one stream."""

    def __init__(self, task: StreamTask, channel: Channel[work.ToWorker], seed: int, add: Add) -> None:
        self._task, self._channel, self._add = task, channel, add
        self._given_up = task.fifo + os.fsencode(GIVEN_UP)
        self._polled = select.poll()
        self._polled.register(channel.socket, select.POLLIN)
        self._cutter = Cutter(task.average_bytes, seed)
        self._is_compressible: bool | None = None
        self._size = 0
        self._extents: list[tuple[int, int]] = []

    def steps(self) -> Iterator[Asked | None]:
        """Its steps; None each time that the worker has a message to take in before it goes on."""
        task = self._task
        try:
            fd = os.open(task.fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.unlink(task.fifo)
        except OSError as error:
            kind, text = reader.describe(error)
            yield self._end(0, [], FileResult(task.file.number, b"", 0, b"", problem=text, problem_kind=kind))
            return
        try:
            if not modes.S_ISFIFO(os.fstat(fd).st_mode):
                raise reader.ChangedTypeError(reader.BECAME_ANOTHER)
            yield from self._read(fd)
        except OSError as error:
            kind, text = reader.describe(error)
            yield self._end(-1, [], FileResult(task.file.number, b"", 0, b"", problem=text, problem_kind=kind))
        finally:
            os.close(fd)

    def _read(self, fd: int) -> Iterator[Asked | None]:
        task, step, rest, is_last, stretch = self._task, 0, b"", False, bytearray()
        most = ZERO_BYTES if task.drops_zeros else READ_BYTES
        while not is_last:
            content = bytearray()
            while len(content) < STEP_BYTES and not is_last:
                while self._has_message():
                    yield None
                if os.path.lexists(self._given_up):
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
                try:
                    # First, for to poll() a FIFO whose writers had gone before it was opened never ends.
                    part = os.read(fd, most - len(stretch))
                except BlockingIOError:
                    self._wait(fd)
                    continue
                is_last = not part
                stretch += part
                if is_last or len(stretch) == most or not task.drops_zeros:
                    content += self._without_holes(bytes(stretch))
                    stretch.clear()
            if self._is_compressible is None:
                self._is_compressible = _shrinks(bytes(content))
            # Immutable: what is asked for keeps views of it.
            view = memoryview(bytes(rest + content))
            chunks: list[NewChunk] = []
            ids, lengths, done = bytearray(), self._cutter.cut(view, is_last), 0
            for length in lengths:
                ids += self._add(view[done : done + length], task.file.salt, self._is_compressible, chunks)
                done += length
            rest = bytes(view[done:])
            if is_last:
                result = FileResult(task.file.number, self._entry(chunks), self._size, b"")
                yield self._end(step, chunks, result, bytes(ids), lengths)
            else:
                yield Asked(task.task, step, chunks, work.RegionStep(task.task, step, bytes(ids), lengths))
            step += 1

    def _has_message(self) -> bool:
        """Whether the coordinator has something to say."""
        return self._channel.has_begun or bool(self._polled.poll(0))

    def _wait(self, fd: int) -> None:
        """Until the command writes or ends, or the coordinator has something to say."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._channel.socket, select.POLLIN)
        poll.poll(_LOOK_SECONDS * 1000)

    def _without_holes(self, part: bytes) -> bytes:
        at, self._size = self._size, self._size + len(part)
        if not self._task.drops_zeros or not part:
            return part
        if part == _ZEROS and len(self._extents) < _MOST_EXTENTS:
            return b""
        if self._extents and sum(self._extents[-1]) == at:
            self._extents[-1] = (self._extents[-1][0], self._extents[-1][1] + len(part))
        else:
            self._extents.append((at, len(part)))
        return part

    def _entry(self, chunks: list[NewChunk]) -> bytes:
        """All that is known here of the file's entry: its size, holes and salt."""
        order = self._task.file
        extents: bytes | Stored = b""
        if self._task.drops_zeros and self._extents != [(0, self._size)] and self._size:
            packed = extents = pack_extents(self._extents)
            if len(packed) > entries.INLINE_VALUE_LIMIT:
                extents = Stored(self._add(packed, ZERO_SALT, True, chunks), len(packed))
        salt = order.salt if order.keeps_salt else None
        extra = Extra(salt=salt, extents=extents or None) if salt or extents else None
        return entries.encode(Entry(order.name, Kind.FILE, 0o600, 0, 0, 0, self._size, None, extra))

    def _end(
        self, step: int, chunks: list[NewChunk], result: FileResult, ids: bytes = b"", lengths: list[int] | None = None
    ) -> Asked:
        number = self._task.task
        done = work.RegionStep(number, step, ids, lengths or [])
        return Asked(number, step, chunks, done, work.RegionDone(number, result), self._task.is_alone)


def _shrinks(content: bytes) -> bool:
    return not content or Sampler().is_compressible(len(content), lambda at: content[at : at + SAMPLE_BYTES])
