"""Snapshots of ZFS: they show by themselves, below `.zfs/snapshot` of the mounted file system."""

from __future__ import annotations

import os
from collections.abc import Sequence

from backupd.command_errors import FsSnapshotError
from backupd.model.results import shown
from backupd.operations.fs_snapshots.contract import Found, Made, Target, is_ours, joined
from backupd.operations.fs_snapshots.programs import OR_LIVE, Programs, done
from backupd.source.mounts import Mount


class Zfs:
    """Made and removed by `zfs`; each file system that is mounted below another one is one of its own."""

    name = "zfs"

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def takes(self, mount: Mount) -> bool:
        """Whether it is ZFS, and none of its snapshots."""
        return mount.type == "zfs" and b"@" not in mount.source

    def find(self, mount: Mount, mounts: Sequence[Mount], sources: Sequence[bytes], *, nested: bool) -> Found:
        """The one file system. Raises FsSnapshotError."""
        whole = next((one for one in mounts if one.source == mount.source and one.root == b"/"), None)
        if whole is None or whole.type != mount.type:
            raise FsSnapshotError(
                f"{shown(mount.path)} shows a directory of {shown(mount.source)}, which is mounted nowhere as a whole",
                hint=f"mount it, too, {OR_LIVE}",
            )
        return Found([Target(mount.path, os.fsdecode(mount.source), mount.root, whole.path)], [])

    def plan(self, target: Target, name: str) -> Made:
        """Named by its file system."""
        return Made(kind=self.name, place=target.place, name=name)

    def make(self, target: Target, made: Made) -> Made:
        """Make it. Raises FsSnapshotError."""
        done(self._programs, f"no snapshot of {shown(target.path)} could be made", ["zfs", "snapshot", _full(made)])
        return made

    def mount(self, target: Target, made: Made) -> None:
        """It shows by itself."""

    def read_at(self, target: Target, made: Made) -> bytes:
        """The kernel mounts it there when somebody enters."""
        return joined(joined(target.holder, b".zfs/snapshot/" + os.fsencode(made.name)), target.inside)

    def device(self, target: Target, made: Made) -> int:
        """Any: the kernel mounts it anew after a while, and nobody can put anything else there."""
        return 0

    def remove(self, made: Made) -> bool:
        """Remove it where it bears a name of ours. Raises FsSnapshotError."""
        what = f"the snapshot {_full(made)} could not be removed"
        if not is_ours(made.name):
            raise FsSnapshotError(f"{what}: that is no name of ours")
        if made.name not in self._names(made.place):
            return False
        done(self._programs, what, ["zfs", "destroy", _full(made)])
        return True

    def leftovers(self, target: Target, set_id: str) -> list[Made]:
        """What stands of the set in the file system. Raises FsSnapshotError."""
        return [self.plan(target, name) for name in self._names(target.place) if is_ours(name, set_id)]

    def _names(self, place: str) -> list[str]:
        words = ["zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-d", "1", place]
        rows = os.fsdecode(done(self._programs, f"the snapshots of {place} can't be listed", words)).splitlines()
        return [row.partition("@")[2] for row in rows if row.startswith(f"{place}@")]


def _full(made: Made) -> str:
    return f"{made.place}@{made.name}"
