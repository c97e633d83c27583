"""Any remote of the user's rclone configuration as a store: `rclone:REMOTE:PATH`."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any
from urllib.parse import quote

import msgspec

from backupd.destination.bounds import LEAST_BYTES_A_SECOND, MAX_OBJECT_BYTES
from backupd.destination.contract import Buffers, ObjectInfo, Opening, Traits
from backupd.destination.object_names import is_object_name, temporary_folder
from backupd.destination.pacing import DOWN, UP
from backupd.destination.rclone.calls import CALL_SECONDS, LISTING_SECONDS, RcloneCalls
from backupd.destination.rclone.child import options_from_environment
from backupd.destination.rclone.limiting import Limiter
from backupd.destination.rclone.listing import Entry, entries
from backupd.destination.rclone.remote import Remote, checked
from backupd.errors import BackupError, DestinationError, ObjectExistsError, ObjectMissingError
from backupd.model.places import PlaceUrl
from backupd.store_errors import StoreAnswerError, StoreFolderError

_BRIEF = {"noModTime": True, "noMimeType": True}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_MOST_DOUBLES = 16
_HASHES = ("md5", "sha1", "sha256")
"""Those that stores keep and Python knows."""
_REST_BYTES = 4096
_SHARERS = 16
"""Of one limit, so many at most at a time."""


def open_rclone(url: PlaceUrl, opening: Opening) -> RcloneStore:
    """Open a place on a remote; its folder must be there, or with `create` what holds it.

    Raises UsageError, PlaceOccupiedError, DestinationError.
    """
    return RcloneStore(Remote.parse(url), opening)


class RcloneStore:
    """A folder of a remote, reached by an rclone of its own."""

    def __init__(self, remote: Remote, opening: Opening) -> None:
        """Starts rclone, asks what the remote can do, and whether the folder is there."""
        self._shown, self._tag = opening.place, opening.tag
        self._numbers = itertools.count(1)
        self._may_leave_temporaries = False
        self._calls = RcloneCalls(opening.place, remote.name, opening.access)
        self._pace = opening.pace
        self._limiter = Limiter(opening.pace, self._tell_limit) if opening.pace is not None else None
        try:
            self._find(remote, opening)
        except BaseException:
            self._calls.close()
            raise

    @property
    def traits(self) -> Traits:
        """No remote of rclone creates only if absent."""
        return Traits(create_if_absent=False, parallel_calls=True, reports_space=self._reports_space)

    @property
    def shown(self) -> str:
        """The place as it was written."""
        return self._shown

    @property
    def may_leave_temporaries(self) -> bool:
        """Whether a temporary name could not be removed, or rclone ended while one was there."""
        return self._may_leave_temporaries

    def put(self, name: str, buffers: Buffers) -> None:
        """Look whether the name is free, give rclone a private file to copy; a temporary name where writes show early.

        A file and no stream: rclone takes a stream that breaks off for a short one, and publishes what came.
        """
        if self.size(name) is not None:
            raise ObjectExistsError(f"{self._shown}/{name} exists already")
        folder = self._calls.folder
        spooled = f"upload-{next(self._numbers)}"
        try:
            sent = _write(f"{folder}/{spooled}", buffers, self._hash)
            self._upload(folder, spooled, name, sent)
        except ObjectMissingError as error:
            raise DestinationError(f"{self._shown}/{name}: the upload was lost on its way") from error
        except OSError as error:
            text = f"no copy of an object can be made in {folder}: {error.strerror}"
            raise DestinationError(text, hint="make space there, or set TMPDIR") from error
        finally:
            with suppress(OSError):
                os.unlink(f"{folder}/{spooled}")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """By a ranged request."""
        if length == 0:
            return self._nothing(name, None)
        try:
            return self._ranged(name, offset, length)
        except StoreAnswerError:
            # Some remotes can't be opened beyond the end.
            if offset:
                return self._nothing(name, offset)
            if self.size(name) is None:
                raise ObjectMissingError(f"{self._shown}/{name} is not there") from None
            raise

    def size(self, name: str) -> int | None:
        """By its entry."""
        try:
            item = self._item(self._base + name)
        except ObjectMissingError:
            return None
        return None if item is None else item.size_bytes

    def top_names(self) -> list[str]:
        """Names of folders and objects at the top."""
        there = self._entries("", is_deep=False, files_only=False)
        return sorted({entry.path for entry in there if "/" not in entry.path and entry.path.isprintable()})

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All of a folder in one answer, taken entry by entry."""
        seen: set[str] = set()
        for entry in self._entries(prefix, is_deep=True, files_only=True):
            if (
                entry.is_folder
                or entry.size_bytes < 0
                or not entry.path.startswith(prefix)
                or not is_object_name(entry.path)
            ):
                continue
            if self._has_doubles:
                if entry.path in seen:
                    continue
                seen.add(entry.path)
            yield ObjectInfo(entry.path, entry.size_bytes)

    def delete(self, name: str) -> None:
        """Remove it, with all that have its name where a store keeps several."""
        for _ in range(_MOST_DOUBLES if self._has_doubles else 1):
            try:
                self._calls.call("operations/deletefile", fs=self._fs, remote=self._base + name)
            except ObjectMissingError:
                return

    def free_bytes(self) -> int | None:
        """As the remote says."""
        return self._free() if self._reports_space else None

    def close(self) -> None:
        """End rclone, and then who tells it how fast it may."""
        self._calls.close()
        if self._limiter is not None:
            self._limiter.close()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """Remove what a dead writer of that tag left in `<folder>/tmp`."""
        if not self._shows_early:
            return 0
        start = f"{folder}/tmp/{tag}-"
        names = [
            entry.path
            for entry in self._entries(f"{folder}/tmp/", is_deep=False, files_only=True)
            if entry.path.startswith(start) and re.fullmatch("[0-9]+", entry.path[len(start) :])
        ]
        for name in names:
            self.delete(name)
        return len(names)

    def remove_empty_folders(self, name: str) -> None:
        """They stay: several stores empty a folder together with what was put into it a moment ago."""

    def _upload(self, folder: str, spooled: str, name: str, sent: _Sent) -> None:
        seconds = CALL_SECONDS + sent.size_bytes / LEAST_BYTES_A_SECOND
        if self._pace is not None and (rate := self._pace.rates()[UP]):
            seconds += _SHARERS * sent.size_bytes / rate
        if self._shows_early:
            with self._temporary(name) as target:
                self._copy(folder, spooled, target, seconds, {})
                ends = {"srcFs": self._fs, "srcRemote": self._base + target, "dstFs": self._fs}
                self._calls.call("operations/movefile", CALL_SECONDS, **ends, dstRemote=self._base + name)
            return
        # rclone removes an object that is not what it sent: of two writers at once, one would remove the other's.
        self._copy(folder, spooled, name, seconds, {"IgnoreSize": True, "IgnoreChecksum": True})
        hashes = {"showHash": True, "hashTypes": [self._hash]} if self._hash else {}
        options = {**_BRIEF, "filesOnly": True, **hashes}
        item = self._calls.call("operations/stat", fs=self._fs, remote=self._base + name, opt=options).get("item")
        if not isinstance(item, dict):
            raise DestinationError(f"{self._shown}/{name}: the upload was lost on its way")
        told = (item.get("Hashes") or {}).get(self._hash) or sent.digest
        if (item.get("Size"), told) != (sent.size_bytes, sent.digest):
            raise ObjectExistsError(
                f"{self._shown}/{name} holds other bytes than were just written",
                hint="another writer made it at that moment, or they were changed on their way",
            )

    def _copy(self, folder: str, spooled: str, target: str, seconds: float, config: dict[str, bool]) -> None:
        ends = {"srcFs": folder, "srcRemote": spooled, "dstFs": self._fs}
        with self._moving(UP):
            self._calls.call("operations/copyfile", seconds, **ends, dstRemote=self._base + target, _config=config)

    def _moving(self, way: int) -> AbstractContextManager[None]:
        return self._limiter.moving(way) if self._limiter is not None else nullcontext()

    def _tell_limit(self, words: str) -> None:
        self._calls.call("core/bwlimit", rate=words)

    def _nothing(self, name: str, offset: int | None) -> bytes:
        """What lies beyond the end of an object. Raises ObjectMissingError, StoreAnswerError when it is not beyond."""
        size = self.size(name)
        if size is None:
            raise ObjectMissingError(f"{self._shown}/{name} is not there")
        if offset is not None and offset < size:
            raise StoreAnswerError(f"{self._shown}/{name}: rclone gives nothing of what is there")
        return b""

    def _ranged(self, name: str, offset: int, length: int | None) -> bytes:
        headers = {}
        if offset or length is not None:
            headers["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        target = quote(f"/[{self._fs}]/{self._base}{name}")
        with self._moving(DOWN), self._calls.answer("GET", target, headers=headers) as response:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if headers and (found is None or int(found[1]) != offset):
                raise StoreAnswerError(f"{self._shown}/{name}: rclone gives another range than asked for")
            size = response.length
            if headers and not size and found is not None and offset >= int(found[2]):
                # The length is then below zero, or none; what follows is not to be trusted.
                response.will_close = True
                return b""
            if size is None or size > (MAX_OBJECT_BYTES if length is None else length):
                raise StoreAnswerError(f"{self._shown}/{name}: rclone gives {size} bytes")
            return response.read()

    def _find(self, remote: Remote, opening: Opening) -> None:
        root = checked(remote, self._configuration, self._shown, opening.access)
        told = self._calls.call("operations/fsinfo", fs=root)
        features, hashes = told.get("Features"), told.get("Hashes") or []
        if not isinstance(features, dict):
            raise StoreAnswerError(f"{self._shown}: rclone does not say what the remote can do")
        self._shows_early = bool(features.get("PartialUploads")) and bool(features.get("Move"))
        known = [name for name in _HASHES if name in hashes and not features.get("SlowHash") and not self._shows_early]
        self._hash = known[0] if known else ""
        self._has_doubles = bool(features.get("DuplicateFiles"))
        # A remote of buckets opened at a path takes any error for "that is a file"; elsewhere a first / has a meaning.
        is_of_buckets = bool(features.get("BucketBased"))
        path = remote.path.strip("/") if is_of_buckets else remote.path
        self._fs, self._base = (root, f"{path}/" * bool(path)) if is_of_buckets else (root + path, "")
        self._check_there(remote, root, is_of_buckets=is_of_buckets, create=opening.create)
        self._reports_space = bool(features.get("About")) and self._free() is not None

    def _configuration(self, name: str) -> dict[str, Any]:
        return self._calls.call("config/get", name=name) | options_from_environment(name)

    def _check_there(self, remote: Remote, root: str, *, is_of_buckets: bool, create: bool) -> None:
        """Raises StoreFolderError where the bucket or folder is not there, or can't be made."""
        if self._is_there(self._fs, self._base):
            return
        above, _, _ = remote.path.rpartition("/")
        if is_of_buckets:
            bucket = remote.path.strip("/").partition("/")[0]
            raise StoreFolderError(
                f"{self._shown}: the bucket is not there", hint=f"make it first: `rclone mkdir {remote.name}:{bucket}`"
            )
        if not create:
            raise StoreFolderError(
                f"{self._shown} is not there", hint="is the path right, and the remote the right one?"
            )
        if above and not self._is_there(root + above, ""):
            raise StoreFolderError(
                f"{self._shown}: {remote.name}:{above}, which should hold it, is not there",
                hint=f"make it first: `rclone mkdir {remote.name}:{above}`",
            )
        self._calls.call("operations/mkdir", fs=self._fs, remote="")

    def _is_there(self, file_system: str, base: str) -> bool:
        try:
            for _ in self._answered(file_system, base.rstrip("/"), {**_BRIEF, "dirsOnly": True}):
                break
        except ObjectMissingError:
            return False
        return True

    def _entries(self, prefix: str, *, is_deep: bool, files_only: bool) -> Iterator[Entry]:
        """What lies in a folder, by names from the place on. Raises StoreFolderError when the whole place is gone."""
        options = {**_BRIEF, "recurse": is_deep, "filesOnly": files_only}
        try:
            for entry in self._answered(self._fs, (self._base + prefix).rstrip("/"), options):
                if entry.path.startswith(self._base):
                    yield Entry(entry.path[len(self._base) :], entry.size_bytes, entry.is_folder)
        except ObjectMissingError as error:
            if not self._is_there(self._fs, self._base):
                raise StoreFolderError(
                    f"{self._shown} is not there any more", hint="was it moved or removed?"
                ) from error

    def _answered(self, file_system: str, remote: str, options: dict[str, bool]) -> Iterator[Entry]:
        body = json.dumps({"fs": file_system, "remote": remote, "opt": options}).encode()
        with self._calls.answer("POST", "/operations/list", body, seconds=LISTING_SECONDS) as response:
            yield from entries(response.read, self._shown)
            response.read(_REST_BYTES)

    @contextmanager
    def _temporary(self, name: str) -> Iterator[str]:
        """A name that is gone afterwards; what can't be removed now is told by `may_leave_temporaries`."""
        temporary = f"{temporary_folder(name)}/{self._tag}-{next(self._numbers)}"
        try:
            yield temporary
        except BackupError:
            try:
                self.delete(temporary)
            except BackupError:
                self._may_leave_temporaries = True
            raise

    def _free(self) -> int | None:
        try:
            found = self._calls.call("operations/about", fs=self._fs).get("free")
        except ObjectMissingError:
            return None
        return found if isinstance(found, int) and found > 0 else None

    def _item(self, remote: str) -> Entry | None:
        found = self._calls.call("operations/stat", fs=self._fs, remote=remote, opt={**_BRIEF, "filesOnly": True}).get(
            "item"
        )
        if found is None:
            return None
        size = found.get("Size") if isinstance(found, dict) else None
        if not isinstance(size, int) or size < 0:
            raise StoreAnswerError(f"{self._shown}: rclone does not say the size of {remote}")
        return Entry(remote, size, False)


class _Sent(msgspec.Struct, frozen=True):
    """What was given to rclone."""

    size_bytes: int
    digest: str


def _write(path: str, buffers: Buffers, hash_name: str) -> _Sent:
    size, digest = 0, hashlib.new(hash_name, usedforsecurity=False) if hash_name else None
    with open(path, "xb", buffering=0) as file:
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            size += len(view)
            if digest is not None:
                digest.update(view)
            at = 0
            while at < len(view):
                at += file.write(view[at:]) or 0
    return _Sent(size, "" if digest is None else digest.hexdigest())
