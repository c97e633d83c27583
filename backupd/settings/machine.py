"""Which machine this is, told from a copy of it: by the id of the installed system, and by the hardware.

A container tells nothing: its id comes with its image, or is another one at each start.
"""

from __future__ import annotations

import ctypes
import os
import sys

from blake3 import blake3

_CONTAINERS = ("run/.containerenv", ".dockerenv", "var/run/secrets/kubernetes.io")
_INSTALLED = ("etc/machine-id", "var/lib/dbus/machine-id")
_HARDWARE = "sys/class/dmi/id/product_uuid"
"""That only root may read; a copied virtual machine has another one."""
_MOST_BYTES = 256
_UNSET = frozenset({b"", b"uninitialized"})


def machine_fingerprint(root: str = "/") -> str:
    """32 hex digits that no other machine has; empty where none can be told. root: where the system's files lie.

    From it nobody learns the ids that it is made of.
    """
    if sys.platform == "darwin":
        return _digest(_hardware_of_macos())
    if any(os.path.lexists(os.path.join(root, name)) for name in _CONTAINERS):
        return ""
    installed = next((text for name in _INSTALLED if (text := _read(root, name)) not in _UNSET), b"")
    return _digest(installed + b"\0" + _read(root, _HARDWARE)) if installed else ""


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
