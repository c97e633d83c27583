"""The rclones that a process keeps, and what they listen on, as /proc tells."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def rclones(parent: int | None = None) -> list[int]:
    """Process numbers of the rclones of this process, or another; between them stands a shell."""
    return [number for keeper in _children(parent or os.getpid()) for number in _children(keeper) if _is_rclone(number)]


def _children(parent: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                found.append(int(entry))
    return found


def _is_rclone(number: int) -> bool:
    with suppress(OSError):
        return b"\0rcd\0" in Path(f"/proc/{number}/cmdline").read_bytes()
    return False


def opened_by(number: int) -> list[str]:
    """What a process has open."""
    found = []
    for entry in os.listdir(f"/proc/{number}/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/{number}/fd/{entry}"))
    return found


def socket_inodes(number: int) -> set[str]:
    """Of the sockets of a process."""
    return {link[len("socket:[") : -1] for link in opened_by(number) if link.startswith("socket:[")}


def listening_inodes() -> set[str]:
    """Of TCP sockets that listen, of all programs."""
    found = set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(name).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                found.add(words[9])
    return found
