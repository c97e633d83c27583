"""What is mounted where, and where the system swaps: read once at a run's start, for `rules.left_out` and the walk."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Sequence

import msgspec

from backupd.errors import BackupError
from backupd.model import mount_table
from backupd.mount_identity import mount_number
from backupd.source.user_rights import OWN_RIGHTS, SourceRights

NETWORK_TYPES = frozenset(
    {
        "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.cephfs", "fuse.curlftpfs",
        "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.gvfsd-fuse", "fuse.moosefs", "fuse.mfs",
        "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.smbnetfs", "fuse.sshfs", "fuse.juicefs", "glusterfs",
        "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs", "virtiofs",
        "webdav",
    }
)  # fmt: skip
"""File systems that another machine may change without this one's time stamps or caches knowing at once."""

_MACOS_SWAP = b"/private/var/vm"
_MNT_RDONLY = 0x1
_MNT_LOCAL = 0x1000
_MNT_NOWAIT = 2
# struct statfs of macOS with 64-bit inodes: the fields up to f_fssubtype, then type, mount point, mounted from.
_STATFS = struct.Struct("=I i Q Q Q Q Q i i I I I I 16s 1024s 1024s 32x")


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One mounted file system."""

    path: bytes
    device: int
    """st_dev of its root; btrfs subvolumes show others of their own."""
    type: str
    is_network: bool
    source: bytes = b""
    """What is mounted, as a device's path."""
    root: bytes = b"/"
    """The directory of the file system that shows at the path; another one of bind mounts and subvolumes."""
    number: int = 0
    """As /proc/self/mountinfo has it; 0: the system has none."""
    is_writable: bool = True
    """Whether the file system may be written to, here or elsewhere."""


def read_mounts() -> list[Mount]:
    """All mounts in the order they were made, so of two on one path the later one shows.

    Empty where the system doesn't tell (no /proc). Raises BackupError when its answer can't be read.
    """
    if sys.platform == "darwin":
        return parse_statfs(_getfsstat())
    try:
        with open(mount_table.TABLE, "rb") as file:
            return parse_mountinfo(file.read())
    except FileNotFoundError:
        return []


def swap_files() -> list[bytes]:
    """Paths of the files that the system swaps to."""
    if sys.platform == "darwin":
        try:
            return [os.path.join(_MACOS_SWAP, name) for name in os.listdir(_MACOS_SWAP) if name.startswith(b"swapfile")]
        except OSError:
            return []
    try:
        with open("/proc/swaps", "rb") as file:
            return parse_swaps(file.read())
    except OSError:
        return []


def parse_mountinfo(text: bytes) -> list[Mount]:
    """Read /proc/self/mountinfo (proc_pid_mountinfo(5)). Raises BackupError for a line that is none."""
    mounts = []
    for row in mount_table.parse_mountinfo(text):
        kind = row.type.decode("ascii", "replace")
        is_web = kind == "fuse" and row.source.startswith((b"http://", b"https://"))
        mounts.append(
            Mount(
                path=row.path,
                device=row.device,
                type=kind,
                is_network=kind in NETWORK_TYPES or is_web,
                source=row.source,
                root=row.root,
                number=row.number,
                is_writable=row.is_writable,
            )
        )
    return mounts


def parse_swaps(text: bytes) -> list[bytes]:
    """The files, not the partitions, of /proc/swaps (proc_swaps(5))."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [mount_table.unescaped(row[0]) for row in rows if len(row) > 1 and row[1] == b"file"]


def parse_statfs(raw: bytes) -> list[Mount]:
    """Read an array of macOS's struct statfs (statfs(2))."""
    mounts = []
    for fields in _STATFS.iter_unpack(raw[: len(raw) // _STATFS.size * _STATFS.size]):
        device, flags, kind, path = fields[7], fields[11], fields[13], fields[14]
        name = kind.partition(b"\0")[0].decode("ascii", "replace")
        mounts.append(
            Mount(
                path=path.partition(b"\0")[0],
                device=device,
                type=name,
                is_network=name in NETWORK_TYPES or not flags & _MNT_LOCAL,
                source=fields[15].partition(b"\0")[0],
                is_writable=not flags & _MNT_RDONLY,
            )
        )
    return mounts


def _getfsstat() -> bytes:
    """The kernel's mount table, without asking file systems, so that a dead server can't hang it."""
    library = ctypes.CDLL(None, use_errno=True)
    # On Intel the plain name is the old structure with 32-bit inodes.
    call = getattr(library, "getfsstat$INODE64", None) or library.getfsstat
    room = call(None, 0, _MNT_NOWAIT) + 8
    buffer = ctypes.create_string_buffer(_STATFS.size * room)
    found = call(buffer, len(buffer), _MNT_NOWAIT)
    if found < 0:
        raise BackupError(f"can't read the mount table: {os.strerror(ctypes.get_errno())}")
    return buffer.raw[: found * _STATFS.size]


def shown_elsewhere(mount: Mount, mounts: Iterable[Mount]) -> bytes | None:
    """The place at which the same files show by a mount with a shorter path, as those of a bind mount do."""
    for one in mounts:
        above = one.root.rstrip(b"/") + b"/"
        if one.device == mount.device and (mount.root + b"/").startswith(above) and len(one.path) < len(mount.path):
            return os.path.normpath(one.path + b"/" + mount.root[len(above) - 1 :]).replace(b"//", b"/")
    return None


def shows(mount: Mount) -> bool:
    """Whether a mount is the one that shows at its path: another one may have been mounted over it."""
    number = number_at(mount.path)
    return mount.number == number if number else True


def mount_at(path: bytes, mounts: Sequence[Mount], rights: SourceRights = OWN_RIGHTS) -> int | None:
    """Index of the mount on which a path lies; None: there is none. rights: with which the path is looked at."""
    number = number_at(path, rights)
    if number:
        return next((at for at, mount in enumerate(mounts) if mount.number == number), None)
    try:
        device = rights.do(os.stat, path, follow_symlinks=False).st_dev
    except OSError:
        return None
    # Of firm links the device alone tells where they lead.
    found = [at for at, mount in enumerate(mounts) if mount.device == device]
    return max(found, key=lambda at: len(mounts[at].path), default=None)


def number_at(path: bytes, rights: SourceRights = OWN_RIGHTS) -> int:
    """Number of the mount that shows at a path; 0 where that can't be told."""
    try:
        fd = rights.do(os.open, path, getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return mount_number(fd)
    finally:
        os.close(fd)
