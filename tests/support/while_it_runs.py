"""What is seen and done on the machine while a job runs: processes with their words, and others who write."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def seen_processes() -> Generator[list[bytes], None, None]:
    """Arguments and environment of all that is started while the block runs, as often as can be."""
    found: list[bytes] = []
    is_over = threading.Event()
    before = set(os.listdir("/proc"))

    def look() -> None:
        while not is_over.wait(0.005):
            for pid in filter(str.isdigit, set(os.listdir("/proc")) - before):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        found.append(Path(f"/proc/{pid}/{name}").read_bytes())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        is_over.set()
        looking.join()


@contextmanager
def writing(write: Callable[[int], object]) -> Generator[None, None, None]:
    """Somebody else writes all the time while the block runs."""
    is_over = threading.Event()

    def work() -> None:
        number = 0
        # With a pause, for it is the others whom the test waits for.
        while not is_over.wait(0.002):
            number += 1
            write(number)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        is_over.set()
        worker.join()


def no_secret(seen: list[bytes], secret: str, program: bytes) -> None:
    """The program was seen at work, and nowhere the secret."""
    assert is_seen(seen, program), "the program was seen at work"
    assert not [one for one in seen if secret.encode() in one]


def is_seen(seen: list[bytes], program: bytes) -> bool:
    """Whether it was at work."""
    return any(program in one for one in seen)
