"""Objects that a bucket holds on to: locked ones, and earlier versions of what is deleted (S3 API, Object Lock).

Where a bucket keeps versions, a plain deletion only hides an object: it is deleted by its version.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import md5
from typing import Any

from botocore.exceptions import ClientError

from backupd.clock import SystemClock, to_datetime
from backupd.destination.contract import Buffers, LockRule
from backupd.destination.s3.errors import code_of, status_of, translated
from backupd.destination.s3.keeping import locks_of, versions_of
from backupd.errors import DestinationRefusedError, ObjectMissingError
from backupd.store_errors import NoObjectLockError, ObjectLockedError

_FOLDERS = ("blocks", "index", "snapshots", "keys", "keyring")
_OBJECTS = ("repository.json", "repository.json.2")
_DAY_NS = 86_400 * 10**9
_FOR_EVER = datetime(2500, 1, 1, tzinfo=UTC)
"""What is told of a legal hold, which has no end, and of what a store says beyond."""
_MOST_VERSIONS = 1000
_SKEW_NS = 900 * 10**9
"""So far a store's clock may be off ours before it refuses all."""
_GONE = ("NoSuchKey", "NoSuchVersion", "NotFound", "404")


class Holding:
    """What one bucket holds, seen by one login. Safe from several threads."""

    def __init__(self, client: Any, bucket: str, shown: str, rule: LockRule | None) -> None:
        """rule: how new objects are locked; None: not at all."""
        self._client, self._bucket, self._shown = client, bucket, shown
        self.rule = rule
        self._clock = SystemClock()
        self._mutex = threading.Lock()
        self._can_lock: bool | None = None
        self._is_versioned: bool | None = None
        """None: it is not known yet, or the login may not ask."""
        self._has_asked = False
        self._is_unwell = False
        """Whether the store has answered once that it can't say so now."""

    # Locking

    def words(self, name: str, buffers: Buffers) -> dict[str, Any]:
        """What goes with an object of that name when it is created. Raises NoObjectLockError."""
        words = self.words_of_copy(name)
        if not words:
            return words
        self._check()
        digest = md5(usedforsecurity=False)
        for buffer in buffers:
            digest.update(buffer)
        # AWS wants a digest with each lock, and this one is known to all servers.
        return {**words, "ContentMD5": b64encode(digest.digest()).decode()}

    def words_of_copy(self, name: str) -> dict[str, Any]:
        """What goes with an object of that name that is copied within the store."""
        if self.rule is None or not is_lockable(name):
            return {}
        return self._retention(self._clock.now_ns() + self.rule.days * _DAY_NS, "ObjectLockMode", "ObjectLock")

    def _check(self) -> None:
        """Some servers take the words and lock nothing: asked once, whether the bucket does."""
        with self._mutex:
            if self._can_lock is None:
                found = locks_of(self._client, self._bucket)
                # Who may not ask relies on being refused.
                self._can_lock = found is not False
            if not self._can_lock:
                raise NoObjectLockError(
                    f"{self._shown}: the bucket does not lock objects",
                    hint="lock= needs a bucket that was made with object lock (docs/stores/s3.md); else leave it out",
                )

    def _retention(self, until_ns: int, mode_word: str, prefix: str, mode: str = "") -> dict[str, Any]:
        chosen = mode or (self.rule.mode if self.rule is not None else "governance").upper()
        # Whole seconds, as S3 has them.
        until = to_datetime(until_ns).replace(microsecond=0)
        return {mode_word: chosen, f"{prefix}RetainUntilDate": until}

    def locked_until(self, key: str, what: str) -> int | None:
        """As of LocksObjects."""
        with translated(what):
            head = self._head(key)
        if head is None:
            raise ObjectMissingError(f"{what}: it is not there")
        until = _until(head)
        return _to_ns(until) if until is not None else None

    def lock(self, key: str, until_ns: int, what: str) -> None:
        """As of LocksObjects: what is locked for longer stays as it is, in the mode that it has."""
        try:
            with translated(what):
                self._put_retention(key, until_ns)
        except DestinationRefusedError:
            # A lock is never shortened, nor is compliance taken back: it may be good as it is.
            with translated(what):
                head = self._head(key)
            until = _until(head) if head is not None else None
            if head is None or until is None:
                raise
            if _to_ns(until) >= until_ns - 10**9:
                return
            with translated(what):
                self._put_retention(key, until_ns, str(head.get("ObjectLockMode") or ""))

    def _put_retention(self, key: str, until_ns: int, mode: str = "") -> None:
        words = self._retention(until_ns, "Mode", "", mode)
        self._client.put_object_retention(Bucket=self._bucket, Key=key, Retention=words)

    # Deleting

    def delete(self, key: str, what: str) -> None:
        """Remove all versions of an object. Raises ObjectLockedError, DestinationError.

        Where the login may not delete versions, it is hidden, and the bucket's own rules remove it.
        """
        with translated(what):
            if not self._may_have_versions():
                self._delete(key)
                return
            for _ in range(_MOST_VERSIONS):
                head = self._head(key)
                if head is None:
                    return
                version = str(head.get("VersionId") or "")
                if not version:
                    self._is_versioned = False
                    self._delete(key)
                    return
                if not self._delete_version(key, version, head, what):
                    self._delete(key)
                    return

    def _delete_version(self, key: str, version: str, head: dict[str, Any], what: str) -> bool:
        """False: this login may not."""
        try:
            self._delete(key, VersionId=version)
        except ClientError as error:
            if status_of(error) != 403:
                raise
            # It is the store that says what holds.
            until = _until(head)
            if until is not None and _to_ns(until) > self._clock.now_ns() - _SKEW_NS:
                raise _locked(what, until) from error
            return False
        return True

    def _may_have_versions(self) -> bool:
        with self._mutex:
            if not self._has_asked:
                try:
                    self._is_versioned = versions_of(self._client, self._bucket)
                except ClientError:
                    # Some servers answer so each time, and nothing could ever be deleted there.
                    if not self._is_unwell:
                        self._is_unwell = True
                        raise
                self._has_asked = True
        return self._is_versioned is not False

    def _delete(self, key: str, **words: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key, **words)
        except ClientError as error:
            if code_of(error) not in _GONE:
                raise

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            head: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if status_of(error) == 404:
                return None
            raise
        return head


def is_lockable(name: str) -> bool:
    """Whether an object of that name is locked: all that a restore needs, nothing of sessions/ and gc/ (DESIGN 8.6)."""
    parts = name.split("/")
    return len(parts) > 1 and (parts[1] in _FOLDERS if len(parts) > 2 else parts[1] in _OBJECTS)


def _until(head: dict[str, Any]) -> datetime | None:
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return _FOR_EVER
    until = head.get("ObjectLockRetainUntilDate")
    return min(until, _FOR_EVER) if isinstance(until, datetime) and until.tzinfo is not None else None


def _to_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def _locked(what: str, until: datetime) -> ObjectLockedError:
    return ObjectLockedError(
        f"{what}: it is locked, and retained until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        hint="wait until then; nobody can delete it before",
        context={"until_ns": _to_ns(until)},
    )
