"""One job process of the daemon: started, spoken to, ended (DESIGN 1)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from backupd.errors import BackupError, StoppedError
from backupd.model.any_order import AnyOrder, ToJob
from backupd.model.events import FromJob
from backupd.wire.channel import MAX_MESSAGE_BYTES
from backupd.wire.malformed import MALFORMED

_LENGTH = struct.Struct("<I")
_GRACE_SECONDS = 10.0
_COMMAND = (sys.executable, "-P", "-m", "backupd.job")
_STDERR_BYTES = 64 << 10
_GOES_ON = "what was stored stays, and the next run goes on"

_decoder: msgspec.msgpack.Decoder[FromJob] = msgspec.msgpack.Decoder(FromJob)
_encoder = msgspec.msgpack.Encoder()


class Ending(NamedTuple):
    """How a job process ended."""

    code: int
    """Exit code; negative: number of the signal that killed it."""
    last_line: str
    """Of its standard error, may be empty."""

    def error(self) -> BackupError:
        """For a job that ended without a last word."""
        said = f"; it said: {self.last_line}" if self.last_line else ""
        if self.code >= 0:
            hint = f"{_GOES_ON}; please report it, with backupd's own log"
            return BackupError(f"the job process ended with exit {self.code} before it was done{said}", hint=hint)
        name = signal.Signals(-self.code).name
        if self.code == -signal.SIGKILL:
            return StoppedError(
                "the job process was killed before it was done, perhaps because memory ran out",
                hint=f"{_GOES_ON}; if memory ran out, set jobs: 1",
            )
        return StoppedError(f"the job process was killed by {name} before it was done{said}", hint=_GOES_ON)


class ChildJob:
    """A running job process. Not for several readers."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._errors = asyncio.create_task(self._read_errors())

    @classmethod
    async def start(
        cls, order: AnyOrder, environment: Mapping[str, str], descriptors: Sequence[int] = ()
    ) -> ChildJob:
        """Start a process and give it its order. descriptors: what it inherits besides. Raises BackupError."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                str(theirs.fileno()),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env=dict(environment),
                pass_fds=[theirs.fileno(), *descriptors],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise BackupError(f"the job process can't be started: {error.strerror}") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, reader, writer)
        await child.send(order)
        return child

    async def send(self, message: ToJob) -> None:
        """Send one message; a job that is gone is noticed by its reader."""
        body = _encoder.encode(message)
        with suppress(ConnectionError):
            self._writer.write(_LENGTH.pack(len(body)) + body)
            await self._writer.drain()

    async def events(self) -> AsyncIterator[FromJob]:
        """What the job says, to its end."""
        while True:
            try:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(4))
                if length > MAX_MESSAGE_BYTES:
                    return
                yield _decoder.decode(await self._reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError, *MALFORMED):
                return

    async def end(self) -> Ending:
        """Wait for the end of the process, killing it after some seconds; gives how it ended."""
        self._writer.close()
        try:
            code = await asyncio.wait_for(self._process.wait(), _GRACE_SECONDS)
        except TimeoutError:
            self.kill()
            code = await self._process.wait()
        errors = (await self._errors).strip()
        return Ending(code, errors.splitlines()[-1] if errors else "")

    def kill(self) -> None:
        """End the job and its workers at once; what they stored stays."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _read_errors(self) -> str:
        """The last of what the process wrote to its standard error; a full pipe would stop it."""
        kept = b""
        stream = self._process.stderr
        while stream is not None and (part := await stream.read(4096)):
            kept = (kept + part)[-_STDERR_BYTES:]
        return kept.decode(errors="backslashreplace")
