"""Disks that lose power: ext4 in a loop-mounted image, shut down at any moment, and mounted again as after a reboot.

FS_IOC_SHUTDOWN keeps what the file system brought to its device and nothing else, as a power cut does. Root on Linux.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.support.mounting import unmount
from tests.support.running import children, kill

LOG_FLUSHED, LOG_LOST = 1, 2
"""What of the journal comes through: all that was in it, or only what an fsync waited for."""
_SHUTDOWN = 0x8004587D
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)
_IMAGE_BYTES = 96 << 20
_WRITES_FIELD = 4
"""Of /sys/block/*/stat: writes that the device has completed."""


@dataclass
class CutDisk:
    """One disk, mounted at `path`; `folders` of it are seen elsewhere, too. mode: of ext4's `data=`."""

    image: Path
    path: Path
    mode: str
    folders: tuple[tuple[str, Path], ...] = ()

    def make(self) -> None:
        """Make the file system, empty, and mount it."""
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _do("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,nodiscard", self.image)
        self.mount()
        (self.path / "lost+found").rmdir()
        for name, _ in self.folders:
            (self.path / name).mkdir()
        self._bind()

    def mount(self) -> None:
        """Mount it; a journal that was left is played back. The kernel mends no missing fsync by a guess of its own."""
        self.path.mkdir(exist_ok=True)
        _do("mount", "-t", "ext4", "-o", f"loop,data={self.mode},noauto_da_alloc", self.image, self.path)

    def unmount(self) -> None:
        """Take it away."""
        for _, seen in reversed(self.folders):
            if os.path.ismount(seen):
                unmount(seen)
        if os.path.ismount(self.path):
            unmount(self.path)

    def sync(self) -> None:
        """Bring all that lies there to it; other disks are left alone."""
        _do("sync", "--file-system", self.path)

    def remove(self) -> None:
        """Take it away for good."""
        self.unmount()
        self.image.unlink(missing_ok=True)

    def cut(self, what: int) -> None:
        """No write reaches it from now on. what: LOG_FLUSHED or LOG_LOST."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", what))
        finally:
            os.close(fd)

    def recover(self) -> None:
        """Mount it as after a reboot; its own structures have to be whole."""
        self.unmount()
        self.mount()
        unmount(self.path)
        done = subprocess.run(["e2fsck", "-f", "-n", self.image], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"the file system itself is damaged: {done.stdout}{done.stderr}"
        self.mount()
        self._bind()

    def write_count(self) -> int:
        """Writes that its device completed: a clock that goes with the work, however busy the machine is."""
        device = os.stat(self.path).st_dev
        found = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
        return int(found.split()[_WRITES_FIELD])

    def write_elsewhere(self) -> None:
        """What another program does: its own file is on the disk when this returns."""
        fd = os.open(self.path / "neighbour", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(fd, b"x")
            os.fsync(fd)
        finally:
            os.close(fd)

    def _bind(self) -> None:
        for name, seen in self.folders:
            seen.mkdir(exist_ok=True)
            _do("mount", "--bind", self.path / name, seen)


class Disk(Protocol):
    """What rounds make and take away."""

    def make(self) -> None:
        """Make it, empty, and mount it."""

    def sync(self) -> None:
        """Bring all that lies there to it."""

    def remove(self) -> None:
        """Take it away for good."""


@contextmanager
def taken_away(*disks: Disk) -> Iterator[None]:
    """Whatever happens in the block, nothing of these disks stays mounted."""
    try:
        yield
    finally:
        for disk in disks:
            disk.remove()


def kill_all(*roots: int) -> None:
    """kill -9 of processes and of all below them; none can start another meanwhile. Roots are the caller's to reap."""
    found: list[int] = []
    todo = list(roots)
    while todo:
        process = todo.pop()
        kill(process, signal.SIGSTOP)
        found.append(process)
        todo += children(process)
    # Orphans come to this process, which sees to it that their numbers are free again: leftovers are judged by them.
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        for process in found:
            kill(process)
        for process in found:
            if process not in roots:
                _reap(process)
    finally:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _reap(process: int) -> None:
    end = time.monotonic() + 30
    while Path(f"/proc/{process}").exists():
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
        assert time.monotonic() < end, "killed, and still there"
        time.sleep(0.001)


def _do(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"
