"""Streams of a run: each command's output as one file of the tree, one after the other (docs/decisions/0043)."""

from __future__ import annotations

import os
import shutil
import stat as modes
import tempfile
from array import array
from collections import deque
from contextlib import suppress

import msgspec

from backupd.chunk.size_class import average_bytes, choose_class
from backupd.model.streams import STREAMS_PATH, StreamOrder
from backupd.model.work import FileResult, StreamTask
from backupd.operations.backup.building import Target
from backupd.operations.backup.large_file import LargeReader
from backupd.operations.context import JobContext
from backupd.operations.streams.commands import dump_command
from backupd.operations.streams.doubts import doubts_of
from backupd.operations.streams.fifo import Fifo
from backupd.operations.streams.process import StreamProcess
from backupd.repository.engine import StoreEngine
from backupd.settings.directories import ensure
from backupd.source.scanner import Seen
from backupd.store_errors import StreamError
from backupd.tree import entry as entries
from backupd.tree.entry import Chunks, ChunkTree
from backupd.tree.lists import make_content

_FIRST_BYTES = 1 << 30
_LEAST_BYTES = 256 << 20
"""What a stream is taken for of which no version is known, and at least, where chunks are chosen by the size: another
class of chunks would find none of those of the last version."""


def none_stored(failed: list[str], set_name: str | None) -> StreamError:
    """What a run ends with of whose streams none could be stored, and that has nothing else."""
    more = f", and {len(failed) - 1} more" * bool(failed[1:])
    return StreamError(
        f"no stream could be stored: {failed[0]}{more}",
        hint=f"what earlier snapshots hold stays; bkctl job log {set_name}@latest has all that was said",
    )


def faults_of(orders: list[StreamOrder], context: JobContext) -> dict[bytes, str]:
    """Why commands can't be started, by the streams' names, as far as that is known before they are."""
    faults = {}
    for order in orders:
        try:
            dump_command(order, context.directories.temporary, context.environ.get("PATH", "")).close()
        except StreamError as error:
            faults[os.fsencode(order.text.name)] = reason_of(error)
    return faults


def reason_of(error: StreamError) -> str:
    """As a problem of the stream."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def seen_streams(names: list[bytes], now_ns: int) -> list[Seen]:
    """What a walk finds in the directory of streams; names: in byte order."""
    return [Seen(name, stat_of(modes.S_IFREG | 0o600, 0, now_ns)) for name in names]


def stat_of(mode: int, size: int, now_ns: int) -> os.stat_result:
    """As if a file had just been written."""
    seconds = now_ns // 1_000_000_000
    fields = (mode, 0, 0, 1, os.geteuid(), os.getegid(), size, seconds, seconds, seconds)
    times = {"st_atime_ns": now_ns, "st_mtime_ns": now_ns, "st_ctime_ns": now_ns, "st_rdev": 0, "st_blocks": 0}
    return os.stat_result(fields, times)


class StreamFiles:
    """Has the streams of a run read, one at a time."""

    def __init__(
        self,
        orders: list[StreamOrder],
        context: JobContext,
        engine: StoreEngine,
        reading: LargeReader,
        chosen_class: int | None,
    ) -> None:
        self._orders = {os.fsencode(order.text.name): order for order in orders}
        self.context, self.reading, self.chosen_class = context, reading, chosen_class
        self._engine = engine
        self._waiting: deque[_Stream] = deque()
        self._running: _Stream | None = None
        self._directory: str | None = None
        self.stored = 0
        """Of them, so far."""
        self.failed: list[str] = []
        """What became of the others."""

    @property
    def directory(self) -> str:
        """Of their FIFOs, and of what commands put aside."""
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix="streams-", dir=ensure(self.context.directories.temporary))
        return self._directory

    def read(self, target: Target) -> None:
        """Have a stream read; its entry comes to its slice later."""
        target.piece.pending += 1
        self._waiting.append(_Stream(self, self._orders[target.seen.name], target))
        self._go_on()

    def submit(self, task: StreamTask, stream: _Stream) -> None:
        """Give it to a worker."""
        self._engine.submit(task, stream)

    def ended(self, failure: str | None, stream: _Stream) -> None:
        """One is stored, or has failed."""
        if failure is None:
            self.stored += 1
        else:
            self.failed.append(failure)
        if self._running is stream:
            self._running = None
        self._go_on()

    def close(self) -> None:
        """End what runs."""
        self._waiting.clear()
        if self._running is not None:
            self._running.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _go_on(self) -> None:
        # A run that is stopped waits for no further stream: its snapshot is a partial one.
        while self._running is None and self._waiting and not self.context.cancel.is_requested:
            self._running = self._waiting.popleft()
            self._running.begin()


class _Stream:
    """One of them; takes its chunks in order."""

    def __init__(self, files: StreamFiles, order: StreamOrder, target: Target) -> None:
        self._files, self._order, self._target = files, order, target
        self._is_second = False
        self._process: StreamProcess | None = None
        self._fifo: Fifo | None = None
        self._ids, self._lengths = bytearray(), array("I")

    def begin(self) -> None:
        """Start its command and have a worker read what it writes."""
        files, order = self._files, self._order
        self._ids, self._lengths = bytearray(), array("I")
        self._began_ns = files.context.clock.now_ns()
        number = 1 + self._is_second
        for doubt in doubts_of(order) if not self._is_second else ():
            files.context.warn(f"{order.text.name}: {doubt}")
        try:
            command = dump_command(order, files.directory, files.context.environ.get("PATH", ""))
            found = command.identity
            self._uid, self._gid = (found.uid, found.gid) if found is not None else (os.geteuid(), os.getegid())
            self._fifo = fifo = Fifo(os.path.join(files.directory, f"{order.text.name}.{number}"))
            self._process = StreamProcess(order.text, order.timeout_seconds, command, files.context, fifo)
            if fifo.write_fd is None:
                raise AssertionError("a new FIFO can be written to")
            self._process.start(stdout=fifo.write_fd)
        except StreamError as error:
            self._fail(reason_of(error))
            return
        except OSError as error:
            self._fail(f"no way for its output: {error.strerror}")
            return
        files.submit(self._task(fifo), self)

    def _task(self, fifo: Fifo) -> StreamTask:
        reading, target = self._files.reading, self._target
        row = target.row
        known = entries.decode(row.known) if row is not None and row.known else None
        content = known.content if known is not None else None
        former = content.size_class if isinstance(content, Chunks | ChunkTree) else None
        size = max(known.size, _LEAST_BYTES) if known is not None else _FIRST_BYTES
        self._size_class = choose_class(size, False, former, self._files.chosen_class)
        return StreamTask(
            0,
            STREAMS_PATH,
            reading.order_of(target),
            os.fsencode(fifo.path),
            average_bytes(self._size_class),
            self._order.text.kind == "device",
        )

    def files_done(self, results: list[FileResult]) -> None:
        """A stream is no batch."""

    def region_step(self, ids: bytes, lengths: list[int]) -> None:
        """The next chunks."""
        self._ids += ids
        self._lengths.extend(lengths)
        self._files.reading.tally.read_bytes += sum(lengths)

    def region_done(self, result: FileResult) -> None:
        """Its output is at its end: what the command ended with says what that is worth."""
        process = self._process
        if process is None:
            raise AssertionError("nothing was started, and read")
        if not result.entry:
            process.end(f"what it writes can't be read: {result.problem}")
        failure = process.failure
        if failure is None and not result.read_bytes:
            failure = "its command wrote nothing"
        self.close()
        if not result.entry and result.problem_kind == "vanished" and not self._is_second:
            # Its reader died with what it had read; a command can begin anew.
            self._is_second = True
            self.begin()
        elif failure is not None:
            self._fail(failure)
        else:
            self._store(result)

    def close(self) -> None:
        """End the command where it still runs."""
        if self._process is not None:
            self._process.close()
        if self._fifo is not None:
            self._fifo.close()

    def _store(self, result: FileResult) -> None:
        reading, entry = self._files.reading, entries.decode(result.entry)
        content = make_content(self._size_class, bytes(self._ids), self._lengths, reading.store_node)
        encoded = entries.encode(
            msgspec.structs.replace(entry, content=content, uid=self._uid, gid=self._gid, mtime_ns=self._began_ns)
        )
        reading.tally.uids.add(self._uid)
        reading.tally.gids.add(self._gid)
        reading.tally.seen_bytes += entry.size
        self._target.build.byte_count += entry.size
        self._settle(result, encoded, entry.size)
        self._files.ended(None, self)

    def _fail(self, failure: str) -> None:
        with suppress(StreamError):
            self.close()
        self._settle(FileResult(0, b"", 0, b"", problem=failure, problem_kind="unreadable"), b"", 0)
        self._files.ended(f"{self._order.text.name}: {failure}", self)

    def _settle(self, result: FileResult, encoded: bytes, size: int) -> None:
        stat = stat_of(modes.S_IFREG | 0o600, size, self._began_ns)
        target = msgspec.structs.replace(self._target, seen=Seen(self._target.seen.name, stat))
        # Never trusted: the next run reads it, whatever it looks like.
        self._files.reading.settle(target, msgspec.structs.replace(result, signature=b""), encoded)
