"""Running a function as a user without privileges, from tests that run as root."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import tempfile
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

UID = GID = 65534
_CAPABILITY_VERSION_3 = 0x2008_0522
_PR_CAPBSET_DROP = 24
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_READ_SEARCH = 2
_OVERRIDES = (1, _READ_SEARCH)
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH."""


def run_as_user(function: Callable[[], object]) -> object:
    """What the function returns (plain values) when called in a child process of user 65534; its exceptions fail."""
    return _run_in_child(function, _become_user)


def run_as_reading_user(function: Callable[[], object]) -> object:
    """The same as that user who may read and search everything, which his child processes inherit.

    So he can start an interpreter below root's home; what he may write, own and set is what any user may.
    """
    return _run_in_child(function, _become_reading_user)


def run_as(uid: int, gid: int, groups: list[int], function: Callable[[], object]) -> object:
    """The same as any user; only for tests that run as root."""

    def become() -> None:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

    return _run_in_child(function, become)


def run_without_override(function: Callable[[], object]) -> object:
    """The same as root, to whom permission bits apply like to anybody else: in that child and in its children."""
    return _run_in_child(function, _drop_override)


def _become_user() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(GID, GID, GID)
        os.setresuid(UID, UID, UID)


def _become_reading_user() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    assert library.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
    _become_user()
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    kept = 1 << _READ_SEARCH
    data = ctypes.create_string_buffer(struct.pack("=6I", kept, kept, kept, 0, 0, 0))
    assert library.capset(header, data) == 0
    assert library.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _READ_SEARCH, 0, 0) == 0


def _drop_override() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    data = ctypes.create_string_buffer(24)
    dropped = sum(1 << number for number in _OVERRIDES)
    for number in _OVERRIDES:
        assert library.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0
    assert library.capget(header, data) == 0
    words = [word & ~dropped if at < 3 else word for at, word in enumerate(struct.unpack("=6I", data.raw[:24]))]
    assert library.capset(header, ctypes.create_string_buffer(struct.pack("=6I", *words))) == 0


def _run_in_child(function: Callable[[], object], prepare: Callable[[], None]) -> object:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            prepare()
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
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "failed without privileges, see stderr"
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
