"""What the presets of streams write that have no program of their own: SQLite databases, devices, this machine."""

from __future__ import annotations

import os
import sqlite3
import stat as modes
import subprocess
import tempfile
from collections.abc import Callable
from urllib.parse import quote

from backupd.command_errors import CommandRefusedError

_READ_BYTES = 1 << 20
_BUSY_SECONDS = 60.0
_COMMAND_SECONDS = 60
_BLOCK_COLUMNS = "NAME,TYPE,SIZE,FSTYPE,LABEL,UUID,PARTUUID,MOUNTPOINT"
_SYSTEM_COMMANDS = (
    ("system", ["uname", "-a"]),
    ("packages", ["dpkg-query", "-W", "-f", "${binary:Package}\\t${Version}\\t${Status}\\n"]),
    ("packages asked for", ["apt-mark", "showmanual"]),
    ("packages", ["rpm", "-qa"]),
    ("packages", ["pacman", "-Q"]),
    ("packages", ["apk", "info", "-v"]),
    ("packages", ["brew", "list", "--versions"]),
    ("partitions", ["sfdisk", "--dump"]),
    ("block devices", ["lsblk", "--bytes", "--paths", "--output", _BLOCK_COLUMNS]),
    ("mounts", ["findmnt", "--raw", "--output", "TARGET,SOURCE,FSTYPE,OPTIONS"]),
    ("logical volumes", ["lvs", "--reportformat", "basic"]),
    ("arrays", ["mdadm", "--detail", "--scan"]),
    ("pools", ["zpool", "status"]),
    ("users", ["getent", "passwd"]),
    ("groups", ["getent", "group"]),
    ("boot entries", ["efibootmgr", "--verbose"]),
    ("services", ["systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--no-pager"]),
)
"""What answers on a machine without one of these is left out."""
_SYSTEM_FILES = (
    "/etc/os-release",
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/hostname",
    "/etc/default/grub",
    "/etc/kernel/cmdline",
    "/proc/cmdline",
    "/proc/modules",
)
_MOST_FILE_BYTES = 1 << 20


class DumpError(Exception):
    """What was asked for can't be written out whole."""


def dump_sqlite(path: str, out: int) -> None:
    """Write a copy of a SQLite database that is consistent, whoever writes to it meanwhile. Raises DumpError, OSError.

    The copy lies in the directory for temporary files until it is written.
    """
    if not os.path.isfile(path):
        raise DumpError(f"{path}: no such database")
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        try:
            source = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
            target = sqlite3.connect(copy)
            try:
                source.backup(target)
                found = target.execute("PRAGMA quick_check(1)").fetchone()
                if found != ("ok",):
                    raise DumpError(f"{path}: its copy is damaged: {found[0] if found else 'it says nothing'}")
                # A copy of one in WAL mode would want a log beside it.
                target.execute("PRAGMA journal_mode = DELETE").fetchone()
            finally:
                target.close()
                source.close()
        except sqlite3.Error as error:
            raise DumpError(f"{path}: {error}") from error
        _copy(copy, out)


def dump_device(path: str, out: int) -> None:
    """Write all bytes of a block device, or of an image in a file. Raises DumpError, OSError."""
    if not os.path.exists(path):
        raise DumpError(f"{path}: no such device")
    if not modes.S_ISBLK(os.stat(path).st_mode) and not modes.S_ISREG(os.stat(path).st_mode):
        raise DumpError(f"{path} is neither a block device nor an image in a file")
    _copy(path, out)


def dump_system(out: int, find: Callable[[str], str | None], tell: Callable[[str], None]) -> None:
    """Write a text of what this machine is made of: packages, partitions, mounts, users, boot settings.

    find: the path of a program that may be run; None: there is none, and nothing is missing; raises
    CommandRefusedError for one that is there and may not be run. tell: gets the line that stands in its place then.
    """
    for title, words in _SYSTEM_COMMANDS:
        head = f"=== {title}: {' '.join(words)}\n".encode()
        try:
            program = find(words[0])
        except CommandRefusedError as error:
            line = f"what {words[0]} says is left out: {error.message}" + f"; {error.hint}" * bool(error.hint)
            tell(line)
            _write(out, head + os.fsencode(line) + b"\n\n")
            continue
        if program is None:
            continue
        try:
            done = subprocess.run(
                [program, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.stdout:
            _write(out, head + done.stdout.rstrip(b"\n") + b"\n\n")
    for path in _SYSTEM_FILES:
        try:
            with open(path, "rb") as file:
                content = file.read(_MOST_FILE_BYTES)
        except OSError:
            continue
        _write(out, f"=== {path}\n".encode() + content.rstrip(b"\n") + b"\n\n")


def _copy(path: str, out: int) -> None:
    with open(path, "rb", buffering=0) as file:
        while part := file.read(_READ_BYTES):
            _write(out, part)


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
