"""Small file systems that can fill up, lack features or be carried about: tmpfs, exFAT, drives; root on Linux."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BTRFS_MARKS = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mkfs.btrfs", "btrfs", "losetup", "mount", "umount"),
]
"""Of a module whose tests mount a btrfs."""


@contextmanager
def tmpfs(path: Path, size: str, inodes: int = 0) -> Iterator[Path]:
    """A new tmpfs of a size like `20m`, mounted at the path. inodes: how many it has, 0: as the kernel likes."""
    path.mkdir()
    options = f"size={size},mode=700" + (f",nr_inodes={inodes}" if inodes else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        unmount(path)


def enlarge(path: Path, size: str) -> None:
    """Give a tmpfs another size, and as many inodes as it wants."""
    subprocess.run(["mount", "-o", f"remount,size={size},nr_inodes=1000000", path], check=True)


@contextmanager
def exfat(path: Path, image: Path, size_bytes: int) -> Iterator[Path]:
    """A new exFAT file system in an image file, mounted through FUSE, which takes block devices only."""
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    device = found.stdout.strip()
    try:
        subprocess.run(["mount.exfat-fuse", device, path], check=True, capture_output=True)
        try:
            yield path
        finally:
            unmount(path)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def btrfs(path: Path, image: Path, size_bytes: int = 160 << 20) -> Iterator[Path]:
    """A new btrfs in an image file, mounted at the path; what is mounted of it elsewhere goes first."""
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    device = found.stdout.strip()
    try:
        subprocess.run(["mount", device, path], check=True)
        try:
            yield path
        finally:
            unmount(path)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


class Drive:
    """A drive that is plugged in: ext4 in an image file. It may be mounted here and there."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._mounted: list[Path] = []

    def mount(self, path: Path) -> Path:
        """Mount it at a directory, which is made where it is missing."""
        path.mkdir(exist_ok=True)
        subprocess.run(["mount", self.device, path], check=True)
        self._mounted.append(path)
        return path

    def unmount(self) -> None:
        """Unmount it where it was mounted last."""
        unmount(self._mounted.pop())

    def tear_out(self) -> None:
        """Take it away while files there are open, or somebody is about to open some."""
        subprocess.run(["umount", "-l", self._mounted.pop()], check=True)

    def unmount_all(self) -> None:
        """Unmount it everywhere."""
        while self._mounted:
            self.unmount()


@contextmanager
def drive(image: Path, size_bytes: int = 64 << 20) -> Iterator[Drive]:
    """A new drive, not mounted yet."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    plugged = Drive(found.stdout.strip())
    try:
        yield plugged
    finally:
        plugged.unmount_all()
        subprocess.run(["losetup", "--detach", plugged.device], check=True)


def unmount(path: Path) -> None:
    """Unmount, waiting for who may still close a file there."""
    for _ in range(300):
        if subprocess.run(["umount", path], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "-l", path], check=True)
