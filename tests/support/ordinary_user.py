"""Running a function as a user without privileges, from tests that run as root."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

UID = GID = 65534


def run_as_user(function: Callable[[], object]) -> object:
    """What the function returns (plain values) when called in a child process of user 65534; its exceptions fail."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(GID, GID, GID)
                os.setresuid(UID, UID, UID)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(msgspec.msgpack.encode(function()))
            code = 0
        except BaseException:  # noqa: BLE001  # the child must never return into the test run
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "failed as an ordinary user, see stderr"
    return msgspec.msgpack.decode(answer)


@contextmanager
def directory_of_user() -> Generator[Path, None, None]:
    """A temporary directory that belongs to that user and that he can reach."""
    path = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(path, UID, GID)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
