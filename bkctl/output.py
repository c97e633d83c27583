"""Standard output: the result as text, as one JSON document, or as JSON lines; or the same into a file.

A closed reader is no error of the command: it shows as ReaderGoneError, which ends in a quiet 141.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any, BinaryIO, Literal

import msgspec

from backupd.errors import BackupError, UsageError
from bkctl.text import escape

SCHEMA = "backupd/1"
Form = Literal["text", "json", "jsonl"]


class ReaderGoneError(Exception):
    """Whoever read our standard output has closed it."""


class OutputFile:
    """A file that appears whole: written beside its name, then renamed. A device or pipe is written as it is."""

    def __init__(self, path: str, *, is_secret: bool) -> None:
        self._path = os.path.realpath(path)
        self._is_direct = _is_special(self._path)
        directory, name = os.path.split(self._path)
        self._written = self._path if self._is_direct else os.path.join(directory, f".{name}.{os.getpid()}.part")
        flags = os.O_WRONLY | os.O_CLOEXEC | (0 if self._is_direct else os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
        try:
            fd = os.open(self._written, flags, 0o600 if is_secret else 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error
        self.stream: BinaryIO = open(fd, "wb")  # noqa: SIM115 - closed by commit or abandon

    def commit(self) -> None:
        """Bring the bytes to the disk and give the file its name."""
        try:
            self.stream.flush()
            if not self._is_direct:
                os.fsync(self.stream.fileno())
            self.stream.close()
            if not self._is_direct:
                os.rename(self._written, self._path)
        except OSError as error:
            self.abandon()
            raise _unwritable(self._path, error) from error

    def abandon(self) -> None:
        """Leave what was under that name before."""
        self.stream.close()
        if not self._is_direct and os.path.lexists(self._written):
            os.unlink(self._written)


class ResultWriter:
    """Where a command's result goes, in the form that was asked for."""

    def __init__(self, form: Form, path: str | None = None, *, is_secret: bool = False) -> None:
        self.form = form
        self._file = OutputFile(path, is_secret=is_secret) if path else None
        self._stream: BinaryIO = self._file.stream if self._file else open(1, "wb", closefd=False)  # noqa: SIM115
        self._items: list[msgspec.Raw] = []

    def data(self, data: bytes) -> None:
        """Bytes as they are."""
        self._write(data)

    def lines(self, lines: Iterable[str]) -> None:
        """Text for people."""
        for line in lines:
            self._write(escape(line).encode(errors="backslashreplace") + b"\n")

    def item(self, item: dict[str, Any], line: str) -> None:
        """One item of a long listing: a line at once, or kept for the document."""
        if self.form == "text":
            self.lines([line])
        elif self.form == "jsonl":
            self._write(encode(item) + b"\n")
        else:
            self._items.append(msgspec.Raw(encode(item)))

    def event(self, event: dict[str, Any]) -> None:
        """One event as a JSON line; other forms don't show events here."""
        if self.form == "jsonl":
            self._write(encode(event) + b"\n")

    def document(self, document: dict[str, Any], items_name: str = "") -> None:
        """The document that ends JSON output, with the items kept so far under `result`."""
        if items_name and self.form == "json" and document["result"] is not None:
            document["result"] = {**document["result"], items_name: self._items, "next": None}
        body = encode(document)
        if self.form == "json" and not self._file and os.isatty(1):
            body = msgspec.json.format(body, indent=2)
        self._write(body + b"\n")

    def flush(self) -> None:
        """Hand over what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            raise _lost(error) from error

    def close(self, *, is_good: bool) -> None:
        """End the output; a file gets its name only if `is_good`."""
        if self._file is None:
            self.flush()
        elif is_good:
            self._file.commit()
        else:
            self._file.abandon()

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise _lost(error) from error


def encode(value: object) -> bytes:
    """JSON; text that came from file names of another encoding is escaped first."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(value))


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return escape(value) if any("\ud800" <= c <= "\udfff" for c in value) else value
    if isinstance(value, dict):
        return {_encodable(key): _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_encodable(entry) for entry in value]
    return value


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _lost(error: OSError) -> ReaderGoneError | BackupError:
    if isinstance(error, BrokenPipeError):
        return ReaderGoneError()
    return BackupError(f"the result can't be written: {error.strerror}", hint="is the file system of the output full?")


def _unwritable(path: str, error: OSError) -> UsageError:
    return UsageError(
        f"--output {escape(path)} can't be written: {error.strerror}",
        hint="name a file in a directory you may write to",
    )
