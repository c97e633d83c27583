"""Disks without room: small file systems that are filled up to a size, limits, and writes that the kernel refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.machine import Machine
from tests.support.mounting import unmount
from tests.support.power_cut import CutDisk

_TMPFS_BYTES = 32 << 20
_WRITES = "writev,pwritev,pwrite64,fallocate"
"""What files are written with; channels and output have other calls."""


@dataclass
class Tmpfs:
    """A file system in memory, mounted where it is needed."""

    path: Path

    def make(self) -> None:
        """Mount it, empty."""
        options = f"size={_TMPFS_BYTES},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path], check=True)

    def sync(self) -> None:
        """Nothing else keeps it."""

    def remove(self) -> None:
        """Take it away for good."""
        if os.path.ismount(self.path):
            unmount(self.path)


@dataclass
class Filled:
    """A folder on a small disk of its own, of which somebody else takes most."""

    folder: Path
    disk: Tmpfs | CutDisk

    def fill(self, left_bytes: int) -> None:
        """Leave so many bytes, in full blocks."""
        with self._filler.open("wb", buffering=0) as file:
            found = os.statvfs(self._filler)
            taken = found.f_bavail * found.f_frsize - left_bytes
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(1, taken))

    def make_room(self) -> None:
        """As if somebody had removed what took the space."""
        self._filler.unlink()

    @property
    def _filler(self) -> Path:
        above = self.disk.path
        return above / "filler"


def small_disk(random: Random, images: Path, folder: Path) -> Filled:
    """A tmpfs, or ext4 in an image, for a folder."""
    if random.random() < 0.5:
        return Filled(folder, Tmpfs(folder))
    disk = CutDisk(images / "small.img", folder.with_name("small"), "ordered", ((folder.name, folder),))
    return Filled(folder, disk)


@dataclass(frozen=True)
class Refusal:
    """How the kernel refuses to write, whatever room there is."""

    number: int
    at: int
    """The call of each process that is the first to fail."""
    is_lasting: bool
    largest_file_bytes: int | None = None
    """Instead: a limit on files, which first makes a write short and then fails it with EFBIG."""


def draw_refusal(random: Random) -> Refusal:
    """Early calls more often than late ones."""
    limit = int(2 ** random.uniform(9, 22)) if random.random() < 0.25 else None
    at = int(2 ** random.uniform(0, 6))
    return Refusal(random.choice((errno.ENOSPC, errno.EDQUOT)), at, random.random() < 0.7, limit)


def run_refused(machine: Machine, words: Sequence[str], refusal: Refusal) -> subprocess.CompletedProcess[bytes]:
    """Run `bkctl --json` to which that happens, to each of its processes."""
    command = [sys.executable, "-P", "-m", "bkctl", *words, "--json"]
    if refusal.largest_file_bytes is not None:
        command = ["prlimit", f"--fsize={refusal.largest_file_bytes}", *command]
        # Python leaves a torn file of its own bytecode under such a limit, which every later run would read.
        environ = {**machine.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, capture_output=True, env=environ, cwd=machine.home, check=False)
    when = f"{refusal.at}{'+' if refusal.is_lasting else ''}"
    return run_injected(machine, command, f"{_WRITES}:error={errno.errorcode[refusal.number]}:when={when}")


def run_injected(machine: Machine, command: Sequence[str], what: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose calls fail in the kernel as strace's `inject` says; counted in each process for itself."""
    traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={what}", "--", *command]
    return subprocess.run(traced, capture_output=True, env=machine.environ, cwd=machine.home, check=False)


def run_traced(machine: Machine, command: Sequence[str], calls: str) -> list[str]:
    """The calls of those names that a program and all below it make; a line each, the process first."""
    path = machine.home.parent / "trace"
    traced = ["strace", "-f", "-qq", "-o", str(path), "-e", f"trace={calls}", "-e", "signal=none", "--", *command]
    subprocess.run(traced, capture_output=True, env=machine.environ, cwd=machine.home, check=True)
    lines = path.read_text().splitlines()
    path.unlink()
    return lines
