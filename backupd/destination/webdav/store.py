"""A folder of a WebDAV server as a destination."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from backupd.destination.bounds import MAX_FOLDERS
from backupd.destination.contract import Buffers, ObjectInfo, Opening, Traits
from backupd.destination.network_door import TimeLimits, refuse_plaintext, user_and_password
from backupd.destination.object_names import MAX_DEPTH, can_be_ours, check_path, is_plain, temporary_folder
from backupd.destination.tls import verifying_context
from backupd.destination.webdav.http import Answer, Client, Server
from backupd.destination.webdav.listing import QUESTION, Entry, Listing, below
from backupd.destination.webdav.login import Login
from backupd.errors import (
    DestinationError,
    DestinationFullError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
    PlaceOccupiedError,
    UsageError,
)
from backupd.model.places import PlaceUrl
from backupd.store_errors import ReadOnlyStoreError, StoreAnswerError, StoreFolderError

_LARGE_BYTES = 1 << 20
"""An object so large is not sent before its name is known to be free."""


def open_webdav(url: PlaceUrl, opening: Opening) -> WebdavStore:
    """Open `webdavs://[USER@]HOST[:PORT]/PATH`, or `webdav://…` where plaintext is allowed.

    The credentials' text: `user = …` and `password = …`, or the bare password where the address names the user.
    """
    return open_with_limits(url, opening, TimeLimits())


def open_with_limits(url: PlaceUrl, opening: Opening, limits: TimeLimits) -> WebdavStore:
    """Open with other time limits than the usual ones."""
    url.check_options()
    is_plaintext = url.scheme == "webdav"
    if is_plaintext:
        refuse_plaintext(opening, "webdavs")
    check_path(url)
    user, password = user_and_password(url, opening)
    if ":" in user:
        raise UsageError("the user's name holds a colon", hint="HTTP has no way to say such a name")
    context = None if is_plaintext else verifying_context(opening.access.ca_file)
    port = url.port or (80 if is_plaintext else 443)
    login = Login(user, password)
    proxy = opening.access.proxy
    server = Server(opening.place, url.host, port, context, limits, login.secrets, opening.pace, proxy)
    return WebdavStore(Client(server, login), url.path, opening)


class WebdavStore:
    """A folder on a WebDAV server."""

    def __init__(self, client: Client, path: str, opening: Opening) -> None:
        """Ask for the folder; with `create` it is made where its parent exists."""
        self._client, self._path, self._opening = client, path, opening
        self._numbers = itertools.count(1)
        self._known_folders: set[str] = set()
        self._left_over: set[str] = set()
        self._lock = threading.Lock()
        self._keeps_taken_names: bool | None = None
        try:
            self._reports_space = self._look().free_bytes is not None
        except BaseException:
            client.close()
            raise

    @property
    def traits(self) -> Traits:
        """Servers look whether a name is free, then move: two of them at once may both be told that it was."""
        return Traits(create_if_absent=False, parallel_calls=True, reports_space=self._reports_space)

    @property
    def shown(self) -> str:
        """The address."""
        return self._opening.place

    @property
    def may_leave_temporaries(self) -> bool:
        """Whether a temporary file could not be removed."""
        return bool(self._left_over)

    def put(self, name: str, buffers: Buffers) -> None:
        """Send under a temporary name, compare the size, move where nothing has the name."""
        path = self._full(name)
        folder = self._full(temporary_folder(name))
        size_bytes = sum(map(len, buffers))
        if size_bytes >= _LARGE_BYTES and self._entry(path) is not None:
            raise self._exists(name)
        self._make_folder(_parent(path))
        self._make_folder(folder)
        if self._keeps_taken_names is None:
            self._find_out(folder)
        temporary = self._temporary(folder)
        try:
            self._send(temporary, buffers, size_bytes)
            self._publish(temporary, path, name)
        except BaseException:
            self._remove_temporary(temporary)
            raise

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """By a range; a server that sends everything is cut short."""
        path = self._full(name)
        if length == 0:
            if self._entry(path) is None:
                raise self._missing(name)
            return b""
        end = "" if length is None else str(offset + length - 1)
        headers = {} if not offset and length is None else {"Range": f"bytes={offset}-{end}"}
        with self._client.asked("GET", path, headers) as answer:
            if answer.status == 404:
                raise self._missing(name)
            if answer.status == 416:
                return b""
            if answer.status == 206:
                self._check_range(answer, offset)
                return answer.read(length)
            if answer.status != 200:
                raise self._client.error("GET", answer)
            left = offset
            while left and (skipped := answer.read(min(left, 1 << 18))):
                left -= len(skipped)
            return answer.read(length)

    def size(self, name: str) -> int | None:
        """As the server says."""
        entry = self._entry(self._full(name))
        return None if entry is None or entry.is_folder else self._size_of(entry)

    def top_names(self) -> list[str]:
        """What lies in the folder."""
        entries = self._listed(self._path, "1")
        if entries is None:
            raise DestinationUnreachableError(f"{self.shown} is not there", hint="was the folder removed?")
        return sorted(name for name in below(entries, self._path) if is_plain(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Walk the folder; temporary names are no objects, other people's names are passed over."""
        waiting, folder_count = [prefix], 1
        while waiting:
            folder = waiting.pop()
            path = self._full(folder.rstrip("/")) if folder else self._path
            for name, entry in below(self._listed(path, "1") or [], path).items():
                if not can_be_ours(name):
                    continue
                if not entry.is_folder:
                    yield ObjectInfo(folder + name, self._size_of(entry))
                elif name != "tmp" and folder.count("/") < MAX_DEPTH:
                    if (folder_count := folder_count + 1) > MAX_FOLDERS:
                        raise StoreAnswerError(f"{self.shown}: folders without end", hint="was a link made there?")
                    waiting.append(f"{folder}{name}/")

    def delete(self, name: str) -> None:
        """Remove. Its folder stays: WebDAV removes a folder with all that another writer has just put into it."""
        self._delete(self._full(name))

    def free_bytes(self) -> int | None:
        """What the server says is left of the quota (RFC 4331)."""
        if not self._reports_space:
            return None
        entry = self._entry(self._path, is_folder=True)
        return None if entry is None else entry.free_bytes

    def close(self) -> None:
        """Remove what broken connections left, as far as the server lets."""
        with suppress(DestinationError):
            for temporary in [*self._left_over]:
                if self._delete(temporary):
                    self._left_over.discard(temporary)
        self._client.close()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove what a dead writer of that tag left in `<folder>/tmp`; returns how many."""
        path = self._full(f"{folder}/tmp")
        found = below(self._listed(path, "1") or [], path)
        dead = [name for name in found if name.startswith(tag + "-") and can_be_ours(name)]
        for name in dead:
            self._delete(f"{path}/{name}")
        return len(dead)

    def remove_empty_folders(self, name: str) -> None:
        """Nothing: see `delete`."""

    def _full(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _temporary(self, folder: str) -> str:
        return f"{folder}/{self._opening.tag}-{next(self._numbers)}"

    def _exists(self, name: str) -> ObjectExistsError:
        return ObjectExistsError(f"{self.shown}: {name} exists already")

    def _missing(self, name: str) -> ObjectMissingError:
        return ObjectMissingError(f"{self.shown}: {name} is not there")

    def _look(self) -> Entry:
        """The folder itself; made if wished. Raises what speaks against it."""
        found = self._entry(self._path, is_folder=True)
        if found is None and self._opening.create:
            parent = _parent(self._path)
            if self._entry(parent, is_folder=True) is None:
                raise StoreFolderError(
                    f"{self.shown}: {parent or '/'} does not exist, so nothing can be made in it",
                    hint="make it first, or look at the path: often it begins as /remote.php/dav/files/USER",
                )
            self._make_folder(self._path)
            found = self._entry(self._path, is_folder=True)
        if found is None:
            raise StoreFolderError(
                f"{self.shown} does not exist",
                hint="look at the path: often it begins as /remote.php/dav/files/USER",
            )
        if not found.is_folder:
            raise PlaceOccupiedError(f"{self.shown} is a file, not a folder", hint="name a folder to keep backups in")
        return found

    def _entry(self, path: str, *, is_folder: bool = False) -> Entry | None:
        """One resource, None where nothing is. is_folder: it is asked for as one."""
        entries = self._listed(path, "0", slash="/" if is_folder else "")
        if entries is None and is_folder and path:
            # With a slash some servers find no file.
            entries = self._listed(path, "0", slash="")
        return entries[0] if entries else None

    def _listed(self, path: str, depth: str, slash: str = "/") -> Sequence[Entry] | None:
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        with self._client.asked("PROPFIND", path + slash, headers, [QUESTION]) as answer:
            if answer.status == 404:
                return None
            if answer.status != 207:
                raise self._client.error("PROPFIND", answer)
            listing = Listing()
            for part in answer.parts():
                listing.feed(part)
            return listing.close()

    def _size_of(self, entry: Entry) -> int:
        if entry.size_bytes is None:
            raise StoreAnswerError(f"{self.shown}: the server tells no sizes", hint="is it a WebDAV server?")
        return entry.size_bytes

    def _check_range(self, answer: Answer, offset: int) -> None:
        if not answer.headers.get("Content-Range", "").strip().startswith(f"bytes {offset}-"):
            raise StoreAnswerError(f"{self.shown}: the server sends another range than was asked for")

    def _send(self, path: str, buffers: Buffers, size_bytes: int) -> None:
        try:
            self._write(path, buffers)
        except DestinationUnreachableError:
            # The server may still be at it: the name can come after it was found to be free.
            self._left_over.add(path)
            raise
        except DestinationError as error:
            raise self._cause(error, path, size_bytes) from error
        entry = self._entry(path)
        found = None if entry is None else entry.size_bytes
        if found != size_bytes:
            raise StoreAnswerError(
                f"{self.shown}: of {size_bytes} bytes {found or 0} were stored",
                hint="is the disk full there, or a limit of a proxy between?",
            )

    def _write(self, path: str, buffers: Buffers) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        with self._client.asked("PUT", path, headers, buffers) as answer:
            if not 200 <= answer.status < 300 or answer.status == 207:
                raise self._client.error("PUT", answer)

    def _cause(self, error: DestinationError, path: str, size_bytes: int) -> DestinationError:
        """Few servers answer a full disk with 507: rclone says 405, wsgidav 500."""
        if type(error) not in (DestinationError, ReadOnlyStoreError):
            return error
        is_full = False
        with suppress(DestinationError):
            if (free := self.free_bytes()) is not None:
                is_full = free < size_bytes
            elif isinstance(error, ReadOnlyStoreError) and size_bytes > 1:
                self._write(path, [b"1"])
                is_full = True
        if not is_full:
            return error
        return DestinationFullError(
            f"{error.message}, and takes less than these {size_bytes} bytes",
            hint="make space or raise the quota or the limit of one object; what is stored stays",
        )

    def _move(self, source: str, target: str) -> int:
        """Status of a move that may take no taken name; 423: another writer's move to it is under way."""
        headers = {"Destination": self._client.address(target), "Overwrite": "F"}
        with self._client.asked("MOVE", source, headers) as answer:
            if answer.status == 404:
                # A proxy that asked twice hears this of a move that was done: whoever tries again finds out.
                raise DestinationUnreachableError(
                    f"{self.shown}: what was sent is no longer under its temporary name",
                    hint="look into the log of the server, or of a proxy between",
                )
            if answer.status not in (201, 204, 409, 412, 423):
                raise self._client.error("MOVE", answer)
            return answer.status

    def _publish(self, temporary: str, path: str, name: str) -> None:
        """Move; once more where somebody removed the folder meanwhile."""
        if not self._keeps_taken_names and self._entry(path) is not None:
            raise self._exists(name)
        status = self._move(temporary, path)
        if status == 409:
            self._known_folders.discard(_parent(path))
            self._make_folder(_parent(path))
            status = self._move(temporary, path)
        if status == 412 or (status == 423 and self._entry(path) is not None):
            raise self._exists(name)
        if status not in (201, 204):
            raise self._client.error_of("MOVE", status)

    def _find_out(self, folder: str) -> None:
        """Whether `Overwrite: F` keeps a taken name. Else each name is looked for before something is moved to it."""
        with self._lock:
            if self._keeps_taken_names is not None:
                return
            first, second = self._temporary(folder), self._temporary(folder)
            try:
                self._send(first, [b"1"], 1)
                self._send(second, [b"22"], 2)
                entry = self._entry(second) if self._move(first, second) == 412 else None
                self._keeps_taken_names = entry is not None and entry.size_bytes == 2
            finally:
                self._remove_temporary(first)
                self._remove_temporary(second)

    def _make_folder(self, path: str) -> None:
        if path in self._known_folders or not path:
            return
        if self._entry(path, is_folder=True) is None:
            if len(path) > len(self._path):
                self._make_folder(_parent(path))
            with self._client.asked("MKCOL", path + "/") as answer:
                # Where another writer was first, some servers say 405, some 500.
                if answer.status != 201 and self._entry(path, is_folder=True) is None:
                    raise self._client.error("MKCOL", answer)
        self._known_folders.add(path)

    def _delete(self, path: str) -> bool:
        """Whether it was there."""
        with self._client.asked("DELETE", path) as answer:
            if not (200 <= answer.status < 300 or answer.status == 404) or answer.status == 207:
                raise self._client.error("DELETE", answer)
            return answer.status != 404

    def _remove_temporary(self, path: str) -> None:
        """What a broken connection keeps from being removed is tried once more at the end."""
        try:
            if self._delete(path):
                self._left_over.discard(path)
        except DestinationError:
            self._left_over.add(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
