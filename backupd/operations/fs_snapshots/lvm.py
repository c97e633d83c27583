"""Snapshots of logical volumes, thin ones and classic ones: a volume each, mounted read-only in a directory of ours."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from backupd.command_errors import FsSnapshotError
from backupd.model.results import shown
from backupd.operations.fs_snapshots.contract import Found, Made, Target, is_ours, joined
from backupd.operations.fs_snapshots.mounting import mount_device, mounted_device, unmount
from backupd.operations.fs_snapshots.programs import OR_LIVE, Programs, done, no_right
from backupd.rights import may_administrate
from backupd.source.mounts import Mount

_SHARE = 5
"""A fifth of a classic volume may change while its snapshot stands."""
_FIELDS = "vg_name,lv_name,lv_layout,lv_size,vg_free,vg_extent_size,origin,lv_snapshot_invalid"
_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*")


class Lvm:
    """Made and removed by `lvcreate` and `lvremove`."""

    name = "lvm"

    def __init__(self, programs: Programs, directory: str, system: str = "/sys") -> None:
        """directory: for mounts. system: where the kernel tells of devices."""
        self._programs, self._directory, self._system = programs, directory, system

    def takes(self, mount: Mount) -> bool:
        """Whether a logical volume itself is mounted; one that is encrypted could not be opened here."""
        return self._fact(mount, "uuid").startswith("LVM-")

    def find(self, mount: Mount, mounts: Sequence[Mount], sources: Sequence[bytes], *, nested: bool) -> Found:
        """The one volume. Raises FsSnapshotError."""
        if not may_administrate():
            raise no_right(f"{shown(mount.path)} is a logical volume, whose snapshots root alone can make")
        group, _, volume = self._fact(mount, "name").replace("--", "\0").partition("-")
        place = f"{group}/{volume}".replace("\0", "-")
        return Found([Target(mount.path, place, mount.root, os.fsencode(mount.type))], [])

    def plan(self, target: Target, name: str) -> Made:
        """Named by group and origin."""
        return Made(kind=self.name, place=target.place, name=name, mounted_at=os.path.join(self._directory, name))

    def make(self, target: Target, made: Made) -> Made:
        """Make it. Raises FsSnapshotError."""
        what = f"no snapshot of {shown(target.path)} could be made"
        facts = self._volume(made.place, what)
        words = ["lvcreate", "--quiet", "--yes", "--snapshot", "--name", made.name]
        if "thin" in facts.get("lv_layout", ""):
            # Else it would not be activated.
            words += ["--setactivationskip", "n"]
        else:
            words += ["--size", f"{_room(facts, what)}b"]
        done(self._programs, what, [*words, made.place])
        return made

    def mount(self, target: Target, made: Made) -> None:
        """Mount it. Raises FsSnapshotError."""
        what = f"the snapshot of {shown(target.path)} could not be mounted"
        device = f"/dev/{_volume_of(made)}"
        options = "ro,nouuid" if target.holder == b"xfs" else "ro"
        mount_device(self._programs, what, device, made.mounted_at, os.fsdecode(target.holder), options)

    def read_at(self, target: Target, made: Made) -> bytes:
        """Where it is mounted."""
        return joined(os.fsencode(made.mounted_at), target.inside)

    def device(self, target: Target, made: Made) -> int:
        """Of what is read there: each subvolume of a mounted btrfs has one of its own. Raises FsSnapshotError."""
        return mounted_device(self.read_at(target, made))

    def remove(self, made: Made) -> bool:
        """Unmount and remove it where it is a snapshot of that origin with a name of ours. Raises FsSnapshotError."""
        what = f"the snapshot {_volume_of(made)} could not be removed"
        group, _, origin = made.place.partition("/")
        if not is_ours(made.name) or not _NAME.fullmatch(group) or not _NAME.fullmatch(origin):
            raise FsSnapshotError(f"{what}: that is no name of ours")
        unmount(self._programs, what, made, self._directory)
        mine = [one for one in self._volumes(group) if one.get("lv_name") == made.name]
        if not mine:
            return False
        if mine[0].get("origin") != origin:
            raise FsSnapshotError(f"{what}: it is none of {made.place}")
        done(self._programs, what, ["lvremove", "--quiet", "--yes", _volume_of(made)])
        # Of binary fields `lvs` tells 1, 0 and -1 for unknown.
        if mine[0].get("lv_snapshot_invalid") == "1":
            raise FsSnapshotError(
                f"the snapshot of {made.place} ran full while the run read from it: what it read last may be missing",
                hint="make room in the volume group, or use thin volumes",
            )
        return True

    def leftovers(self, target: Target, set_id: str) -> list[Made]:
        """What stands of the set beside its volume. Raises FsSnapshotError."""
        group, _, origin = target.place.partition("/")
        found = [one for one in self._volumes(group) if one.get("origin") == origin]
        return [self.plan(target, one["lv_name"]) for one in found if is_ours(one.get("lv_name", ""), set_id)]

    def _volume(self, place: str, what: str) -> dict[str, str]:
        found = self._lvs(place, what)
        if len(found) != 1:
            raise FsSnapshotError(f"{what}: lvs does not know {place}")
        return found[0]

    def _volumes(self, group: str) -> list[dict[str, str]]:
        return self._lvs(group, f"the volumes of {group} can't be listed")

    def _lvs(self, place: str, what: str) -> list[dict[str, str]]:
        words = ["lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "--binary", "-o", _FIELDS, place]
        return parse_volumes(done(self._programs, what, words))

    def _fact(self, mount: Mount, name: str) -> str:
        """What the kernel says of the device that is mounted; empty: it is none of the device mapper."""
        number = f"{os.major(mount.device)}:{os.minor(mount.device)}"
        try:
            with open(f"{self._system}/dev/block/{number}/dm/{name}", encoding="utf-8", errors="replace") as file:
                return file.read(256).strip()
        except OSError:
            return ""


def parse_volumes(text: bytes) -> list[dict[str, str]]:
    """Rows of `lvs --reportformat json`: field -> value. Raises FsSnapshotError for what is none."""
    try:
        rows: Any = json.loads(text)["report"][0]["lv"]
        found = [{str(key): str(value) for key, value in row.items()} for row in rows]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FsSnapshotError("lvs says something that nobody understands") from error
    return found


def _room(facts: Mapping[str, str], what: str) -> int:
    """Bytes for a classic snapshot, whole extents. Raises FsSnapshotError where there are none."""
    try:
        size, free, extent = (int(facts[name]) for name in ("lv_size", "vg_free", "vg_extent_size"))
    except (KeyError, ValueError) as error:
        raise FsSnapshotError(f"{what}: lvs says something that nobody understands") from error
    wanted = -(-size // _SHARE // max(extent, 1)) * extent
    room = min(wanted, free // max(extent, 1) * extent)
    if room <= 0:
        raise FsSnapshotError(
            f"{what}: the volume group {facts.get('vg_name', '')} has no space left for it",
            hint=f"leave a fifth of the volume free in its group, {OR_LIVE}",
        )
    return room


def _volume_of(made: Made) -> str:
    return f"{made.place.partition('/')[0]}/{made.name}"
