"""What a process does to a few directories, call by call, so that the state at any moment of it can be made again.

`record` runs a function in a child of this process and writes down each call that changes something below the watched
directories: every one of them is a crash point. `disk_states` makes directories as a crash at such a point leaves
them. Only calls of the standard library are listened to; the program under test is what it always is. That nothing
was missed shows when the calls, done again, give just what lies on the disk: `disk_states.check_complete`.
"""

from __future__ import annotations

import builtins
import io
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

DEFECT = 255
"""How a listened function ends that raised something."""
_CREATES = os.O_CREAT | os.O_TRUNC
Call = Callable[..., Any]


class Step(NamedTuple):
    """One call that changed something; `other` is the second name of link and rename, both paths are absolute."""

    kind: str
    """create, write, truncate, mkdir, rmdir, link, rename, unlink, sync, sync_directory."""
    path: str
    other: str = ""
    offset: int = 0
    """Of a write; the length of a truncate; the mode of create and mkdir."""
    data: bytes = b""


class Trace(NamedTuple):
    """All steps in the order in which they were done, and how the function ended."""

    roots: tuple[str, ...]
    steps: Sequence[Step]
    exit_code: int

    @property
    def syncs(self) -> int:
        """How many steps only bring to the disk what others did."""
        return sum(step.kind.startswith("sync") for step in self.steps)


class Fault(NamedTuple):
    """The n-th step (from 1) fails with this error instead of being done; where it lasts, so do all after it."""

    number: int
    errno: int
    is_lasting: bool = False


def record(roots: Iterable[Path], function: Callable[[], int], fault: Fault | None = None) -> Trace:
    """Run a function in a forked child and listen; its exit code is the function's result, DEFECT when it raised.

    The child's threads are listened to, its own child processes are not: below the roots they change nothing.
    """
    watched = tuple(os.fspath(root) for root in roots)
    with open(os.memfd_create("trace"), "r+b") as log:  # noqa: PTH123 - a descriptor
        child = os.fork()
        if child == 0:
            _be_the_child(_Listener(watched, log.fileno(), fault), function)
        _, status = os.waitpid(child, 0)
        log.seek(0)
        return Trace(watched, _decode(log.read()), os.waitstatus_to_exitcode(status))


def _be_the_child(listener: _Listener, function: Callable[[], int]) -> NoReturn:
    code = DEFECT
    try:
        listener.listen()
        code = function()
    except BaseException:  # noqa: BLE001 - nothing of the child may go on in the test's own code
        traceback.print_exc()
    finally:
        os._exit(code)


def _decode(data: bytes) -> list[Step]:
    decoder = msgspec.msgpack.Decoder(tuple[str, bytes, bytes, int, bytes])
    steps, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        kind, path, other, offset, content = decoder.decode(data[at + 4 : at + 4 + length])
        steps.append(Step(kind, os.fsdecode(path), os.fsdecode(other), offset, content))
        at += 4 + length
    return steps


class _Listener:
    """Stands before the calls of `os` that change something."""

    def __init__(self, roots: tuple[str, ...], log: int, fault: Fault | None) -> None:
        self._roots, self._log, self._fault = roots, log, fault
        self._above = {os.path.dirname(root) for root in roots}
        self._lock = threading.RLock()
        self._count = 0
        self._write, self._readlink, self._seek = os.write, os.readlink, os.lseek

    def listen(self) -> None:
        """From here on all is written down."""
        replaced: dict[str, Call] = {
            "open": self._open, "write": self._write_at_end, "writev": self._write_at_end,
            "pwrite": self._write_there, "pwritev": self._write_there, "fsync": self._sync, "fdatasync": self._sync,
            "mkdir": self._named("mkdir"), "rmdir": self._named("rmdir"), "unlink": self._named("unlink"),
            "remove": self._named("unlink"), "link": self._two_names("link"), "rename": self._two_names("rename"),
            "replace": self._two_names("rename"), "truncate": self._truncate, "ftruncate": self._truncate,
            "posix_fallocate": self._allocate,
        }  # fmt: skip
        for name, make in replaced.items():
            setattr(os, name, make(getattr(os, name)))
        builtins.open = io.open = self._no_open_for_writing(builtins.open)

    def _named(self, kind: str) -> Call:
        def make(call: Call) -> Call:
            def changed(path: Any, *rest: Any, dir_fd: int | None = None, **named: Any) -> Any:
                extra = {} if dir_fd is None else {"dir_fd": dir_fd}
                mode = rest[0] if rest else named.get("mode", 0o777)
                step = Step(kind, self._full(path, dir_fd), offset=mode if kind == "mkdir" else 0)
                return self._do(step, lambda: call(path, *rest, **extra, **named))

            return changed

        return make

    def _two_names(self, kind: str) -> Call:
        def make(call: Call) -> Call:
            def changed(old: Any, new: Any, **named: Any) -> Any:
                paths = self._full(old, named.get("src_dir_fd")), self._full(new, named.get("dst_dir_fd"))
                return self._do(Step(kind, *paths), lambda: call(old, new, **named))

            return changed

        return make

    def _open(self, call: Call) -> Call:
        def changed(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
            extra = {} if dir_fd is None else {"dir_fd": dir_fd}
            full = self._full(path, dir_fd)
            if not flags & _CREATES or not self._is_watched(full):
                return call(path, flags, mode, **extra)
            is_there = os.path.lexists(full)
            if is_there and not flags & os.O_TRUNC:
                return call(path, flags, mode, **extra)
            step = Step("truncate", full) if is_there else Step("create", full, offset=mode)
            return self._do(step, lambda: call(path, flags, mode, **extra))

        return changed

    def _write_at_end(self, call: Call) -> Call:
        def changed(fd: int, data: Any) -> Any:
            full = self._path_of(fd)
            if not self._is_watched(full):
                return call(fd, data)
            whole = _joined(data)

            def write() -> Any:
                written = call(fd, data)
                return written, Step("write", full, "", self._seek(fd, 0, os.SEEK_CUR) - written, whole[:written])

            return self._do_and_tell(Step("write", full), write)

        return changed

    def _write_there(self, call: Call) -> Call:
        def changed(fd: int, data: Any, offset: int, *rest: Any) -> Any:
            full, whole = self._path_of(fd), _joined(data)

            def write() -> Any:
                written = call(fd, data, offset, *rest)
                return written, Step("write", full, "", offset, whole[:written])

            return self._do_and_tell(Step("write", full), write)

        return changed

    def _sync(self, call: Call) -> Call:
        def changed(fd: Any) -> Any:
            full = self._path_of(fd)
            kind = "sync_directory" if os.path.isdir(full) else "sync"
            if full in self._above:
                return self._do(Step(kind, full), lambda: call(fd), is_watched=True)
            return self._do(Step(kind, full), lambda: call(fd))

        return changed

    def _truncate(self, call: Call) -> Call:
        def changed(what: Any, length: int) -> Any:
            full = self._path_of(what) if isinstance(what, int) else self._full(what, None)
            return self._do(Step("truncate", full, offset=length), lambda: call(what, length))

        return changed

    def _allocate(self, call: Call) -> Call:
        def changed(fd: int, offset: int, length: int) -> Any:
            step = Step("truncate", self._path_of(fd), offset=offset + length)
            return self._do(step, lambda: call(fd, offset, length))

        return changed

    def _no_open_for_writing(self, call: Call) -> Call:
        def changed(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            is_name = isinstance(file, str | bytes | os.PathLike)
            if is_name and set(mode) & set("wax+") and self._is_watched(self._full(file, None)):
                raise AssertionError(f"{file!r} is not written by durable_io")
            return call(file, mode, *rest, **named)

        return changed

    def _do(self, step: Step, call: Callable[[], Any], *, is_watched: bool = False) -> Any:
        return self._do_and_tell(step, lambda: (call(), step), is_watched=is_watched)

    def _do_and_tell(self, step: Step, call: Callable[[], tuple[Any, Step]], *, is_watched: bool = False) -> Any:
        """One at a time, so that the order of the log is the order of the disk."""
        if not is_watched and not self._is_watched(step.path):
            return call()[0]
        with self._lock:
            self._count += 1
            fault = self._fault
            if fault is not None and (self._count == fault.number or fault.is_lasting and self._count > fault.number):
                raise OSError(fault.errno, os.strerror(fault.errno), step.path)
            result, done = call()
            fields = (done.kind, os.fsencode(done.path), os.fsencode(done.other), done.offset, done.data)
            data = msgspec.msgpack.encode(fields)
            self._write(self._log, len(data).to_bytes(4, "little") + data)
            return result

    def _is_watched(self, path: str) -> bool:
        return any(path == root or path.startswith(root + "/") for root in self._roots)

    def _full(self, path: Any, dir_fd: int | None) -> str:
        if isinstance(path, int):
            return self._path_of(path)
        text = os.fsdecode(path)
        return os.path.normpath(os.path.join(self._path_of(dir_fd) if dir_fd is not None else os.getcwd(), text))

    def _path_of(self, fd: Any) -> str:
        number = fd if isinstance(fd, int) else fd.fileno()
        return self._readlink(f"/proc/self/fd/{number}")


def _joined(data: Any) -> bytes:
    parts = [data] if isinstance(data, bytes | bytearray | memoryview) else data
    return b"".join(bytes(memoryview(part).cast("B")) for part in parts)
