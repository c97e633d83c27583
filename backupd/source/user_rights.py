"""With whose rights sources are read: this process's, or those of a user who is nobody else for the kernel.

To Linux credentials belong to a thread. One thread becomes the user wholly and for good: real, effective and saved ids,
groups, no capability. A FUSE file system then takes it for who mounted it, an NFS server for the user. All other
threads stay what they are, so that state, keys and destinations are reached as ever.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from backupd.command_errors import RunAsError
from backupd.errors import BackupError
from backupd.model.orders import Caller
from backupd.private_memory import is_private, keep_private

P = ParamSpec("P")
T = TypeVar("T")

_CALLS = {
    "x86_64": (116, 119, 117),
    "aarch64": (159, 149, 147),
    "riscv64": (159, 149, 147),
    "loongarch64": (159, 149, 147),
    "ppc64le": (81, 169, 164),
    "s390x": (206, 210, 208),
}
"""Numbers of setgroups, setresgid and setresuid: the C library's own change all threads of a process."""
_DUMPABLE = "/proc/sys/fs/suid_dumpable"


class SourceRights:
    """Those of this process: what is asked for is done at once."""

    user: Caller | None = None
    """Whose they are; None: our own."""

    def do(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the function returns, or raises, when it is called with these rights.

        It must neither start processes nor threads, nor touch what is not a source.
        """
        return function(*arguments, **named)


OWN_RIGHTS = SourceRights()


@contextmanager
def rights_of(user: Caller | None) -> Iterator[SourceRights]:
    """Those of a user, as long as the block lasts; None: our own. Raises RunAsError."""
    if user is None:
        yield OWN_RIGHTS
        return
    rights = _UserRights(user)
    try:
        yield rights
    finally:
        rights.close()


class _UserRights(SourceRights):
    """A user's: done by a thread that is the user. For one thread to ask."""

    def __init__(self, user: Caller) -> None:
        """Raises RunAsError where this process can't, or may not safely, become the user."""
        self.user = user
        self._asked: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._given: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="source", daemon=True)
        self._thread.start()
        try:
            self.do(_become, user)
        except BaseException:
            self.close()
            raise

    def do(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        if threading.current_thread() is self._thread:
            return function(*arguments, **named)
        if not self._thread.is_alive():
            raise AssertionError("the thread that reads sources is gone")
        self._asked.put(lambda: function(*arguments, **named))
        result, error = self._given.get()
        if error is None:
            return result  # type: ignore[no-any-return]
        try:
            raise error
        finally:
            # Its traceback holds this frame, and workers collect no cycles.
            del error

    def close(self) -> None:
        """End the thread; it is waited for, as no other may change its own ids while there is one that can't."""
        self._asked.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                answer = asked()
            except (OSError, BackupError, StopIteration) as error:
                self._given.put((None, error))
            except BaseException as error:
                # A defect: who waits must hear of it all the same.
                self._given.put((None, error))
                raise
            else:
                self._given.put((answer, None))
                del answer
            del asked


def _become(user: Caller) -> None:
    """Make this thread the user. Raises RunAsError; the thread is of no use then."""
    numbers = _CALLS.get(platform.machine()) if sys.maxsize > 1 << 32 else None
    if not sys.platform.startswith("linux") or numbers is None:
        raise RunAsError(
            f"no thread can become another user on {sys.platform}, {platform.machine()}",
            hint="leave run_as out, or have that user's own backupd make the backups",
        )
    try:
        with open(_DUMPABLE, "rb") as file:
            is_open = file.read().strip() == b"1"
        if is_open:
            raise RunAsError(
                "fs.suid_dumpable is 1: the user could look into the memory of what reads the sources",
                hint="sysctl fs.suid_dumpable=0",
            )
        library = ctypes.CDLL(None, use_errno=True)
        groups = (ctypes.c_uint32 * len(user.groups))(*user.groups)
        _call(library, numbers[0], len(user.groups), groups)
        _call(library, numbers[1], user.gid, user.gid, user.gid)
        _call(library, numbers[2], user.uid, user.uid, user.uid)
        # To become somebody else made the memory as private as that file says, and no more.
        keep_private()
        is_right = _is_wholly(user) and is_private()
    except OSError as error:
        raise RunAsError(
            f"this process can't become user {user.uid}: {error.strerror}",
            hint="run_as needs root's backupd, with CAP_SETUID and CAP_SETGID",
        ) from error
    if not is_right:
        raise RunAsError(
            f"this process did not become user {user.uid} wholly",
            hint="the service's securebits keep capabilities: take them back",
        )


def _call(library: ctypes.CDLL, number: int, *arguments: Any) -> None:
    words = [one if isinstance(one, ctypes.Array) else ctypes.c_ulong(one) for one in arguments]
    if library.syscall(ctypes.c_long(number), *words) != 0:
        found = ctypes.get_errno()
        raise OSError(found, os.strerror(found))


def _is_wholly(user: Caller) -> bool:
    """Whether this thread is that user and nothing besides. Raises OSError."""
    with open("/proc/thread-self/status", "rb") as file:
        rows = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    return (
        set(map(int, rows[b"Uid"].split())) == {user.uid}
        and set(map(int, rows[b"Gid"].split())) == {user.gid}
        and set(map(int, rows[b"Groups"].split())) == set(user.groups)
        and not any(int(rows[name], 16) for name in (b"CapPrm", b"CapEff", b"CapAmb"))
    )
