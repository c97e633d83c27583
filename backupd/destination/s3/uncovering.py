"""Brings back what was hidden or overwritten in a bucket that keeps versions, after an attack; deletes no byte.

backupd creates each name once, so the first version of an object is the true one. A delete mark on it is taken away;
where another version lies on it, the first one is copied onto that. A version that is deleted for good is not brought
back: object locks are there against that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from backupd.destination.contract import Uncovered
from backupd.destination.object_names import is_object_name
from backupd.destination.s3.errors import code_of, status_of, translated, translated_of_place
from backupd.store_errors import StoreAnswerError

_MOST_PAGES = 1_000_000
_NO_VERSIONS = "the bucket keeps no versions: what is deleted or overwritten there is lost"


class _Key:
    """What a listing says of one key; versions as they come, the newest first."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.versions: list[dict[str, Any]] = []
        self.marks: list[str] = []
        self.is_hidden = False

    def add(self, item: dict[str, Any], *, is_mark: bool) -> None:
        if is_mark:
            self.marks.append(str(item.get("VersionId", "")))
            self.is_hidden = self.is_hidden or bool(item.get("IsLatest"))
        else:
            self.versions.append(item)

    @property
    def is_overwritten(self) -> bool:
        """Whether the newest version has other bytes than the first one."""
        newest, first = self.versions[0], self.versions[-1]
        return (newest.get("ETag"), newest.get("Size")) != (first.get("ETag"), first.get("Size"))


class Uncovering:
    """Of one prefix of a bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str, shown: str, page_versions: int = 1000) -> None:
        """page_versions: how many a page of the listing has at most."""
        self._client, self._bucket, self._prefix, self._shown = client, bucket, prefix, shown
        self._page_versions = page_versions

    def run(self, words: Callable[[str], dict[str, Any]], *, is_dry: bool) -> Iterator[Uncovered]:
        """Each object that was hidden or overwritten. words: how an object of that name is locked when it is copied.

        Raises DestinationError for what can't be brought back.
        """
        for found in self._keys():
            name = found.key.removeprefix(self._prefix)
            if not found.versions or not is_object_name(name) or "/sessions/" in name:
                # Sessions come and go by themselves; those of runs that ended long ago would hold back freeing.
                continue
            if not found.is_hidden and not found.is_overwritten:
                continue
            if not is_dry:
                with translated(f"{name} at {self._shown}"):
                    self._uncover(found, words(name))
            yield Uncovered(name, "overwritten" if found.is_overwritten else "hidden", int(found.versions[-1]["Size"]))

    def _uncover(self, found: _Key, words: dict[str, Any]) -> None:
        if not found.is_overwritten and self._has_taken_away(found):
            return
        source = {"Bucket": self._bucket, "Key": found.key, "VersionId": found.versions[-1]["VersionId"]}
        self._client.copy_object(Bucket=self._bucket, Key=found.key, CopySource=source, **words)

    def _has_taken_away(self, found: _Key) -> bool:
        """Whether the login may take away delete marks."""
        try:
            for mark in found.marks:
                self._client.delete_object(Bucket=self._bucket, Key=found.key, VersionId=mark)
        except ClientError as error:
            if status_of(error) != 403:
                raise
            return False
        return True

    def _keys(self) -> Iterator[_Key]:
        """All keys in the order of the listing, each with all its versions, however many pages they fill."""
        open_keys: dict[str, _Key] = {}
        for page in self._pages():
            for kind in ("Versions", "DeleteMarkers"):
                for item in page.get(kind, ()):
                    key = str(item.get("Key", ""))
                    if key.startswith(self._prefix):
                        open_keys.setdefault(key, _Key(key)).add(item, is_mark=kind == "DeleteMarkers")
            last = max(open_keys, default="")
            for key in sorted(open_keys.keys() - {last}):
                yield open_keys.pop(key)
        yield from open_keys.values()

    def _pages(self) -> Iterator[dict[str, Any]]:
        following: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            with translated_of_place(self._shown):
                try:
                    page: dict[str, Any] = self._client.list_object_versions(
                        Bucket=self._bucket, Prefix=self._prefix, MaxKeys=self._page_versions, **following
                    )
                except ClientError as error:
                    if code_of(error) in ("NotImplemented", "501"):
                        text = f"{self._shown}: {_NO_VERSIONS}"
                        raise StoreAnswerError(text, hint="see docs/stores/s3.md") from error
                    raise
            yield page
            if not page.get("IsTruncated"):
                return
            last = following
            following = {"KeyMarker": str(page.get("NextKeyMarker", ""))}
            if page.get("NextVersionIdMarker"):
                following["VersionIdMarker"] = str(page["NextVersionIdMarker"])
            if following == last:
                break
        raise StoreAnswerError(f"{self._shown}: the store's listing has no end", hint="is it an S3 endpoint?")
