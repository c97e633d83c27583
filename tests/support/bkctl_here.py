"""`bkctl` in the process of the test, for documents: most tests ask for one, and its start costs more than the rest.

It is the same program from its words to its exit code, with the descriptors, the directory and the variables that a
process of its own would have; a job that it starts is a process as ever. What is about that process itself (signals, a
terminal, arguments that others see, text) uses `Daemon.bkctl`, `Machine.bkctl` or `Run`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import replace
from pathlib import Path

from bkctl.main import read_environment, run
from bkctl.session import JOB_COMMAND

_STANDARD = (0, 1, 2)
_OWN_PROCESS = os.getpid()


def can_run() -> bool:
    """Whether it can run here: it takes signals, which only the first thread may.

    What a test does in a child process, mostly as somebody else, is done as he would.
    """
    return threading.current_thread() is threading.main_thread() and os.getpid() == _OWN_PROCESS


def bkctl(
    words: Sequence[str], environ: Mapping[str, str], folder: Path, seconds: float = 120, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run it with these words. folder: its working directory. After so many seconds it is told to end."""
    variables = [f"{name}={value}" for name, value in environ.items()]
    environment = replace(read_environment(environ), job_command=("/usr/bin/env", "-i", *variables, *JOB_COMMAND))
    with ExitStack() as stack:
        said = [stack.enter_context(_descriptor(number)) for number in _STANDARD]
        stack.enter_context(_standard_input(stdin))
        stack.enter_context(_ended_after(seconds))
        stack.enter_context(chdir(folder))
        code = run(list(words), environment)
        _, out, err = map(_all_of, said)
    return subprocess.CompletedProcess(["bkctl", *words], code, out, err)


@contextmanager
def _descriptor(number: int) -> Generator[int, None, None]:
    """An empty file stands under a standard descriptor; gives the file's own."""
    kept = os.dup(number)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), number)
            yield file.fileno()
    finally:
        os.dup2(kept, number)
        os.close(kept)


@contextmanager
def _standard_input(content: bytes) -> Generator[None, None, None]:
    """What stands under descriptor 0 is this, for `sys.stdin`, too."""
    os.write(0, content)
    os.lseek(0, 0, os.SEEK_SET)
    kept = sys.stdin
    try:
        with open(0, encoding="utf-8", closefd=False) as sys.stdin:  # noqa: PTH123 - a descriptor
            yield
    finally:
        sys.stdin = kept


def _all_of(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


@contextmanager
def _ended_after(seconds: float) -> Generator[None, None, None]:
    """It has the only timer of this process meanwhile; who had set it gets it back with what is left."""
    left, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    watch = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)))
