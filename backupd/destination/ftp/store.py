"""A folder of an FTP server, over TLS, as a destination."""

from __future__ import annotations

import ftplib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from backupd.destination.bounds import MAX_FOLDERS, MAX_OBJECT_BYTES
from backupd.destination.contract import Buffers, ObjectInfo, Opening, Traits
from backupd.destination.ftp.connection import Connection, Server, Tls
from backupd.destination.ftp.errors import Spoken, code_of, is_denied, is_full
from backupd.destination.ftp.listing import MAX_LISTING_BYTES, Entry, entries, entry_of, is_empty
from backupd.destination.ftp.pool import Pool
from backupd.destination.network_door import TimeLimits, refuse_plaintext, refuse_proxy, user_and_password
from backupd.destination.object_names import MAX_DEPTH, can_be_ours, check_path, temporary_folder
from backupd.destination.tls import verifying_context
from backupd.errors import (
    DestinationError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
    PlaceOccupiedError,
    UsageError,
)
from backupd.model.places import PlaceUrl
from backupd.store_errors import (
    ReadOnlyStoreError,
    StoreAnswerError,
    StoreFolderError,
)

_DEPTH = 3
"""Slashes in the name of an object in a folder of its own kind's, as `<repository>/sessions/<session>/<n>`."""
_LARGE_BYTES = 1 << 20
"""An object so large is not sent before its name is known to be free."""
_PORTS: dict[Tls, int] = {"explicit": 21, "implicit": 990, "none": 21}
_REFUSALS = ("501", "550", "553")


def open_ftp(url: PlaceUrl, opening: Opening) -> FtpStore:
    """Open `ftps://[USER@]HOST[:PORT]/PATH[?tls=implicit]`, or `ftp://…` where plaintext is allowed.

    The credentials' text: `user = …` and `password = …`, or the bare password where the address names the user.
    """
    return open_with_limits(url, opening, TimeLimits())


def open_with_limits(url: PlaceUrl, opening: Opening, limits: TimeLimits) -> FtpStore:
    """Open with other time limits than the usual ones."""
    tls = _tls(url)
    if tls == "none":
        refuse_plaintext(opening, "ftps")
    check_path(url)
    refuse_proxy(opening, "FTP's data connections do not go through a proxy")
    user, password = user_and_password(url, opening)
    context = verifying_context(opening.access.ca_file)
    server = Server(url.host, url.port or _PORTS[tls], tls, user, password, context, limits, opening.pace)
    return FtpStore(server, url.path, opening)


def _tls(url: PlaceUrl) -> Tls:
    if url.scheme == "ftp":
        url.check_options()
        return "none"
    url.check_options("tls")
    if (chosen := url.options.get("tls", "explicit")) not in ("explicit", "implicit"):
        raise UsageError(f"tls={chosen}: is no kind of TLS", hint="it is explicit (the usual one) or implicit")
    return "implicit" if chosen == "implicit" else "explicit"


class FtpStore:
    """A folder on an FTP server; paths begin at the root that the login sees."""

    def __init__(self, server: Server, path: str, opening: Opening) -> None:
        """Log in once and look for the folder; with `create` it is made where its parent exists."""
        self._path, self._opening = path, opening
        self._spoken = Spoken(opening.place, (server.password,))
        self._pool = Pool(server)
        self._numbers = itertools.count(1)
        self._known_folders: set[str] = set()
        self._left_over: set[str] = set()
        try:
            with self._connection() as connection:
                self._look(connection)
        except BaseException:
            self._pool.close()
            raise

    @property
    def traits(self) -> Traits:
        """FTP knows no create-if-absent: a rename may replace, and what says that a name is free is a moment old."""
        return Traits(create_if_absent=False, parallel_calls=True, reports_space=False)

    @property
    def shown(self) -> str:
        """The address."""
        return self._opening.place

    @property
    def may_leave_temporaries(self) -> bool:
        """Whether a temporary file could not be removed."""
        return bool(self._left_over)

    def put(self, name: str, buffers: Buffers) -> None:
        """Send under a temporary name, compare the size, rename where nothing has the name."""
        path = self._full(name)
        folder = self._full(temporary_folder(name))
        temporary = f"{folder}/{self._opening.tag}-{next(self._numbers)}"
        size_bytes = sum(map(len, buffers))
        with self._connection() as connection, self._writing(connection):
            if size_bytes >= _LARGE_BYTES:
                self._expect_free(connection, path)
            self._make_folder(connection, _parent(path))
            self._make_folder(connection, folder)
            try:
                connection.send(f"STOR {temporary}", buffers)
                self._expect_size(connection, temporary, size_bytes)
                self._publish_again(connection, temporary, path)
            except BaseException:
                self._remove_temporary(connection, temporary)
                raise

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """From the offset on; the data connection is closed when enough has come."""
        path = self._full(name)
        with self._connection() as connection:
            if length == 0:
                self._expect_size(connection, path, None)
                return b""
            try:
                found = connection.receive(f"RETR {path}", offset, MAX_OBJECT_BYTES + 1 if length is None else length)
            except ftplib.error_perm as error:
                size = self._size(connection, path)
                if size is None and not is_denied(error):
                    raise ObjectMissingError(f"{self.shown}: {name} is not there") from error
                if size is not None and offset and offset >= size:
                    return b""
                raise
        if length is None and len(found) > MAX_OBJECT_BYTES:
            raise StoreAnswerError(f"{self.shown}: {name} has no end", hint="is it an FTP server?")
        return found

    def size(self, name: str) -> int | None:
        """As the server says."""
        with self._connection() as connection:
            return self._size(connection, self._full(name))

    def top_names(self) -> list[str]:
        """What lies in the folder."""
        with self._connection() as connection:
            if self._kind(connection, self._path or "/") != "dir":
                raise DestinationUnreachableError(f"{self.shown} is not there", hint="was the folder removed?")
            return sorted(entry.name for entry in self._entries(connection, self._path or "/"))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Walk the folder; temporary names are no objects, other people's names are passed over."""
        waiting, folder_count = [prefix], 1
        while waiting:
            folder = waiting.pop()
            with self._connection() as connection:
                found = self._entries(connection, self._full(folder.rstrip("/")) if folder else self._path or "/")
            for entry in found:
                if not can_be_ours(entry.name):
                    continue
                if not entry.is_folder:
                    yield ObjectInfo(folder + entry.name, entry.size_bytes)
                elif entry.name != "tmp" and folder.count("/") < MAX_DEPTH:
                    if (folder_count := folder_count + 1) > MAX_FOLDERS:
                        raise StoreAnswerError(f"{self.shown}: folders without end", hint="was a link made there?")
                    waiting.append(f"{folder}{entry.name}/")

    def delete(self, name: str) -> None:
        """Remove; a folder below the repository's own that is empty then goes, too: each session has one."""
        path = self._full(name)
        with self._connection() as connection:
            try:
                connection.voidcmd(f"DELE {path}")
            except ftplib.error_perm:
                if self._size(connection, path) is not None:
                    raise
                return
            if name.count("/") >= _DEPTH:
                self._remove_folder(connection, _parent(path))

    def free_bytes(self) -> int | None:
        """FTP does not say."""
        return None

    def close(self) -> None:
        """Remove what broken connections left, as far as the server lets; log out."""
        if self._left_over:
            with suppress(DestinationError), self._connection() as connection:
                for temporary in [*self._left_over]:
                    self._remove_temporary(connection, temporary)
        self._pool.close()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove what a dead writer of that tag left in `<folder>/tmp`; returns how many."""
        path = self._full(f"{folder}/tmp")
        with self._connection() as connection:
            dead = [entry.name for entry in self._entries(connection, path) if entry.name.startswith(tag + "-")]
            for name in dead:
                connection.voidcmd(f"DELE {path}/{name}")
        return len(dead)

    def remove_empty_folders(self, name: str) -> None:
        """Remove the empty folders right below one, which a killed writer made or emptied."""
        path = self._full(name)
        with self._connection() as connection:
            for entry in self._entries(connection, path):
                if entry.is_folder and can_be_ours(entry.name):
                    self._remove_folder(connection, f"{path}/{entry.name}")

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._spoken.translated(), self._pool.connection() as connection:
            yield connection

    @contextmanager
    def _writing(self, connection: Connection) -> Iterator[None]:
        """A refusal while something is written says that the place is gone, or takes nothing."""
        try:
            yield
        except ftplib.error_perm as error:
            if code_of(error) not in _REFUSALS or is_full(error) or not connection.is_between:
                raise
            translated = self._spoken.of_reply(error)
            if self._kind(connection, self._path or "/") != "dir":
                raise DestinationUnreachableError(
                    f"{self.shown} is no longer there", hint="was the folder removed?"
                ) from error
            raise ReadOnlyStoreError(
                translated.message, hint="give the user the right to write, make folders and rename there"
            ) from error

    def _full(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _look(self, connection: Connection) -> None:
        """Raises what speaks against the place."""
        features = ""
        with suppress(ftplib.error_perm):
            features = connection.sendcmd("FEAT").upper()
        if " MLST" not in features:
            raise DestinationRefusedError(
                f"{self.shown}: the server has no MLSD, and other listings are for people only",
                hint="take a server with RFC 3659 (ProFTPD, Pure-FTPd, FileZilla Server), or SFTP",
            )
        kind = self._kind(connection, self._path or "/")
        if kind == "file":
            raise PlaceOccupiedError(f"{self.shown} is a file, not a folder", hint="name a folder to keep backups in")
        if kind == "dir":
            return
        parent = _parent(self._path) or "/"
        if not self._opening.create:
            raise StoreFolderError(f"{self.shown} does not exist", hint="look at the path, as this login sees it")
        if self._kind(connection, parent) != "dir":
            raise StoreFolderError(
                f"{self.shown}: {parent} does not exist, so nothing can be made in it",
                hint="make it first; the path begins at the root that this login sees",
            )
        with self._writing(connection):
            self._make_folder(connection, self._path)

    def _kind(self, connection: Connection, path: str) -> str | None:
        """`dir`, `file`, or None where nothing is."""
        try:
            lines = connection.sendcmd(f"MLST {path}").splitlines()
        except ftplib.error_perm as error:
            if is_denied(error):
                raise
            return None
        entry = entry_of(lines[1].strip()) if len(lines) > 1 else None
        if entry is None:
            # It may be the reply to something else.
            connection.drop()
            raise StoreAnswerError(f"{self.shown}: MLST is not answered as RFC 3659 says", hint="is it an FTP server?")
        return "dir" if entry.is_folder else "file"

    def _size(self, connection: Connection, path: str) -> int | None:
        try:
            return connection.size(path)
        except ftplib.error_perm as error:
            if is_denied(error):
                raise
            return None

    def _expect_free(self, connection: Connection, path: str) -> None:
        if self._size(connection, path) is not None:
            raise ObjectExistsError(f"{self.shown}: {path[len(self._path) + 1 :]} exists already")

    def _expect_size(self, connection: Connection, path: str, size_bytes: int | None) -> None:
        found = self._size(connection, path)
        if found is None:
            raise ObjectMissingError(f"{self.shown}: {path[len(self._path) + 1 :]} is not there")
        if size_bytes is not None and found != size_bytes:
            raise StoreAnswerError(
                f"{self.shown}: of {size_bytes} bytes {found} were stored",
                hint="is the disk full there, or a transfer limit set?",
            )

    def _entries(self, connection: Connection, path: str) -> Sequence[Entry]:
        try:
            listing = connection.receive(f"MLSD {path}", 0, MAX_LISTING_BYTES)
        except ftplib.error_perm:
            if self._kind(connection, path) != "dir":
                return []
            raise
        if len(listing) == MAX_LISTING_BYTES:
            raise StoreAnswerError(f"{self.shown}: the listing of {path} has no end", hint="is it an FTP server?")
        return [*entries(listing)]

    def _make_folder(self, connection: Connection, path: str) -> None:
        if path in self._known_folders or not path:
            return
        if self._kind(connection, path) is None:
            if len(path) > len(self._path):
                self._make_folder(connection, _parent(path))
            try:
                connection.voidcmd(f"MKD {path}")
            except ftplib.error_perm:
                # Another writer may have been first.
                if self._kind(connection, path) != "dir":
                    raise
        self._known_folders.add(path)

    def _publish_again(self, connection: Connection, temporary: str, path: str) -> None:
        """Publish; once more where another process removed the empty folder meanwhile."""
        try:
            self._publish(connection, temporary, path)
        except ftplib.error_perm:
            if self._kind(connection, _parent(path)) is not None:
                raise
            self._known_folders.discard(_parent(path))
            self._make_folder(connection, _parent(path))
            self._publish(connection, temporary, path)

    def _publish(self, connection: Connection, temporary: str, path: str) -> None:
        self._expect_free(connection, path)
        connection.rename(temporary, path)

    def _remove_temporary(self, connection: Connection, path: str) -> None:
        if connection.is_between:
            with suppress(ftplib.Error, OSError, EOFError, ValueError):
                with suppress(ftplib.error_perm):
                    connection.voidcmd(f"DELE {path}")
                if self._size(connection, path) is None:
                    self._left_over.discard(path)
                    return
        self._left_over.add(path)

    def _remove_folder(self, connection: Connection, path: str) -> None:
        """Remove an empty folder: some servers would remove a full one, too."""
        with suppress(ftplib.error_perm):
            if is_empty(connection.receive(f"MLSD {path}", 0, MAX_LISTING_BYTES)):
                connection.voidcmd(f"RMD {path}")
                self._known_folders.discard(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
