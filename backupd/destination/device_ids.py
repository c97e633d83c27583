"""Ids of file systems by the number of their device, as the system lists them (Linux)."""

from __future__ import annotations

import os
from contextlib import suppress

_BY_ID = "/dev/disk/by-uuid"
_DEVICES = "/sys/class/block"
_DATABASE = "/run/udev/data"
_MOST_BYTES = 64 << 10
_MAPPED = b"/dev/mapper/"
_KEY = b"E:ID_FS_UUID_ENC="


def device_ids(by_id: str = _BY_ID, devices: str = _DEVICES, database: str = _DATABASE) -> dict[int, str]:
    """Number of a device -> id of its file system.

    From the links in `by_id`; a service to which systemd shows no devices finds the same in udev's database.
    """
    found: dict[int, str] = {}
    try:
        for name in os.listdir(by_id):
            with suppress(OSError):
                found[os.stat(f"{by_id}/{name}").st_rdev] = name
    except OSError:
        with suppress(OSError):
            for name in os.listdir(devices):
                number = listed_number(f"{devices}/{name}/dev")
                known = _id_in(f"{database}/b{os.major(number)}:{os.minor(number)}") if number is not None else None
                if number is not None and known:
                    found[number] = known
    return found


def device_number(path: bytes, devices: str = _DEVICES) -> int | None:
    """Number of the device at a path such as /dev/sda1 or /dev/mapper/vg-home, which need not be shown."""
    try:
        return os.stat(path).st_rdev
    except OSError:
        name = os.fsdecode(os.path.basename(path))
        if path.startswith(_MAPPED):
            return _mapped_number(name, devices)
        return listed_number(f"{devices}/{name}/dev")


def _mapped_number(name: str, devices: str) -> int | None:
    """Of what the device mapper made (LVM, LUKS): the system lists it by a number, its name stands in a file."""
    with suppress(OSError):
        for listed in os.listdir(devices):
            with suppress(OSError), open(f"{devices}/{listed}/dm/name", "rb") as file:
                if os.fsdecode(file.read(_MOST_BYTES).removesuffix(b"\n")) == name:
                    return listed_number(f"{devices}/{listed}/dev")
    return None


def listed_number(path: str) -> int | None:
    """The number that a `dev` file of the system says; None: it says none."""
    try:
        with open(path, "rb") as file:
            major, _, minor = file.read(64).partition(b":")
        return os.makedev(int(major), int(minor))
    except (OSError, ValueError, OverflowError):
        return None


def _id_in(path: str) -> str | None:
    """The id of a file system in an entry of udev's database."""
    try:
        with open(path, "rb") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return None
    return next((os.fsdecode(line.removeprefix(_KEY)) for line in lines if line.startswith(_KEY)), None)
