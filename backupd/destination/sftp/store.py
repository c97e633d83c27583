"""A directory behind an SSH server: `sftp://[USER@]HOST[:PORT]/PATH`, `/~/PATH` below the login's home."""

from __future__ import annotations

import itertools
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from backupd.destination.contract import Buffers, ObjectInfo, Opening, Traits
from backupd.destination.object_names import can_be_ours, is_plain, temporary_folder
from backupd.destination.sftp import protocol, ssh_host_keys
from backupd.destination.sftp.connections import Connections
from backupd.destination.sftp.errors import refusal_of_change, translated
from backupd.destination.sftp.listing import objects_below
from backupd.destination.sftp.protocol import StatusError
from backupd.destination.sftp.session import HARDLINK, STATVFS, LostError, Session
from backupd.destination.sftp.ssh_connection import Server, SftpLimits
from backupd.destination.sftp.ssh_logins import login_of
from backupd.errors import (
    DestinationError,
    DestinationUnreachableError,
    ObjectExistsError,
    PlaceOccupiedError,
    UsageError,
)
from backupd.model.places import PlaceUrl
from backupd.store_errors import StoreFolderError

_PORT = 22
_DEPTH = 3
"""Slashes in the name of an object in a folder of its own kind's, as `<repository>/sessions/<session>/<n>`."""


def open_sftp(url: PlaceUrl, opening: Opening) -> SftpStore:
    """Open an `sftp://` place. Raises UsageError, PlaceOccupiedError, HostKeyUnknownError, DestinationError."""
    return SftpStore(url, opening)


class SftpStore:
    """A directory there; temporary names are `tmp/<tag>-<n>`, as in a local one."""

    def __init__(self, url: PlaceUrl, opening: Opening, limits: SftpLimits | None = None) -> None:
        """Connect, check the host key, log in and look whether the directory is there, or make it."""
        url.check_options()
        self._place, self._tag = opening.place, opening.tag
        self._base = _base(url)
        self._numbers = itertools.count(1)
        self._strays: set[str] = set()
        """Temporary names that may be there."""
        self._synced: set[str] = set()
        self._may_leave_temporaries = False
        self._probing = threading.Lock()
        self._is_probed = False
        port = url.port or _PORT
        known = ssh_host_keys.vouched(url.host, port, opening.access.host_key, _known_hosts(opening))
        login = login_of(url.user, opening.access.credentials)
        limits = limits or SftpLimits()
        server = Server(opening.place, url.host, port, login, known, limits, opening.pace, opening.access.proxy)
        self._connections = Connections(server)
        self._has_space = self._has_create_if_absent = False
        try:
            with translated(opening.place):
                self._connections.run(lambda session: self._enter(session, create=opening.create))
        except BaseException:
            self._connections.close()
            raise

    @property
    def traits(self) -> Traits:
        """Create-if-absent where OpenSSH's rename stands on links; found wanting, it is told from then on."""
        return Traits(self._has_create_if_absent, parallel_calls=True, reports_space=self._has_space)

    @property
    def shown(self) -> str:
        """The address."""
        return self._place

    @property
    def may_leave_temporaries(self) -> bool:
        """Whether a temporary name could not be removed."""
        return self._may_leave_temporaries

    def put(self, name: str, buffers: Buffers) -> None:
        """Write a temporary name, fsync, rename, which fails where the name exists, fsync the directory."""
        with translated(self._what(name)):
            self._connections.run(lambda session: self._put(session, name, buffers))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Many reads at once; the file is closed afterwards."""
        with translated(self._what(name)):
            try:
                return self._connections.run(lambda session: _read(session, self._full(name), offset, length))
            except _NoFileError as error:
                hint = "something else was put in its place"
                raise DestinationError(f"{self._what(name)} is no file", hint=hint) from error

    def size(self, name: str) -> int | None:
        """By lstat: what is no file is no object."""
        with translated(self._what(name)):
            found = self._connections.run(lambda session: session.look(self._full(name)))
        return found.size_bytes if found is not None and found.is_file else None

    def top_names(self) -> list[str]:
        """What lies in the directory."""
        with translated(self._place):
            ((_, entries),) = self._connections.run(lambda session: [*session.folders([self._base])])
        if entries is None:
            raise DestinationUnreachableError(f"{self._place} is gone", hint="is the disk mounted there?")
        return sorted(entry.name for entry in entries if is_plain(entry.name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Walk the folders, several at once; temporary names, links and strangers' names are no objects."""
        with translated(self._what(prefix)):
            yield from self._connections.run(lambda session: objects_below(session, self._base, prefix, self._place))

    def delete(self, name: str) -> None:
        """Remove; a folder below the repository's own that is empty then goes, too: each session has one."""

        def remove(session: Session) -> None:
            try:
                session.remove(self._full(name))
            except StatusError as error:
                if error.code == protocol.NO_SUCH_FILE or session.look(self._full(name)) is None:
                    return
                raise self._refused(session, error, name) from error
            if name.count("/") >= _DEPTH:
                with suppress(StatusError):
                    session.remove_folder(posixpath.dirname(self._full(name)))

        with translated(self._what(name)):
            self._connections.run(remove)

    def free_bytes(self) -> int | None:
        """What the file system gives to this user, by statvfs@openssh.com."""
        with translated(self._place):
            space = self._connections.run(lambda session: session.space(self._base))
        return None if space is None else space.free_bytes

    def close(self) -> None:
        """Remove temporary names where a connection still stands, then end all connections."""
        strays = sorted(self._strays)

        def remove(session: Session) -> bool:
            for name in strays:
                self._remove(session, name)
            return True

        if strays:
            try:
                self._may_leave_temporaries |= not self._connections.run_if_open(remove)
            except (DestinationError, StatusError, LostError, protocol.SftpFormatError):
                self._may_leave_temporaries = True
            self._strays.clear()
        self._connections.close()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove what a dead writer of that tag left in `<folder>/tmp`; returns how many."""
        name = f"{folder}/tmp"

        def remove(session: Session) -> int:
            ((path, entries),) = session.folders([self._full(name)])
            found = [entry.name for entry in entries or () if entry.name.startswith(tag + "-")]
            for entry in found:
                if is_plain(entry):
                    try:
                        session.remove(f"{path}/{entry}")
                    except StatusError as error:
                        if error.code != protocol.NO_SUCH_FILE:
                            raise self._refused(session, error, name) from error
            if found:
                session.sync_folders([path])
            return len(found)

        with translated(self._what(name)):
            return self._connections.run(remove)

    def remove_empty_folders(self, name: str) -> None:
        """Remove the empty folders right below one, which a killed writer made or emptied."""

        def remove(session: Session) -> None:
            ((path, entries),) = session.folders([self._full(name)])
            for entry in entries or ():
                if entry.attributes.is_folder and can_be_ours(entry.name):
                    with suppress(StatusError):
                        session.remove_folder(f"{path}/{entry.name}")

        with translated(self._what(name)):
            self._connections.run(remove)

    def _enter(self, session: Session, *, create: bool) -> None:
        self._has_space = STATVFS in session.extensions
        self._has_create_if_absent = self._connections.is_openssh and HARDLINK in session.extensions
        base = self._base
        found = session.follow(base)
        if found is None and create:
            parent = posixpath.dirname(base) or "."
            if session.follow(parent) is None:
                raise StoreFolderError(
                    f"{self._place}: the directory that is to hold it does not exist",
                    hint="is the disk mounted there? Or make the parent directory first",
                )
            try:
                session.make_folder(base)
            except StatusError as error:
                if session.follow(base) is None:
                    raise self._refused(session, error, "") from error
            session.sync_folders([parent])
        elif found is None:
            hint = "is the path right, and the disk mounted there? (/~/x lies below the login's home)"
            raise StoreFolderError(f"{self._place} does not exist", hint=hint)
        elif found.permissions is not None and not found.is_folder:
            hint = "name a directory to keep backups in"
            raise PlaceOccupiedError(f"{self._place} is a file, not a directory", hint=hint)

    def _put(self, session: Session, name: str, buffers: Buffers) -> None:
        folder = self._full(temporary_folder(name))
        size = sum(map(len, buffers))
        temporary = ""
        try:
            self._probe_once(session, folder)
            temporary = self._temporary(folder)
            self._in_folder(session, folder, lambda: session.write_file(temporary, buffers))
            self._publish(session, temporary, name)
        except StatusError as error:
            refused = self._refused(session, error, name, size)
            self._remove(session, temporary)
            raise refused from error
        except ObjectExistsError:
            self._remove(session, temporary)
            raise
        self._strays.discard(temporary)

    def _publish(self, session: Session, temporary: str, name: str) -> None:
        path = self._full(name)
        folder = posixpath.dirname(path)
        unsynced = [folder, *(above for above in self._above(folder) if above not in self._synced)]

        def rename() -> None:
            if not self._has_create_if_absent and session.look(path) is not None:
                raise ObjectExistsError(f"{self._what(name)} exists already")
            try:
                session.rename(temporary, path, unsynced)
            except StatusError as error:
                if error.code != protocol.PERMISSION_DENIED and session.look(path) is not None:
                    raise ObjectExistsError(f"{self._what(name)} exists already") from error
                if error.code != protocol.NO_SUCH_FILE and session.look(folder) is None:
                    raise StatusError(protocol.NO_SUCH_FILE, "") from error
                raise

        self._in_folder(session, folder, rename)
        self._synced.update(unsynced[1:])

    def _in_folder(self, session: Session, folder: str, action: Callable[[], None]) -> None:
        """Make the folder where the action finds that it is missing: most of the time it is there."""
        try:
            action()
        except StatusError as error:
            if error.code != protocol.NO_SUCH_FILE:
                raise
            self._make_folder(session, folder)
            action()

    def _make_folder(self, session: Session, folder: str) -> None:
        if len(folder) <= len(self._base):
            raise StatusError(protocol.NO_SUCH_FILE, "")
        try:
            session.make_folder(folder)
        except StatusError as error:
            if error.code == protocol.NO_SUCH_FILE:
                self._make_folder(session, posixpath.dirname(folder))
                self._make_folder(session, folder)
                return
            if session.follow(folder) is None:
                raise
        session.sync_folders([posixpath.dirname(folder)])

    def _probe_once(self, session: Session, folder: str) -> None:
        """OpenSSH renames by link and unlink, but looks and renames where the disk has no links: that can overwrite."""
        with self._probing:
            if self._is_probed or not self._has_create_if_absent:
                return
            first, second = self._temporary(folder), self._temporary(folder)
            self._in_folder(session, folder, lambda: session.write_file(first, []))
            try:
                session.link(first, second)
            except StatusError:
                self._has_create_if_absent = False
            else:
                try:
                    session.rename(first, second)
                except StatusError:
                    pass
                else:
                    self._has_create_if_absent = False
            self._remove(session, first)
            self._remove(session, second)
            self._is_probed = True

    def _remove(self, session: Session, temporary: str) -> None:
        """Remove a temporary name of ours; one that can't be is told at the end."""
        if not temporary:
            return
        try:
            session.remove(temporary)
        except StatusError as error:
            if error.code != protocol.NO_SUCH_FILE:
                self._may_leave_temporaries = True
        self._strays.discard(temporary)

    def _refused(self, session: Session, error: StatusError, name: str, size_bytes: int = 0) -> DestinationError:
        is_openssh = self._connections.is_openssh
        base = self._base
        return refusal_of_change(session, self._what(name), base, error, size_bytes, is_openssh=is_openssh)

    def _temporary(self, folder: str) -> str:
        name = f"{folder}/{self._tag}-{next(self._numbers)}"
        self._strays.add(name)
        return name

    def _above(self, folder: str) -> Iterator[str]:
        """The directories from above one up to the place's own."""
        while len(folder) > len(self._base) + 1:
            folder = posixpath.dirname(folder)
            yield folder or "/"

    def _full(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    def _what(self, name: str) -> str:
        return f"{name.rstrip('/')} at {self._place}" if name else self._place


class _NoFileError(Exception):
    """Something else than a file has an object's name."""


def _read(session: Session, path: str, offset: int, length: int | None) -> bytes:
    data = session.read_file(path, offset, length)
    if data is None:
        raise _NoFileError
    return data


def _base(url: PlaceUrl) -> str:
    """The directory as it is sent: absolute without a last slash, or relative to the login's home."""
    if not url.path:
        raise UsageError(f"sftp://{url.host} names no directory", hint="sftp://USER@HOST/srv/backup, or /~/backup")
    if url.path == "/~":
        return "."
    if url.path.startswith("/~/"):
        return "./" + posixpath.normpath(url.path[3:])
    if url.path.startswith("/~"):
        raise UsageError(f"{url.path}: other users' homes have no short name", hint="write the whole path from / on")
    return posixpath.normpath("/" + url.path.lstrip("/"))


def _known_hosts(opening: Opening) -> bytes:
    """The file that was named, else the user's own and the system's, as far as they are there."""
    access = opening.access
    if access.host_key is not None:
        return b""
    if access.known_hosts is not None:
        try:
            with open(access.known_hosts, "rb") as file:
                return file.read(ssh_host_keys.MAX_BYTES)
        except OSError as error:
            message = f"{access.known_hosts}: {os.strerror(error.errno or 0)}"
            raise UsageError(message, hint="name a file that ssh-keyscan or ssh has written") from error
    found = b""
    for path in (os.path.expanduser("~/.ssh/known_hosts"), "/etc/ssh/ssh_known_hosts"):
        try:
            with open(path, "rb") as file:
                found += file.read(ssh_host_keys.MAX_BYTES) + b"\n"
        except OSError:
            continue
    return found
