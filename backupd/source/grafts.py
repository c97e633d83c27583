"""Directories that are read elsewhere than they show: from snapshots of their file systems (docs/fs-snapshots.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from backupd.command_errors import FsSnapshotError
from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from backupd.model.grafts import Graft
from backupd.model.results import shown
from backupd.source import scanner
from backupd.source.chain import OPEN_DIRECTORY, held, open_read_at
from backupd.source.mounts import Mount
from backupd.source.scanner import Seen
from backupd.source.user_rights import OWN_RIGHTS, SourceRights

_BTRFS_STUB = 2
"""Inode number of what shows in a snapshot of btrfs where another subvolume lay."""


class Grafts:
    """Those of one run; with none of them all is read where it shows."""

    def __init__(self, grafts: Sequence[Graft] = (), rights: SourceRights = OWN_RIGHTS) -> None:
        """rights: with which all is opened and looked at; where the grafts lie is reached with our own."""
        self.paths = {one.path: one.read_at for one in grafts}
        self.places: dict[bytes, tuple[bytes, int]] = {one.path: (one.read_at, one.read_device) for one in grafts}
        self.opened = held(self.places, rights)
        self._parents = {os.path.dirname(path) for path in self.paths}
        self._made_ns = min((one.made_ns for one in grafts), default=None)
        self._devices: dict[int, int] = {}
        self._stats: dict[bytes, os.stat_result | OSError] = {}
        for one in grafts:
            try:
                # What is read where it shows may be the user's alone, even to us.
                reads = rights if one.read_at == one.path else OWN_RIGHTS
                stat = reads.do(os.stat, one.read_at, follow_symlinks=False)
            except OSError as error:
                self._stats[one.path] = error
                continue
            self._stats[one.path] = stat
            if stat.st_dev != one.device:
                self._devices[stat.st_dev] = one.device

    def close(self) -> None:
        """Leave the snapshots, so that they can be unmounted."""
        for path, (place, _) in self.opened.items():
            if isinstance(place, int):
                os.close(place)
                self.opened[path] = self.places[path]

    def open_directory(self, path: bytes, name: bytes, parent_fd: int | None) -> int:
        """Descriptor of a directory, symlinks refused. name: its path, or its name in the parent. Raises OSError."""
        found = self.opened.get(path)
        if found is not None:
            return open_read_at(found, OPEN_DIRECTORY)
        fd = scanner.open_directory(name, parent_fd)
        if self._devices:
            stat = os.fstat(fd)
            if stat.st_ino == _BTRFS_STUB and parent_fd is not None:
                above = os.fstat(parent_fd)
                if above.st_dev in self._devices and above.st_dev != stat.st_dev:
                    os.close(fd)
                    raise OSError("a subvolume that is in no snapshot of this run")
        return fd

    def look(
        self, directory: bytes, fd: int, names: list[bytes]
    ) -> tuple[list[Seen], list[tuple[bytes, OSError]]]:
        """What is in a directory, as `scanner.look` has it. directory: its path."""
        seen, failed = scanner.look(fd, names)
        if directory not in self._parents:
            return seen, failed
        top = directory.rstrip(b"/") + b"/"
        found: list[Seen] = []
        for one in seen:
            stat = self._stats.get(top + one.name, one.stat)
            if isinstance(stat, OSError):
                failed.append((one.name, stat))
            else:
                found.append(Seen(one.name, stat))
        return found, failed

    def see_that_all_stand(self) -> None:
        """After all was read: of a snapshot that went meanwhile not all was. Raises FsSnapshotError."""
        for path, place in self.places.items():
            if place[0] == path:
                continue
            try:
                os.close(open_read_at(place))
            except OSError as error:
                raise FsSnapshotError(
                    f"the snapshot in which {shown(path)} was read is not there any more, so that some may be missing",
                    hint="see who removes snapshots of file systems, then run the backup again",
                ) from error

    def began_ns(self, began_ns: int) -> int:
        """When what is read was as it is read. began_ns: when the run began."""
        return began_ns if self._made_ns is None else min(began_ns, self._made_ns)

    def is_other(self, above: os.stat_result, stat: os.stat_result) -> bool:
        """Whether an entry lies on another file system than the directory above it, where they show."""
        return above.st_dev != stat.st_dev and self._device(above) != self._device(stat)

    def _device(self, stat: os.stat_result) -> int:
        return self._devices.get(stat.st_dev, stat.st_dev)


def snapshot_directories(mounts: Sequence[Mount]) -> list[bytes]:
    """Where snapshots of btrfs stand, at each path that shows them: never backed up."""
    found: set[bytes] = set()
    ours = os.fsencode(SNAPSHOTS_NAME)
    known = [mount for mount in mounts if mount.type == "btrfs"]
    for mount in known:
        for other in known:
            top = mount.root.rstrip(b"/") + b"/"
            root = other.root.rstrip(b"/") + b"/"
            if other.source == mount.source and root.startswith(top):
                found.add(os.path.join(mount.path, root[len(top) :], ours))
    return sorted(found)


NO_GRAFTS = Grafts()
