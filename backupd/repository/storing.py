"""The worker that reads the source: read, cut, hash, ask, compress, seal (DESIGN 6).

Up to two pieces of work are asked for at once, so that reading goes on while the coordinator answers.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Iterable, Iterator

from backupd.chunk.cutter import Cutter
from backupd.chunk.identity import ZERO_SALT, Identity
from backupd.chunk.size_class import SAMPLE_BYTES, WHOLE_FILE_BYTES, choose_class, class_of_average
from backupd.model import work
from backupd.model.work import FileOrder, FileResult, FilesTask, RegionTask, StoreSetup, StreamTask
from backupd.repository.asked import Asked, NewChunk
from backupd.repository.packing import OpenSegments, SegmentPacker
from backupd.repository.ring import RingAllocator
from backupd.repository.sampling import Sampler
from backupd.repository.stream_reading import StreamReader
from backupd.source import metadata, reader
from backupd.source.chain import DirectoryChain, held
from backupd.source.extents import ExtentMap, map_extents, may_be_sparse
from backupd.source.signature import signature
from backupd.source.user_rights import OWN_RIGHTS, SourceRights
from backupd.tree import entry as entries
from backupd.tree.entry import Chunks, Content, Entry, Extra, Kind, Stored
from backupd.tree.lists import INLINE_CHUNKS
from backupd.wire.channel import Channel

STEP_BYTES = 8 << 20
TOO_LARGE_BYTES = 16 << 20
_UNDER_WAY = 2


class StoreWorker:
    """Reads what it is told to, seals what is lacking."""

    def __init__(
        self, channel: Channel[work.ToWorker], setup: StoreSetup, memory: mmap.mmap, rights: SourceRights = OWN_RIGHTS
    ) -> None:
        """rights: with which files are read."""
        self._channel, self._setup = channel, setup
        self._identity = Identity(setup.repository.chunk_id_key)
        self._rights = rights
        self._chain = DirectoryChain(held(setup.grafts, rights))
        self._ring = RingAllocator(setup.ring_offset, setup.ring_bytes)
        self._segments = OpenSegments(
            lambda mask: SegmentPacker(
                setup.repository, setup.compression, setup.is_checked, memory, self._allocate, self._ring.free, mask
            )
        )
        self._chosen_class = class_of_average(setup.average_bytes) if setup.average_bytes else None
        self._sampler = Sampler()
        self._tasks: deque[FilesTask | RegionTask | StreamTask] = deque()
        self._asked: deque[Asked] = deque()
        self._answers: dict[tuple[int, int], bytes] = {}
        self._region_rights = OWN_RIGHTS
        self._region: Iterator[Asked | None] | None = None
        """None of it: its command has nothing yet, and there is a message to take in meanwhile."""
        self._is_flushing = self._is_paused = False
        self._has_begun = False

    def run(self) -> None:
        """Work until the coordinator closes the channel."""
        while True:
            if self._asked and (self._asked[0].task, self._asked[0].step) in self._answers:
                self._finish(self._asked.popleft())
            elif self._has_work and not self._is_paused and len(self._asked) < _UNDER_WAY:
                asked = self._next()
                if asked is not None:
                    self._ask(asked)
                elif self._region is not None and not self._receive():
                    return
            elif self._is_flushing and not self._asked:
                self._send(self._segments.flush())
                self._channel.send(work.Flushed())
                self._is_flushing = False
            elif not self._receive():
                return

    @property
    def _has_work(self) -> bool:
        return self._region is not None or bool(self._tasks)

    def _receive(self) -> bool:
        message = self._channel.receive()
        match message:
            case None:
                return False
            case FilesTask() | RegionTask() | StreamTask():
                self._tasks.append(message)
            case work.Wanted():
                self._answers[message.task, message.step] = message.masks
            case work.Freed():
                for offset in message.offsets:
                    self._ring.free(offset)
            case work.Flush():
                self._is_flushing = self._is_paused = True
            case work.Resume():
                self._is_paused = False
        return True

    def _allocate(self, length: int) -> int:
        while (offset := self._ring.allocate(length)) is None:
            self._channel.send(work.Starved())
            if not self._receive():
                raise EOFError
        return offset

    def _send(self, segments: Iterable[work.Sealed]) -> None:
        for sealed in segments:
            self._channel.send(sealed)

    def _next(self) -> Asked | None:
        """Read the next piece of work; None where a region has no more steps, or a stream none yet."""
        if self._region is None:
            task = self._tasks.popleft()
            if task.is_alone:
                self._send(self._segments.flush())
            if task.is_alone or not self._has_begun:
                self._has_begun = True
                self._channel.send(work.Begun(task.task))
            if isinstance(task, FilesTask):
                return self._rights.do(self._read_files, task)
            # What a command writes comes through a directory of ours.
            self._region_rights = OWN_RIGHTS if isinstance(task, StreamTask) else self._rights
            if isinstance(task, StreamTask):
                self._region = StreamReader(task, self._channel, self._setup.chunker_seed, self._add).steps()
            else:
                self._region = self._read_region(task)
        try:
            return self._region_rights.do(next, self._region)
        except StopIteration:
            self._region = None
            return None

    def _ask(self, asked: Asked) -> None:
        self._asked.append(asked)
        if asked.chunks:
            ids = b"".join(chunk.id for chunk in asked.chunks)
            self._channel.send(work.Question(asked.task, asked.step, ids, [len(c.data) for c in asked.chunks]))
        else:
            self._answers[asked.task, asked.step] = b""

    def _finish(self, asked: Asked) -> None:
        masks = self._answers.pop((asked.task, asked.step))
        for mask, chunk in zip(masks, asked.chunks, strict=True):
            if mask:
                self._send(self._segments.add(mask, chunk.data, chunk.id, chunk.salt, chunk.is_compressible))
        if asked.is_alone:
            self._send(self._segments.flush())
        self._channel.send(asked.done)
        if asked.last is not None:
            self._channel.send(asked.last)

    # Small files

    def _read_files(self, task: FilesTask) -> Asked:
        chunks: list[NewChunk] = []
        results: list[FileResult] = []
        for order in task.files:
            try:
                directory_fd = self._chain.open(task.directories[order.directory])
            except OSError as error:
                results.append(_problem(order.number, error))
            else:
                results.append(self._read_file(directory_fd, order, chunks))
        return Asked(task.task, 0, chunks, work.FilesDone(task.task, results), None, task.is_alone)

    def _read_file(self, directory_fd: int, order: FileOrder, chunks: list[NewChunk]) -> FileResult:
        try:
            fd, before = reader.open_file(directory_fd, order.name)
        except OSError as error:
            return _problem(order.number, error)
        try:
            if before.st_size > TOO_LARGE_BYTES:
                return FileResult(order.number, b"", 0, b"", problem_kind="grown")
            for is_second in (False, True):
                extents = map_extents(fd, before.st_size) if may_be_sparse(before) else b""
                content_bytes = ExtentMap(extents, before.st_size).content_bytes if extents else before.st_size
                content = reader.read_whole(fd, extents, before.st_size)
                after = os.fstat(fd)
                if not reader.is_changed(before, after) and len(content) == content_bytes:
                    return self._result(order, fd, before, content, extents, chunks, is_changed=False)
                if is_second:
                    break
                before = after
            if len(content) < content_bytes:
                extents = b""
            return self._result(order, fd, after, content, extents, chunks, is_changed=True)
        except OSError as error:
            return _problem(order.number, error)
        finally:
            os.close(fd)

    def _result(
        self,
        order: FileOrder,
        fd: int,
        stat: os.stat_result,
        content: bytes,
        extents: bytes,
        chunks: list[NewChunk],
        *,
        is_changed: bool,
    ) -> FileResult:
        size_class, is_compressible = 0, True
        if len(content) <= WHOLE_FILE_BYTES:
            parts: list[bytes | memoryview] = [content] if content else []
        else:
            is_compressible = self._sampler.is_compressible(
                len(content), lambda at: content[at : at + SAMPLE_BYTES]
            )
            size_class = choose_class(
                stat.st_size, not is_compressible, order.size_class or None, self._chosen_class
            )
            parts = self._cut(content, size_class)
        ids = b"".join(self._add(part, order.salt, is_compressible, chunks) for part in parts)
        lengths = [len(part) for part in parts]
        attributes = metadata.read_attributes(fd, stat)
        extra = self._extra(order, attributes, extents, chunks, entries.CHANGED if is_changed else 0)
        size = stat.st_size if extents else len(content)
        is_long = len(lengths) > INLINE_CHUNKS
        inline: Content = None
        if lengths and not is_long:
            inline = ids if len(lengths) == 1 else Chunks(size_class, ids, lengths)
        entry = _make_entry(order.name, stat, size, inline, extra)
        return FileResult(
            order.number,
            entries.encode(entry),
            len(content),
            b"" if is_changed else signature(stat),
            ids if is_long else b"",
            lengths if is_long else [],
            size_class,
            problem=reader.CHANGED_TEXT if is_changed else "",
            problem_kind="changed" if is_changed else "",
            losses=attributes.problems,
        )

    def _cut(self, content: bytes, size_class: int) -> list[bytes | memoryview]:
        view = memoryview(content)
        parts: list[bytes | memoryview] = []
        at = 0
        for length in Cutter(1 << size_class, self._setup.chunker_seed).cut(view, True):
            parts.append(view[at : at + length])
            at += length
        return parts

    def _add(self, data: bytes | memoryview, salt: bytes, is_compressible: bool, chunks: list[NewChunk]) -> bytes:
        chunk_id = self._identity.chunk_id(data, salt)
        chunks.append(NewChunk(data, chunk_id, salt, is_compressible))
        return chunk_id

    def _extra(
        self, order: FileOrder, found: metadata.Attributes, extents: bytes, chunks: list[NewChunk], state: int
    ) -> Extra | None:
        def stored(value: bytes) -> bytes | Stored:
            if len(value) <= entries.INLINE_VALUE_LIMIT:
                return value
            return Stored(self._add(value, ZERO_SALT, True, chunks), len(value))

        salt = order.salt if order.keeps_salt else None
        if not (order.hard_link or found.xattrs or found.birth_ns or found.flags or salt or extents or state):
            return None
        return Extra(
            order.hard_link,
            [(name, stored(value)) for name, value in found.xattrs] or None,
            found.birth_ns,
            found.flags,
            salt,
            stored(extents) if extents else None,
            state,
        )

    # Large files

    def _read_region(self, task: RegionTask) -> Iterator[Asked]:
        """Read a region step by step; the entry with its attributes comes with the last one."""
        try:
            directory_fd = self._chain.open(task.directory)
            fd, before = reader.open_file(directory_fd, task.file.name)
        except OSError as error:
            yield _region_end(task, 0, [], _problem(task.file.number, error))
            return
        try:
            if (before.st_dev, before.st_ino) != (task.file.device, task.file.inode):
                raise reader.ChangedTypeError("was replaced while the backup ran")
            yield from self._read_steps(task, fd, before)
        except OSError as error:
            yield _region_end(task, -1, [], _problem(task.file.number, error))
        finally:
            os.close(fd)

    def _read_steps(self, task: RegionTask, fd: int, before: os.stat_result) -> Iterator[Asked]:
        extents = ExtentMap(task.extents, task.file.size)
        cutter = Cutter(task.average_bytes, self._setup.chunker_seed)
        at, step, rest = task.start, 0, b""
        while True:
            read = reader.read_content(fd, extents, at, min(at + STEP_BYTES, task.end))
            at += len(read)
            is_last = at >= task.end or not read
            view = memoryview(rest + read if rest else read)
            chunks: list[NewChunk] = []
            ids, lengths, done = bytearray(), cutter.cut(view, is_last), 0
            for length in lengths:
                part = view[done : done + length]
                ids += self._add(part, task.file.salt, task.is_compressible, chunks)
                done += length
            rest = bytes(view[done:])
            if is_last:
                yield self._last_step(task, fd, before, step, chunks, bytes(ids), lengths, at < task.end)
                return
            yield Asked(task.task, step, chunks, work.RegionStep(task.task, step, bytes(ids), lengths))
            step += 1

    def _last_step(
        self,
        task: RegionTask,
        fd: int,
        before: os.stat_result,
        step: int,
        chunks: list[NewChunk],
        ids: bytes,
        lengths: list[int],
        is_short: bool,
    ) -> Asked:
        after = os.fstat(fd)
        attributes = metadata.read_attributes(fd, after)
        extra = self._extra(task.file, attributes, task.extents, chunks, 0)
        entry = _make_entry(task.file.name, after, task.file.size, None, extra)
        is_changed = reader.is_changed(before, after) or after.st_size != task.file.size or is_short
        result = FileResult(
            task.file.number,
            entries.encode(entry),
            task.end - task.start,
            b"" if is_changed else signature(after),
            problem=reader.CHANGED_TEXT if is_changed else "",
            problem_kind="changed" if is_changed else "",
            losses=attributes.problems,
        )
        done = work.RegionStep(task.task, step, ids, lengths)
        return Asked(task.task, step, chunks, done, work.RegionDone(task.task, result), task.is_alone)


def _make_entry(name: bytes, stat: os.stat_result, size: int, content: Content, extra: Extra | None) -> Entry:
    return Entry(
        name,
        Kind.FILE,
        stat.st_mode & 0o7777,
        stat.st_uid,
        stat.st_gid,
        metadata.kept_mtime_ns(stat),
        size,
        content,
        extra,
    )


def _problem(number: int, error: OSError) -> FileResult:
    kind, text = reader.describe(error)
    return FileResult(number, b"", 0, b"", problem=text, problem_kind=kind)


def _region_end(task: RegionTask, step: int, chunks: list[NewChunk], result: FileResult) -> Asked:
    return Asked(task.task, step, chunks, work.RegionStep(task.task, step, b"", []), work.RegionDone(task.task, result))
