"""What a set says of snapshots of file systems."""

from __future__ import annotations

from typing import Literal

FsSnapshot = Literal["off", "auto", "btrfs", "zfs", "lvm", "apfs"]
FsSnapshotFallback = Literal["fail", "live"]
SNAPSHOTS_NAME = ".backupd-snapshots"
"""Directory at the top of a file system of btrfs in which its snapshots stand; never backed up."""
