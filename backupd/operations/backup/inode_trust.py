"""File systems whose inode numbers mean nothing: some in user space draw them anew at each mount (DESIGN 7)."""

from __future__ import annotations

from collections.abc import Callable

from backupd.model.results import shown
from backupd.source.signature import INODE_BYTES

_COMPARED_LEAST = 100


class InodeTrust:
    """Compares signatures with those of an earlier run, without inodes where over half differ in them alone."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._compared: dict[int, int] = {}
        self._differing: dict[int, int] = {}
        self._without: set[int] = set()

    def is_same(self, former: bytes, now: bytes, device: int, path: bytes) -> bool:
        """Whether an entry is what it was. former: empty where it is not to be trusted. path: of its directory."""
        if not former:
            return False
        self._compared[device] = self._compared.get(device, 0) + 1
        if former == now:
            return True
        if former[:-INODE_BYTES] != now[:-INODE_BYTES]:
            return False
        if device not in self._without:
            self._differing[device] = self._differing.get(device, 0) + 1
            self._judge(device, path)
        return device in self._without

    def _judge(self, device: int, path: bytes) -> None:
        compared = self._compared[device]
        if compared >= _COMPARED_LEAST and 2 * self._differing[device] > compared:
            self._without.add(device)
            self._warn(f"the file system of {shown(path)} numbers its files anew each time: inodes are left out there")
