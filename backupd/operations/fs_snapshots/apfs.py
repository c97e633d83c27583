"""Snapshots of APFS on macOS: made by Time Machine's own program, mounted read-only in a directory of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import msgspec

from backupd.command_errors import FsSnapshotError
from backupd.model.results import shown
from backupd.operations.fs_snapshots.contract import Found, Made, Target, below, is_ours, joined
from backupd.operations.fs_snapshots.mounting import make_mount_point, mounted_device, unmount
from backupd.operations.fs_snapshots.programs import Programs, done, no_right
from backupd.source.mounts import Mount

_MADE = re.compile(rb"Created local snapshot with date: (\d{4}-\d{2}-\d{2}-\d{6})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}-\d{6}")


class Apfs:
    """Made and removed by `tmutil`, which names them by their dates: what is ours, our record alone tells.

    One that no record tells of, macOS removes by itself within a day.
    """

    name = "apfs"

    def __init__(self, programs: Programs, directory: str) -> None:
        """directory: for mounts."""
        self._programs, self._directory = programs, directory

    def takes(self, mount: Mount) -> bool:
        """Whether it is APFS, and none of its snapshots."""
        return mount.type == "apfs" and b"@" not in mount.source

    def find(self, mount: Mount, mounts: Sequence[Mount], sources: Sequence[bytes], *, nested: bool) -> Found:
        """The one volume; what firm links show of it elsewhere, at each source. Raises FsSnapshotError."""
        if os.geteuid() != 0:
            raise no_right(f"{shown(mount.path)} is APFS, whose snapshots root alone can mount")
        place = os.fsdecode(mount.path)
        linked = [source for source in sources if below(source, mount.path) is None]
        found = [Target(path, place, path) for path in (_directory_of(source) for source in linked)]
        return Found([Target(mount.path, place), *found], [])

    def plan(self, target: Target, name: str) -> Made:
        """Its date is not known yet."""
        return Made(kind=self.name, place=target.place, name=name, mounted_at=os.path.join(self._directory, name))

    def make(self, target: Target, made: Made) -> Made:
        """Make it; `mount` comes once its date is kept. Raises FsSnapshotError."""
        what = f"no snapshot of {shown(target.path)} could be made"
        found = _MADE.search(done(self._programs, what, ["tmutil", "localsnapshot"]))
        if found is None:
            raise FsSnapshotError(f"{what}: tmutil says something that nobody understands")
        return msgspec.structs.replace(made, date=found[1].decode())

    def mount(self, target: Target, made: Made) -> None:
        """Mount it. Raises FsSnapshotError."""
        what = f"the snapshot of {shown(target.path)} could not be mounted"
        make_mount_point(what, made.mounted_at)
        words = ["mount_apfs", "-o", "ro,nobrowse", "-s", _full(made), made.place, made.mounted_at]
        done(self._programs, what, words)

    def read_at(self, target: Target, made: Made) -> bytes:
        """Where it is mounted."""
        return joined(os.fsencode(made.mounted_at), target.inside)

    def device(self, target: Target, made: Made) -> int:
        """Of the mounted file system. Raises FsSnapshotError."""
        return mounted_device(self.read_at(target, made))

    def remove(self, made: Made) -> bool:
        """Unmount and remove it. Raises FsSnapshotError."""
        what = f"the snapshot of {made.place} could not be removed"
        if not is_ours(made.name) or not (made.date == "" or _DATE.fullmatch(made.date)):
            raise FsSnapshotError(f"{what}: that is no name of ours")
        unmount(self._programs, what, made, self._directory)
        if not made.date:
            return False
        known = done(self._programs, what, ["tmutil", "listlocalsnapshots", made.place])
        if _full(made).encode() not in known.split():
            return False
        done(self._programs, what, ["tmutil", "deletelocalsnapshots", made.date])
        return True

    def leftovers(self, target: Target, set_id: str) -> list[Made]:
        """None: the names of these say nothing of us."""
        return []


def _full(made: Made) -> str:
    return f"com.apple.TimeMachine.{made.date}.local"


def _directory_of(source: bytes) -> bytes:
    return source if os.path.isdir(source) and not os.path.islink(source) else os.path.dirname(source)
