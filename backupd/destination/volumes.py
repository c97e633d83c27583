"""Which file system a directory lies on, and where that one is mounted now (FEATURES 2.12, 4.1).

A backup that is written below a mount point while nothing is mounted there fills the wrong disk and is not where it is
looked for. So a place is used only on the file system that it was made on.
"""

from __future__ import annotations

import fcntl
import os
import plistlib
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from xml.parsers.expat import ExpatError

from backupd.destination.device_ids import device_ids, device_number
from backupd.model.places import lies_in
from backupd.model.store_access import Volume
from backupd.source.mounts import Mount, read_mounts
from backupd.store_errors import DestinationAbsentError

ROOTS = frozenset({"/", "/System/Volumes/Data"})
"""Mount points of the system's own disk."""

_GET_UUID = 0x80111500
"""FS_IOC_GETFSUUID of Linux 6.9: a length, then up to 16 bytes."""
_DISKUTIL_SECONDS = 20.0


def remember(place: str, *, is_removable: bool) -> Volume | None:
    """What to know a directory's file system by; None where the system doesn't tell what is mounted.

    On the system's own disk nothing is remembered: `mount_point` is one of ROOTS and the id is None.
    """
    mounts, path = _mounts_for(place), os.path.realpath(place)
    mount = mount_over(path, mounts)
    if mount is None or not _is_text(mount.path, mount.root, os.fsencode(path)):
        return None
    point = os.fsdecode(mount.path)
    if point in ROOTS:
        return Volume(place=place, mount_point=point, path=path, is_removable=is_removable)
    below = path[len(point) :]
    return Volume(
        place=place,
        mount_point=point,
        id=_id_of(mount, device_ids()),
        path=os.fsdecode(mount.root).rstrip("/") + below or "/",
        is_removable=is_removable,
    )


def locate(place: str, volume: Volume) -> str:
    """Where a place is now. place: the volume's, or a directory in it. Raises DestinationAbsentError."""
    if not lies_in(place, volume.place):
        return place
    mounts = _mounts_for(volume.place)
    here = mount_over(os.path.realpath(volume.place), mounts)
    if here is None:
        return place
    if volume.is_removable and volume.id is not None:
        ids = device_ids()
        if _id_of(here, ids) == volume.id:
            return place
        found = _found(volume, mounts, ids)
        if found is None:
            raise _absent(volume, f"the drive {volume.id} is not mounted", "plug it in and mount it, wherever you like")
        return found + place[len(volume.place.rstrip("/")) :]
    if volume.is_removable and os.fsdecode(here.path) in ROOTS:
        raise _absent(volume, "it would lie on the system's own disk", "mount the drive there")
    if not volume.is_removable and _is_above(os.fsdecode(here.path), volume.mount_point):
        found = _found(volume, mounts, device_ids()) if volume.id is not None else None
        way = f"--place {found}, or --removable" if found else f"--place {volume.place}"
        hint = f"mount it; where the backup has moved for good: bkctl destination edit NAME {way}"
        raise _absent(volume, f"nothing is mounted on {volume.mount_point}, where it lay", hint)
    return place


def mount_over(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a real path lies on; of two on one path the later one shows."""
    raw = os.fsencode(path).rstrip(b"/") + b"/"
    over = [mount for mount in mounts if raw.startswith(mount.path.rstrip(b"/") + b"/")]
    return max(reversed(over), key=lambda mount: len(mount.path), default=None)


def parse_disk_information(text: bytes) -> str | None:
    """The volume's UUID in what macOS's `diskutil info -plist` says."""
    try:
        found = plistlib.loads(text)
    except (ValueError, ExpatError, RecursionError, OverflowError):
        return None
    value = found.get("VolumeUUID") if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None


def _mounts_for(place: str) -> list[Mount]:
    # An automatic mount comes when it is asked for.
    with suppress(OSError):
        os.stat(place)
    return read_mounts()


def _found(volume: Volume, mounts: Sequence[Mount], ids: dict[int, str]) -> str | None:
    """The directory, where its file system is mounted anywhere: best where it is, else where it can be made."""
    paths: list[str] = []
    for mount in mounts:
        root = os.fsdecode(mount.root).rstrip("/")
        if (volume.path + "/").startswith(root + "/") and _id_of(mount, ids) == volume.id:
            paths.append(os.fsdecode(mount.path).rstrip("/") + volume.path[len(root) :].rstrip("/"))
    ranked = [one for one in paths if os.path.isdir(one)] or [one for one in paths if os.path.isdir(_parent(one))]
    return next(iter(ranked or paths), None)


def _parent(path: str) -> str:
    return os.path.dirname(path)


def _is_above(mount: str, lost: str) -> bool:
    """Whether a mount is one that shows where a lost one lay."""
    return mount != lost and (lost + "/").startswith(mount.rstrip("/") + "/")


def _absent(volume: Volume, reason: str, hint: str) -> DestinationAbsentError:
    return DestinationAbsentError(f"{volume.place} is absent: {reason}", hint=hint)


def _is_text(*paths: bytes) -> bool:
    """Whether paths can be kept as text."""
    try:
        for path in paths:
            path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _id_of(mount: Mount, ids: dict[int, str]) -> str | None:
    """The id of a mounted file system; servers' and made-up ones have none."""
    if not mount.source.startswith(b"/dev/") or mount.is_network:
        return None
    if sys.platform == "darwin":
        return _id_by_diskutil(os.fsdecode(mount.path))
    # The number in the mount table is none of a device for btrfs.
    number = device_number(mount.source)
    known = ids.get(mount.device) or (ids.get(number) if number is not None else None)
    return known or _id_by_kernel(mount)


def _id_by_kernel(mount: Mount) -> str | None:
    """The UUID that the file system itself tells, where nobody keeps a list of devices."""
    if mount.type.startswith("fuse"):
        return None
    answer = bytearray(17)
    try:
        fd = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _GET_UUID, answer)
        finally:
            os.close(fd)
    except OSError:
        return None
    length = answer[0]
    return str(uuid.UUID(bytes=bytes(answer[1:17]))) if length == 16 else bytes(answer[1 : 1 + length]).hex() or None


def _id_by_diskutil(point: str) -> str | None:
    try:
        done = subprocess.run(
            ["/usr/sbin/diskutil", "info", "-plist", point], capture_output=True, check=False, timeout=_DISKUTIL_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_disk_information(done.stdout)
