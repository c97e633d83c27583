"""Which machine this is, told from a copy of it: by the id of the installed system, and by the hardware.

A container tells nothing: its id comes with its image, or is another one at each start.
"""

from __future__ import annotations

import ctypes
import os
import sys

from blake3 import blake3

_CONTAINERS = ("run/.containerenv", ".dockerenv", "var/run/secrets/kubernetes.io")
_MOUNTS = "proc/self/mountinfo"
_SNAPSHOTTER = b"io.containerd."
"""containerd by itself leaves no mark in a container, but in where the root's files lie."""
_INSTALLED = ("etc/machine-id", "var/lib/dbus/machine-id")
_HARDWARE = "sys/class/dmi/id/product_uuid"
"""That only root may read; a copied virtual machine has another one."""
_MOST_BYTES = 256
_MOST_MOUNT_BYTES = 1 << 20
_UNSET = frozenset({b"", b"uninitialized"})


def machine_fingerprint(root: str = "/") -> str:
    """32 hex digits that no other machine has; empty where none can be told. root: where the system's files lie.

    From it nobody learns the ids that it is made of.
    """
    if sys.platform == "darwin":
        return _digest(_hardware_of_macos())
    if any(os.path.lexists(os.path.join(root, name)) for name in _CONTAINERS) or _is_of_containerd(root):
        return ""
    installed = next((text for name in _INSTALLED if (text := _read(root, name)) not in _UNSET), b"")
    return _digest(installed + b"\0" + _read(root, _HARDWARE)) if installed else ""


def _is_of_containerd(root: str) -> bool:
    """Whether the root directory is one that containerd made: an overlay of its directories, or one of them."""
    try:
        with open(os.path.join(root, _MOUNTS), "rb") as file:
            lines = file.read(_MOST_MOUNT_BYTES).split(b"\n")
    except OSError:
        return False
    return any(line.split(b" ", 5)[4:5] == [b"/"] and _SNAPSHOTTER in line for line in lines)


def _digest(identity: bytes) -> str:
    return blake3(b"backupd machine\0" + identity).hexdigest(16) if identity else ""


def _read(root: str, name: str) -> bytes:
    try:
        with open(os.path.join(root, name), "rb") as file:
            return file.read(_MOST_BYTES).strip().lower()
    except OSError:
        return b""


def _hardware_of_macos() -> bytes:
    identity, no_time = ctypes.create_string_buffer(16), (ctypes.c_long * 2)(0, 0)
    call = getattr(ctypes.CDLL(None), "gethostuuid", None)
    return identity.raw if call is not None and call(identity, no_time) == 0 else b""
