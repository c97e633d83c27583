"""What is left out of every backup unless it is named outright (FEATURES 2.14).

Pseudo file systems, swap, secrets that systemd decrypted for services, and what belongs to backupd itself: its state,
keys, caches, temporary files and any local destination. Nothing else: tmpfs and ramfs hold files that somebody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PSEUDO_TYPES = frozenset(
    {
        "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devfs",
        "devpts", "devtmpfs", "dlmfs", "efivarfs", "functionfs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal",
        "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "pidfs", "proc", "procfs", "pstore", "resctrl", "rpc_pipefs",
        "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs", "usbfs", "xenfs",
    }
)  # fmt: skip
"""File systems whose files nobody wrote: views of the kernel, of other mounts or of other machines."""

_DEVICES = b"/dev"
"""Whatever is mounted there, as the tmpfs of a service to which systemd shows no devices."""
_CREDENTIALS = b"/run/credentials"
"""In memory alone, so that they are on no disk."""


def pseudo_mounts(mounts: Iterable[tuple[bytes, str]]) -> dict[bytes, str]:
    """The mount points that show a pseudo file system, with its type.

    mounts: path and type in the order they were mounted; what was mounted last on a path is what shows.
    """
    return {path: kind for path, kind in dict(mounts).items() if kind in PSEUDO_TYPES or path == _DEVICES}


class LeftOut:
    """Tells for each path of a walk, in one look-up, whether it is left out and why.

    Only the top of what is left out is known, for a walk that doesn't enter it meets nothing below; a source named
    outright below it, or being it, is never asked for.
    """

    def __init__(
        self,
        own_paths: Iterable[bytes] = (),
        pseudo: Mapping[bytes, str] | None = None,
        swap_files: Iterable[bytes] = (),
        own_identities: Iterable[tuple[int, int]] = (),
    ) -> None:
        """own_paths: real, absolute. pseudo: of `pseudo_mounts`. own_identities: device and inode of own paths."""
        self._reasons: dict[bytes, str] = {_CREDENTIALS: "secrets that systemd gives to services"}
        self._reasons.update((path, f"pseudo file system ({kind})") for path, kind in (pseudo or {}).items())
        self._reasons.update((path, "swap file") for path in swap_files)
        self._reasons.update((_trimmed(path), "backupd's own data") for path in own_paths)
        self._identities = frozenset(own_identities)

    def is_left_out(self, path: bytes) -> str | None:
        """Why this path is left out; None: it is not. path: absolute, no trailing slash."""
        return self._reasons.get(path)

    def is_within(self, path: bytes) -> bool:
        """Whether a path is left out or lies in what is. path: absolute."""
        while path.strip(b"/"):
            if path in self._reasons:
                return True
            path = path.rpartition(b"/")[0]
        return False

    def is_own(self, device: int, inode: int) -> str | None:
        """The same for a directory met under another path, through a link above the source or a bind mount."""
        return "backupd's own data" if (device, inode) in self._identities else None

    def inside(self, sources: Iterable[bytes]) -> list[bytes]:
        """Left out paths that lie below these sources, in byte order: what a run is to say beforehand."""
        tops = [_trimmed(source).rstrip(b"/") + b"/" for source in sources]
        return sorted(path for path in self._reasons if any(path.startswith(top) and path != top for top in tops))


def _trimmed(path: bytes) -> bytes:
    return path.rstrip(b"/") or b"/"
