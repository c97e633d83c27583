"""A database server in a directory of its own, from its start to its end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar


class _Server(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=_Server)


@contextmanager
def running(make: Callable[[Path], S]) -> Generator[S, None, None]:
    """A started server; its directory is one that its user can reach, and a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))  # noqa: S108
    folder.chmod(0o755)
    server = make(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
