"""Open directories along a path, component by component, never through a symlink (DESIGN 6, Reading)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from backupd.source.user_rights import OWN_RIGHTS, SourceRights

ReadAt = tuple[bytes | int, int]
"""A directory that is read in place of another one: its absolute path, or a descriptor; its st_dev, or 0 for any."""

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_SEARCH = getattr(os, "O_PATH", 0x4000_0000)
"""O_PATH; on macOS O_SEARCH, which Python does not name."""
OPEN_WAY = _SEARCH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For directories that are passed through on the way to others: whoever may search but not list them can do that."""


class DirectoryChain:
    """Keeps the descriptors of the last path open, so that the next one costs only its new components.

    Works deeper than PATH_MAX. Not for several threads at once.
    """

    def __init__(self, grafts: Mapping[bytes, ReadAt] | None = None) -> None:
        """grafts: absolute path of a directory -> the one that is opened in its place."""
        self._names: list[bytes] = []
        self._path = b""
        self._grafts = dict(grafts or {})
        top = self._grafts.get(b"/")
        if top is not None:
            self._fds = [open_read_at(top)]
            return
        self._fds = [os.open(b"/", OPEN_WAY)]

    def open(self, path: bytes) -> int:
        """Descriptor of an absolute directory, valid until the next call; it can't be listed. Raises OSError.

        Symlinks are ENOTDIR or ELOOP.
        """
        if path == self._path:
            return self._fds[-1]
        self._path = b""
        names = [name for name in path.split(b"/") if name]
        same = 0
        while same < len(names) and same < len(self._names) and names[same] == self._names[same]:
            same += 1
        while len(self._names) > same:
            os.close(self._fds.pop())
            self._names.pop()
        for name in names[same:]:
            graft = self._graft(name) if self._grafts else None
            fd = os.open(name, OPEN_WAY, dir_fd=self._fds[-1]) if graft is None else open_read_at(graft)
            self._fds.append(fd)
            self._names.append(name)
        self._path = path
        return self._fds[-1]

    def _graft(self, name: bytes) -> ReadAt | None:
        return self._grafts.get(b"/" + b"/".join([*self._names, name]))

    def close(self) -> None:
        """Close all; the object is of no use afterwards."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self._names.clear()


def open_through(path: bytes | int, flags: int = OPEN_WAY) -> int:
    """Descriptor of an absolute directory, no symlink on the way, or of an open one. Raises OSError."""
    if isinstance(path, int):
        return os.open(b".", flags, dir_fd=path)
    chain = DirectoryChain()
    try:
        fd = chain.open(path)
        return os.open(b".", flags, dir_fd=fd)
    finally:
        chain.close()


def open_read_at(place: ReadAt, flags: int = OPEN_WAY) -> int:
    """Descriptor of a directory that is read in place of another one. Raises OSError, also where it was exchanged."""
    where, device = place
    fd = open_through(where, flags)
    if device and os.fstat(fd).st_dev != device:
        os.close(fd)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return fd


def held(grafts: Mapping[bytes, ReadAt], rights: SourceRights) -> dict[bytes, ReadAt]:
    """The grafts for who reads with those rights: of another user's each is opened now, with our own.

    The directories that lead to a snapshot are nobody's but ours; what lies in it is read with the user's rights.
    """
    if rights is OWN_RIGHTS:
        return dict(grafts)
    found: dict[bytes, ReadAt] = {}
    for path, place in grafts.items():
        try:
            found[path] = (open_read_at(place), place[1])
        except OSError:
            # Who comes to it says so.
            found[path] = place
    return found
