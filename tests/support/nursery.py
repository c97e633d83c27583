"""Programs that are forked from a process which has loaded all modules: thousands of starts load them once.

Each such program keeps an untouched copy of itself, its nursery, before it does anything else: what it starts then is
forked from that. It becomes a child of who asked, by its own process id, with the words, variables, descriptors,
directory, limits, umask and session that exec would have given it, and ends as an interpreter ends. What the
interpreter itself looks at as it starts has to be as it was for the nursery; else, and for any other program, user or
option of `subprocess.Popen`, it is started as ever. Linux only.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import runpy
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from backupd.house import OPERATIONS
from bkctl import commands
from tests.support import cheap_passwords
from tests.support.machine import PLUGINS, PYTHON_PATH
from tests.support.plugins.sitecustomize import CLOCK_OFFSETS

NAME = b"nursery"
"""Its name among processes."""

_PROGRAMS = ("backupd", "backupd.job", "backupd.worker", "bkctl")
_LOOKED_AT = ("LC_", "LANG", "LD_", "PYTHON", "GLIBC_", "OPENBLAS_", "OMP_")
_PATIENCE_SECONDS = 10.0
"""Who asked adopts what was forked at once, or is gone."""
_PADDING = "x" * 4000
"""Room for the words of what is forked."""
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_LENGTH = struct.Struct("<I")
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
_libc = ctypes.CDLL(None, use_errno=True)


class Nursery:
    """Our end of it."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._lock, self._owner = end, threading.Lock(), os.getpid()

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> int:
        """The process id of a new child of ours. Raises OSError when the nursery is gone."""
        if os.getpid() != self._owner:
            raise OSError("it is another process's")
        with self._lock:
            body = json.dumps({**request, "owner": os.getpid()}).encode()
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._end, [_LENGTH.pack(len(body))], descriptors)
                self._end.sendall(body)
                # Its number by who forked it, then the word that he is gone: it is ours.
                (pid,) = _LENGTH.unpack(_exactly(self._end, 5)[:4])
            finally:
                _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        return int(pid)


class _Popen(subprocess.Popen[Any]):
    """As ever, but for what a nursery can start."""

    nursery: Nursery

    def _execute_child(self, *given: Any) -> None:
        names = ("args", "executable", "preexec_fn", "close_fds", "pass_fds", "cwd", "env", "startupinfo", "flags",
                 "shell", "in_theirs", "in_ours", "out_ours", "out_theirs", "err_ours", "err_theirs", "restore",
                 "gid", "gids", "uid", "umask", "new_session", "process_group")  # fmt: skip
        # Of another Python's there may be more: then it is started as ever.
        found: dict[str, Any] = dict(zip(names, given, strict=False)) if len(given) == len(names) else {}
        usual = {"preexec_fn": None, "executable": None, "gid": None, "gids": None, "uid": None, "umask": -1,
                 "close_fds": True, "shell": False, "process_group": -1}  # fmt: skip
        is_usual = all(found.get(name) == value for name, value in usual.items())
        asked = _asked(found["args"], found["env"]) if is_usual else None
        if asked:
            standard = [found[name] for name in ("in_theirs", "out_theirs", "err_theirs")]
            descriptors = [number if wanted == -1 else wanted for number, wanted in enumerate(standard)]
            targets = [0, 1, 2, *found["pass_fds"]]
            words, variables = asked
            request = {"words": words, "variables": variables, "targets": targets, "umask": _umask(),
                       "limits": [resource.getrlimit(limit) for limit in _LIMITS], "nice": os.nice(0),
                       "folder": os.fspath(found["cwd"] or os.getcwd()), "session": found["new_session"]}  # fmt: skip
            try:
                pid = self.nursery.fork(request, [*descriptors, *found["pass_fds"]])
            except OSError:
                pid = 0
            if pid:
                self.pid, self._child_created = pid, True
                plain: Any = self
                plain._close_pipe_fds(*given[10:16])
                return
        parent: Any = super()
        parent._execute_child(*given)


def _asked(command: Any, env: Mapping[str, str] | None) -> tuple[list[str], dict[str, str]] | None:
    """The module and its words, and the variables, of a command that a nursery can start."""
    if isinstance(command, str | bytes | os.PathLike):
        return None
    words, variables = [os.fsdecode(word) for word in command], dict(os.environ if env is None else env)
    if words[:2] == ["/usr/bin/env", "-i"]:
        count = next((at for at, word in enumerate(words[2:]) if "=" not in word), 0)
        variables = dict(word.split("=", 1) for word in words[2 : 2 + count])
        del words[: 2 + count]
    if not words or words[0] != sys.executable:
        return None
    words = words[2:] if words[1:2] == ["-P"] else words[1:]
    if len(words) < 2 or words[0] != "-m" or words[1] not in _PROGRAMS:
        return None
    looked_at = {name: value for name, value in variables.items() if name.startswith(_LOOKED_AT)}
    # The interpreter sets it by itself.
    locale = {"LC_CTYPE": os.environ["LC_CTYPE"]} if "LC_CTYPE" in os.environ else {}
    if looked_at.pop("PYTHONPATH", "") != PYTHON_PATH or not looked_at.items() <= locale.items():
        return None
    if os.getresuid() != (os.getuid(),) * 3 or os.getresgid() != (os.getgid(),) * 3 or _credentials() != _OWN:
        return None
    if os.path.exists(os.path.join(variables.get("HOME", "/"), CLOCK_OFFSETS)):
        return None
    return words[1:], variables


def _credentials() -> tuple[int, int, list[int]]:
    return os.getuid(), os.getgid(), sorted(os.getgroups())


_OWN = _credentials()


def _umask() -> int:
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


def _exactly(end: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = end.recv(count - len(got))
        if not part:
            raise ConnectionResetError("the nursery is gone")
        got += part
    return got


class FirstNursery(Nursery):
    """That of a process which was started as ever; begun, with all modules loaded, when something is first asked."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours)
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> int:
        if self._process is None:
            self._process = self._begin()
        return super().fork(request, descriptors)

    def close(self) -> None:
        """End it."""
        self._theirs.close()
        self._end.close()
        if self._process is not None:
            self._process.wait()

    def _begin(self) -> subprocess.Popen[bytes]:
        environ = {"HOME": "/", "PATH": os.environ["PATH"], "PYTHONPATH": PYTHON_PATH, "TZ": "UTC"}
        # Only what has one thread may be forked.
        environ["OPENBLAS_NUM_THREADS"] = "1"
        command = [sys.executable, "-P", "-m", "tests.support.nursery", str(self._theirs.fileno()), _PADDING]
        nothing = subprocess.DEVNULL
        began = subprocess.Popen(
            command, pass_fds=[self._theirs.fileno()], env=environ, cwd="/", stdin=nothing, stdout=nothing
        )
        self._theirs.close()
        _exactly(self._end, 1)
        return began


@contextmanager
def in_use(nursery: Nursery) -> Generator[None, None, None]:
    """While the block runs this process starts by it what can be."""
    plain, _Popen.nursery = subprocess.Popen, nursery
    vars(subprocess)["Popen"] = _Popen
    try:
        yield
    finally:
        vars(subprocess)["Popen"] = plain


def _load() -> None:
    """What most load; not the clients of stores: the more there is, the longer takes each fork."""
    for name in _PROGRAMS:
        _entry(name)
    for place in OPERATIONS.values():
        importlib.import_module(place.partition(":")[0])
    cheap_passwords.use()
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"{commands.__name__}.{module.name}")


def _entry(program: str) -> ModuleType:
    return importlib.import_module(program if "." in program else f"{program}.__main__")


def _serve(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork whoever is asked for until nobody asks any more; only what is forked returns, with what it shall be."""
    _libc.prctl(_PR_SET_NAME, NAME, 0, 0, 0)
    while True:
        try:
            head, given, _, _ = socket.recv_fds(end, 4, 64)
            if not head:
                os._exit(0)
            request = json.loads(_exactly(end, *_LENGTH.unpack(head)))
        except OSError:
            os._exit(0)
        between = os.fork()
        if between == 0:
            pid = os.fork()
            if pid == 0:
                end.close()
                end_at = time.monotonic() + _PATIENCE_SECONDS
                while os.getppid() != request["owner"]:
                    if time.monotonic() > end_at:
                        os._exit(1)
                    time.sleep(0.0002)
                return request, given
            with suppress(OSError):
                end.sendall(_LENGTH.pack(pid))
            os._exit(0)
        for fd in given:
            os.close(fd)
        os.waitpid(between, 0)
        with suppress(OSError):
            end.sendall(b"r")


def _become(request: dict[str, Any], given: list[int]) -> None:
    """Take on what exec would have given."""
    targets: list[int] = request["targets"]
    room = max(*targets, *given) + 1
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, room) for fd in given]
    for fd, target in zip(high, targets, strict=True):
        os.dup2(fd, target)
    kept = [*targets, *([_Popen.nursery._end.fileno()] if hasattr(_Popen, "nursery") else [])]
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in kept:
            with suppress(OSError):
                os.close(fd)
    for limit, values in zip(_LIMITS, request["limits"], strict=True):
        resource.setrlimit(limit, tuple(values))
    os.nice(request["nice"] - os.nice(0))
    os.umask(request["umask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    time.tzset()
    _open_standard()
    module, *words = request["words"]
    sys.argv = [_entry(module).__file__ or module, *words]
    sys.orig_argv = [sys.executable, "-P", "-m", module, *words]
    _be_called([os.fsencode(word) for word in sys.orig_argv])


def _open_standard() -> None:
    """What was opened for other files knew of them whether they were terminals."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before: io.TextIOWrapper = getattr(sys, name)
        is_by_line = number == 2 or os.isatty(number)
        raw = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115 - to the end
        file = io.TextIOWrapper(raw, before.encoding, before.errors, line_buffering=is_by_line)
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)


def _be_called(words: list[bytes]) -> None:
    """Have others see these words where they look for the words of a process."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    text = b"\0".join(words)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
    _libc.prctl(_PR_SET_NAME, Path(sys.executable).name.encode()[:15], 0, 0, 0)


def _with_own(request: dict[str, Any], given: list[int]) -> socket.socket | None:
    """Fork the nursery of this program, which is to begin now; in that, gives its end."""
    if request["session"]:
        os.setsid()
    if request["words"][0] == "backupd.worker":
        return None
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        for fd in given:
            os.close(fd)
        nothing = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.close(nothing)
        return theirs
    theirs.close()
    # Out of the way of what is inherited.
    _Popen.nursery = Nursery(socket.socket(fileno=fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 900)))
    ours.close()
    return None


def main() -> None:
    """Serve; in what is forked, be that program."""
    _load()
    gc.collect()
    gc.freeze()
    nursery: socket.socket | None = socket.socket(fileno=int(sys.argv[1]))
    assert nursery is not None
    nursery.sendall(b"r")
    while nursery is not None:
        request, given = _serve(nursery)
        nursery = _with_own(request, given)
    _become(request, given)
    runpy.run_path(str(PLUGINS / "sitecustomize.py"))
    if hasattr(_Popen, "nursery"):
        vars(subprocess)["Popen"] = _Popen
    _run(request["words"][0])


def _run(program: str) -> NoReturn:
    """It ends as an interpreter ends, but that nobody looks for what is left of a hundred megabytes."""
    code: object = 0
    try:
        code = _entry(program).main()
    except SystemExit as asked:
        code = asked.code
    except Exception as error:  # noqa: BLE001 - the last of this program
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    interpreter: Any = threading
    interpreter._shutdown()
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.stderr):
        file.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
