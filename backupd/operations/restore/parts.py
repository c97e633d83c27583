"""Files that several tasks write: created and finished by the coordinator, filled by workers."""

from __future__ import annotations

import os

import msgspec

from backupd.model import work
from backupd.operations.restore.planning import FileWish
from backupd.repository.file_writing import wanted_of
from backupd.target.directories import Directories
from backupd.target.files import OpenFile, abandon_file, create_file, extend, finish_file
from backupd.target.owners import OwnerMap


class _PartFile(msgspec.Struct, frozen=True):
    file: OpenFile
    directory_fd: int
    """Our own: a file is finished long after others had their turn."""
    fresh: bool
    identity: tuple[int, int]


class PartFiles:
    """The files that are under way in parts."""

    def __init__(self, directories: Directories, owners: OwnerMap) -> None:
        self._directories, self._owners = directories, owners
        self._open: dict[FileWish, _PartFile] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, wish: FileWish) -> tuple[bytes, tuple[int, int]]:
        """The name a file has for now, and what tells it from others; created at full size the first time.

        Raises TargetError, TargetFullError.
        """
        part = self._open.get(wish)
        if part is None:
            part = self._open[wish] = self._create(wish)
        return part.file.current_name, part.identity

    def finish(self, wish: FileWish) -> list[str]:
        """Give a whole file its metadata and name; returns the losses. Raises TargetError, TargetFullError."""
        part = self._open.pop(wish)
        wanted = wanted_of(wish.entry, wish.xattrs, self._owners)
        try:
            return finish_file(part.directory_fd, part.file, wanted, part.fresh)
        finally:
            os.close(part.directory_fd)

    def abandon(self, wish: FileWish) -> None:
        """Delete a file that will not become whole, if it was created at all."""
        part = self._open.pop(wish, None)
        if part is not None:
            abandon_file(part.directory_fd, part.file)
            os.close(part.directory_fd)

    def abandon_all(self) -> None:
        """Delete all that is not whole."""
        for wish in list(self._open):
            self.abandon(wish)

    def _create(self, wish: FileWish) -> _PartFile:
        entry = wish.entry
        directory_fd = os.dup(self._directories.open(wish.directory))
        try:
            flags = entry.extra.flags if entry.extra is not None else 0
            file = create_file(directory_fd, wish.name, wish.action == work.REPLACE, flags)
            try:
                extend(file.fd, entry.size)
            except BaseException:
                abandon_file(directory_fd, file)
                raise
        except BaseException:
            os.close(directory_fd)
            raise
        stat = os.fstat(file.fd)
        fresh = not self._directories.passes_acl(wish.directory)
        return _PartFile(file, directory_fd, fresh, (stat.st_dev, stat.st_ino))
