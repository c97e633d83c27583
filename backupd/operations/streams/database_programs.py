"""The programs of a database's server, run with a stream's connection: asked, or fed with a dump."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from backupd.errors import BackupError
from backupd.model.streams import StreamOrder
from backupd.operations.context import JobContext
from backupd.operations.streams.commands import Making, give_password
from backupd.operations.streams.process import StreamProcess
from backupd.store_errors import DatabaseInUseError, StreamError

_MOST_ANSWER = 1 << 20
_READ_BYTES = 64 << 10
T = TypeVar("T")


class DatabasePrograms:
    """The programs of one server, with the stream's connection."""

    def __init__(self, order: StreamOrder, context: JobContext, folder: str) -> None:
        self.order, self.context, self._folder = order, context, folder

    def answer(self, programs: list[str], words: list[str], text: str) -> str:
        """What a program says to a text on its standard input. Raises StreamError."""
        found: list[bytes] = []

        def read(fd: int) -> None:
            with os.fdopen(fd, "rb") as file:
                found.append(file.read(_MOST_ANSWER + 1))
                while file.read(_MOST_ANSWER):
                    pass

        read_fd, write_fd = os.pipe()
        reader = threading.Thread(target=read, args=(read_fd,), daemon=True)
        reader.start()
        try:
            self._run(programs, words, iter([text.encode()]), write_fd)
        finally:
            os.close(write_fd)
            reader.join()
        if len(found[0]) > _MOST_ANSWER:
            raise StreamError(f"{self.order.text.name}: {programs[0]} answers with more than {_MOST_ANSWER} bytes")
        return found[0].decode(errors="replace").strip()

    def feed(self, programs: list[str], words: list[str], pieces: Iterator[bytes]) -> None:
        """Give a program bytes on its standard input. Raises StreamError."""
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            self._run(programs, words, pieces, null)
        finally:
            os.close(null)

    def beginning(self, programs: list[str], words: list[str], read: Callable[[Iterator[bytes]], T]) -> T:
        """What `read` makes of the beginning of a program's output; the rest isn't waited for. Raises StreamError."""
        # That it was ended before its time, it tells as a failure.
        process = self._process(programs, words, is_told=False)
        read_fd, write_fd = os.pipe()
        try:
            with os.fdopen(read_fd, "rb", buffering=0) as file:
                try:
                    process.start(stdout=write_fd)
                finally:
                    os.close(write_fd)
                has_ended = False

                def pieces() -> Iterator[bytes]:
                    nonlocal has_ended
                    while piece := file.read(_READ_BYTES):
                        yield piece
                    has_ended = True

                try:
                    return read(pieces())
                except StreamError:
                    # Who writes on, where nobody reads, would never end.
                    if has_ended:
                        process.wait()
                        if process.failure is not None:
                            raise self._failed(process, "may the stream's login read it there?") from None
                    raise
        finally:
            process.close()

    def _process(self, programs: list[str], words: list[str], *, is_told: bool = True) -> StreamProcess:
        making = Making(self.order, self._folder, self.context.environ.get("PATH", ""))
        command = give_password(making, making.command(programs, words))
        return StreamProcess(self.order.text, self.order.timeout_seconds, command, self.context, is_told=is_told)

    def _failed(self, process: StreamProcess, hint: str = "what it said is in the job's log") -> StreamError:
        return StreamError(f"{self.order.text.name}: {process.failure}", hint=hint)

    def _run(self, programs: list[str], words: list[str], pieces: Iterator[bytes], stdout: int) -> None:
        process = self._process(programs, words)
        read_fd, write_fd = os.pipe()
        try:
            process.start(stdin=read_fd, stdout=stdout, feeds=write_fd)
            os.close(read_fd)
            read_fd = -1
            with suppress(BrokenPipeError):
                for piece in pieces:
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(write_fd, view) :]
            process.end_input()
            os.close(write_fd)
            write_fd = -1
            process.wait()
            if process.failure is not None:
                raise self._failed(process)
        except BaseException:
            # Before its input ends: what is cut off there might be taken for a whole statement, and for all.
            process.close()
            raise
        finally:
            for fd in (read_fd, write_fd):
                if fd >= 0:
                    os.close(fd)


@contextmanager
def telling_what_is_left(context: JobContext, where: str, left: Callable[[], str]) -> Generator[None, None, None]:
    """While the block fills what can't be taken back: whatever ends it, it is told what is there then."""
    # For who finds a job that was killed, which can't say anything more.
    context.tell("information", f"until all is {where}, it holds a part of the dump")
    try:
        yield
    except BackupError as error:
        told = left()
        # Whatever ended it, and however that is told.
        context.warn(told)
        if isinstance(error, StreamError):
            raise StreamError(error.message, hint=told) from error
        raise


def in_use(what: str) -> DatabaseInUseError:
    """The refusal to fill what is not empty."""
    return DatabaseInUseError(what, hint="name one that is empty or not there yet, and compare; nothing was changed")


def names_of(answer: str) -> list[bytes]:
    """What an answer lists in hexadecimal digits, a name a line: names may hold anything. Raises StreamError."""
    try:
        return [bytes.fromhex(line) for line in answer.splitlines()]
    except ValueError as error:
        raise StreamError(f"the answer of the server makes no sense: {answer[:100]!r}") from error
