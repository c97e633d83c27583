"""A FUSE file system as a user mounts it, without allow_other: to the kernel it is that user's alone, not even root's.

What `fusermount` does with root's rights, for users who may open /dev/fuse, the test does: the mount names the user as
its owner. A process of that user's serves a few files from memory.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat as modes
import struct
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

_LOOKUP, _FORGET, _GETATTR, _READLINK, _OPEN, _READ = 1, 2, 3, 5, 14, 15
_RELEASE, _FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR = 18, 25, 26, 27, 28, 29
_NO_ANSWER = (_FORGET, 42)
_MOST_BYTES = 1 << 17
LINK = "link-"
"""Names that begin so are of symlinks, their content is where they lead."""
_HEADER = struct.Struct("<IIQQIIII")
"""Length, operation, number, node, uid, gid, pid, padding."""


@contextmanager
def user_mount(path: Path, uid: int, files: Mapping[str, bytes]) -> Generator[Path, None, None]:
    """A mount of user `uid`, whose group has the same number, at an empty directory. files: in its top."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    server = 0
    options = f"fd={device},rootmode=40000,user_id={uid},group_id={uid}".encode()
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"memory", os.fsencode(path), b"fuse.memory", 6, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    try:
        server = os.fork()
        if not server:
            _serve(device, uid, files)
        os.close(device)
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
        if server:
            _end(server)


def _end(server: int) -> None:
    for _ in range(200):
        if os.waitpid(server, os.WNOHANG)[0]:
            return
        time.sleep(0.01)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)


def _serve(device: int, uid: int, files: Mapping[str, bytes]) -> None:
    """Answer until it is unmounted; never returns."""
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        nodes = {number: (name, content) for number, (name, content) in enumerate(files.items(), start=2)}
        while True:
            asked = os.read(device, _MOST_BYTES + 4096)
            _, operation, number, node, asking, *_ = _HEADER.unpack_from(asked)
            if operation in _NO_ANSWER:
                continue
            if operation == _READ and asking != uid:
                # As a server does that goes by who reads, not by who opened.
                answer: bytes | int = errno.EACCES
            else:
                answer = _answer(operation, node, asked[_HEADER.size :], uid, nodes)
            error = -answer if isinstance(answer, int) else 0
            body = answer if isinstance(answer, bytes) else b""
            os.write(device, struct.pack("<IiQ", 16 + len(body), error, number) + body)
    finally:
        os._exit(0)


def _answer(
    operation: int, node: int, body: bytes, uid: int, nodes: dict[int, tuple[str, bytes]]
) -> bytes | int:
    """What the kernel gets; a number is that of an error."""
    if operation == _INIT:
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, _MOST_BYTES, 0, 16, 12, _MOST_BYTES, 1, 32, 0, 0)
    if operation == _LOOKUP:
        name = body.rstrip(b"\0").decode()
        found = next((number for number, (one, _) in nodes.items() if one == name), None)
        if found is None:
            return errno.ENOENT
        return struct.pack("<QQQQII", found, 0, 60, 60, 0, 0) + _stat(found, uid, nodes)
    if operation == _GETATTR:
        return struct.pack("<QII", 60, 0, 0) + _stat(node, uid, nodes)
    if operation in (_OPEN, _OPENDIR):
        return struct.pack("<QII", 0, 0, 0)
    if operation in (_READ, _READLINK):
        _, offset, size = struct.unpack_from("<QQI", body) if operation == _READ else (0, 0, _MOST_BYTES)
        return nodes[node][1][offset : offset + size]
    if operation == _READDIR:
        return b"" if struct.unpack_from("<QQ", body)[1] else _listed(nodes)
    return b"" if operation in (_RELEASE, _RELEASEDIR, _FLUSH) else errno.ENOSYS


def _listed(nodes: dict[int, tuple[str, bytes]]) -> bytes:
    entries = b""
    for at, (number, (name, _)) in enumerate(nodes.items(), start=1):
        raw = name.encode()
        kind = modes.S_IFLNK if name.startswith(LINK) else modes.S_IFREG
        entry = struct.pack("<QQII", number, at, len(raw), kind >> 12) + raw
        entries += entry + b"\0" * (-len(entry) % 8)
    return entries


def _stat(node: int, uid: int, nodes: dict[int, tuple[str, bytes]]) -> bytes:
    is_top = node == 1
    size = 0 if is_top else len(nodes[node][1])
    is_link = not is_top and nodes[node][0].startswith(LINK)
    mode = modes.S_IFDIR | 0o700 if is_top else modes.S_IFLNK | 0o777 if is_link else modes.S_IFREG | 0o600
    when = 1_600_000_000
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 1, when, when, when, 0, 0, 0, mode, 1, uid, uid, 0, 4096, 0)
