"""A directory as a destination: local disks, mounted shares, removable drives."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backupd import durable_io
from backupd.destination.contract import Buffers, ObjectInfo, Traits
from backupd.destination.object_names import temporary_folder
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
    PlaceOccupiedError,
)
from backupd.store_errors import DestinationAbsentError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DEPTH = 3
"""Slashes in the name of an object in a folder of its own kind's, as `<repository>/sessions/<session>/<n>`."""
_UNCACHED_BYTES = 4 << 20
"""Larger objects are blocks, which are seldom read again: they leave the kernel's cache to others."""
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissingError(f"{what} is not there") from error
    except OSError as error:
        text = f"{what}: {os.strerror(error.errno or 0)}"
        if error.errno in _FULL:
            raise DestinationFullError(
                text, hint="make space there; what is stored stays, and the next run goes on from it"
            ) from error
        if error.errno in _REFUSED:
            hint = "mend owner or mode of the directory, or run as its owner"
            raise DestinationRefusedError(text, hint=hint) from error
        raise DestinationError(text) from error


class LocalDestination:
    """A directory. `tag` names this writer's temporary files: `tmp/<tag>-<n>` beside the objects."""

    def __init__(self, path: str, tag: str, *, create: bool = False) -> None:
        """Open the directory; with `create` it is made where its parent exists.

        Raises DestinationUnreachableError (absent, no parent), PlaceOccupiedError (a file), DestinationRefusedError.
        """
        self._path, self._tag = path, tag
        self._numbers = itertools.count(1)
        self._has_create_if_absent = True
        self._known_directories: set[str] = set()
        self._synced_directories: set[str] = set()
        self._temporary_folders: set[str] = set()
        self._may_leave_temporaries = False
        self._open(path, create=create)
        with _translated(path):
            self._device = os.stat(path).st_dev

    @staticmethod
    def _open(path: str, *, create: bool) -> None:
        if os.path.isdir(path):
            return
        if os.path.lexists(path):
            raise PlaceOccupiedError(f"{path} is a file, not a directory", hint="name a directory to keep backups in")
        if not create:
            raise DestinationUnreachableError(f"{path} does not exist", hint="is the disk mounted?")
        if not os.path.isdir(os.path.dirname(path)):
            raise DestinationUnreachableError(
                f"{os.path.dirname(path)} does not exist, so {path} can't be made in it",
                hint="is the disk mounted? Or make the parent directory first",
            )
        with _translated(path):
            os.mkdir(path, 0o700)
            durable_io.sync_directory(os.path.dirname(path))

    @property
    def traits(self) -> Traits:
        """Create-if-absent by link or exclusive rename; found wanting, it is told from then on."""
        return Traits(create_if_absent=self._has_create_if_absent, parallel_calls=True, reports_space=True)

    @property
    def shown(self) -> str:
        """The path."""
        return self._path

    @property
    def may_leave_temporaries(self) -> bool:
        """Whether a folder of temporary files could not be brought to the disk."""
        return self._may_leave_temporaries

    def put(self, name: str, buffers: Buffers) -> None:
        """Write a temporary name, fsync, link to the name, fsync the directory."""
        path = self._full(name)
        folder = self._full(temporary_folder(name))
        self._refuse_other_disk()
        with _translated(path):
            self._make_directory(os.path.dirname(path))
            self._make_directory(folder)
            self._temporary_folders.add(folder)
            temporary = f"{folder}/{self._tag}-{next(self._numbers)}"
            is_large = sum(map(len, buffers)) >= _UNCACHED_BYTES
            durable_io.write_temporary(temporary, buffers, keeps_cached=not is_large)
            try:
                self._publish_again(temporary, path)
            except FileExistsError as error:
                raise ObjectExistsError(f"{path} exists already") from error
            finally:
                if os.path.lexists(temporary):
                    os.unlink(temporary)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read by position; nothing stays open."""
        path = self._full(name)
        with _translated(path):
            # Without waiting: someone may have put a FIFO there.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    raise DestinationError(f"{path} is no file", hint="something else was put in its place")
                if length is None:
                    length = max(0, found.st_size - offset)
                parts: list[bytes] = []
                while length > 0:
                    part = os.pread(fd, length, offset)
                    if not part:
                        break
                    parts.append(part)
                    offset, length = offset + len(part), length - len(part)
            finally:
                os.close(fd)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def size(self, name: str) -> int | None:
        """By stat."""
        path = self._full(name)
        try:
            with _translated(path):
                return os.stat(path).st_size
        except ObjectMissingError:
            return None

    def top_names(self) -> list[str]:
        """What lies in the directory."""
        with _translated(self._path):
            return sorted(os.listdir(self._path))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Walk the folder; temporary names are no objects."""
        folder = self._full(prefix.rstrip("/")) if prefix else self._path
        with _translated(folder):
            yield from self._walk(folder, prefix)

    def delete(self, name: str) -> None:
        """Unlink; a folder below the repository's own that is empty then goes, too: each session has one."""
        path = self._full(name)
        try:
            with _translated(path):
                os.unlink(path)
        except ObjectMissingError:
            return
        if name.count("/") >= _DEPTH:
            folder = os.path.dirname(path)
            with suppress(OSError):
                os.rmdir(folder)
                self._known_directories.discard(folder)

    def free_bytes(self) -> int | None:
        """What the file system gives to this user."""
        with _translated(self._path):
            return shutil.disk_usage(self._path).free

    def close(self) -> None:
        """Nothing stays open. That temporary names are gone is brought to the disk: nobody looks for them later."""
        for folder in self._temporary_folders:
            try:
                durable_io.sync_directory(folder)
            except OSError:
                self._may_leave_temporaries = True
        self._temporary_folders.clear()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove what a dead writer of that tag left in `<folder>/tmp`; returns how many."""
        path = self._full(f"{folder}/tmp")
        count = 0
        if os.path.isdir(path):
            with _translated(path):
                for name in os.listdir(path):
                    if name.startswith(tag + "-"):
                        os.unlink(f"{path}/{name}")
                        count += 1
                if count:
                    durable_io.sync_directory(path)
        return count

    def remove_empty_folders(self, name: str) -> None:
        """Remove the empty folders right below one, which a killed writer made or emptied."""
        path = self._full(name)
        for entry in os.listdir(path) if os.path.isdir(path) else []:
            with suppress(OSError):
                os.rmdir(f"{path}/{entry}")

    def settle_deletions(self, folder: str) -> None:
        """Bring to the disk that names are gone, of a folder and all below it."""
        path = self._full(folder)
        with _translated(path):
            for directory, _, _ in os.walk(path):
                durable_io.sync_directory(directory)
            durable_io.sync_directory(self._path)

    def _refuse_other_disk(self) -> None:
        """Nothing is written where a drive was until a moment ago: it would fill the disk below its mount point."""
        try:
            is_same = os.stat(self._path).st_dev == self._device
        except OSError:
            # What is to be said of that, the call says that comes now.
            return
        if not is_same:
            raise DestinationAbsentError(
                f"{self._path} is absent: its drive was unmounted meanwhile", hint="mount it, then run it again"
            )

    def _full(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _publish_again(self, temporary: str, path: str) -> None:
        """Publish; once more where another process removed the empty folder meanwhile."""
        try:
            self._publish(temporary, path)
        except FileNotFoundError:
            self._known_directories.discard(os.path.dirname(path))
            self._make_directory(os.path.dirname(path))
            self._publish(temporary, path)

    def _publish(self, temporary: str, path: str) -> None:
        if self._has_create_if_absent:
            try:
                durable_io.publish_new(temporary, path)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                self._has_create_if_absent = False
            else:
                return
        durable_io.publish_weakly(temporary, path)

    def _make_directory(self, path: str) -> None:
        if path in self._known_directories:
            return
        parent = os.path.dirname(path)
        if not os.path.isdir(path):
            if len(parent) >= len(self._path) and parent != self._path:
                self._make_directory(parent)
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                if not os.path.isdir(path):
                    raise
            durable_io.sync_directory(parent)
        elif path != self._path and parent not in self._synced_directories:
            # Whoever made it may have been killed before its name was on the disk.
            durable_io.sync_directory(parent)
            self._synced_directories.add(parent)
        self._known_directories.add(path)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "tmp":
                    yield from self._walk(entry.path, name + "/")
            else:
                try:
                    yield ObjectInfo(name, entry.stat(follow_symlinks=False).st_size)
                except FileNotFoundError:
                    continue
