"""S3 buckets that lock objects and keep versions, at a real server: what is locked stays, what is deleted is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import pytest

from backupd.clock import SystemClock
from backupd.destination.contract import Below, Forwarding, LockRule, Store
from backupd.destination.retrying import Retrying
from backupd.destination.s3.uncovering import Uncovering
from backupd.errors import ObjectExistsError, ObjectMissingError, UsageError
from backupd.store_errors import NoObjectLockError, ObjectLockedError
from tests.contract.suite import Open, StoreContract
from tests.support.servers import rclone_s3, seaweedfs
from tests.support.servers.s3_places import address, opener
from tests.support.servers.seaweedfs import OWNER, SeaweedFs

LOCKED = "locked"
_DAY_NS = 86_400 * 10**9
_BODY = b"one"


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS with a bucket that locks objects."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        client = seaweedfs.client_of_owner(running.endpoint)
        client.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
        yield running


@pytest.fixture
def client(weed: SeaweedFs) -> Any:
    """boto3's client of the owner."""
    return seaweedfs.client_of_owner(weed.endpoint)


def _place(weed: SeaweedFs, words: str = "") -> str:
    return address(weed.port).replace(seaweedfs.BUCKET, LOCKED) + words


def _open(weed: SeaweedFs, words: str = "&lock=compliance&lock_days=3") -> tuple[Store, str]:
    """A store that locks, and what its keys begin with."""
    place = _place(weed, words)
    return opener(place, OWNER)("t"), place.partition(LOCKED + "/")[2].partition("?")[0] + "/"


def _versions(client: Any, prefix: str) -> list[tuple[str, str]]:
    found = client.list_object_versions(Bucket=LOCKED, Prefix=prefix)
    return [
        (kind, one["Key"].removeprefix(prefix)) for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, ())
    ]


@pytest.mark.nightly
class TestLockedBucket(StoreContract):
    """A place whose objects are locked is a place like any other, until something is deleted."""

    many = 20

    @pytest.fixture
    def open_place(self, weed: SeaweedFs) -> Open:
        """An empty prefix of the bucket, nothing locked."""
        return opener(_place(weed), OWNER)


def test_what_a_restore_needs_is_locked_and_nothing_else(weed: SeaweedFs, client: Any) -> None:
    """Else a thief deletes history; or a session that can't go holds back freeing."""
    store, prefix = _open(weed)
    held = ("r/blocks/aa/x", "r/index/x", "r/snapshots/s/x", "r/keys/x", "r/keyring/x", "r/repository.json")
    free = ("r/sessions/s/1", "r/gc/1.candidates", "r/damage/x", "r/notes/x", "once.json")
    before_ns = SystemClock().now_ns()
    for name in (*held, *free):
        store.put(name, [_BODY, b"two"])
    for name in held:
        until_ns = Forwarding(store).locked_until(name)
        assert until_ns is not None
        assert 0 <= until_ns - before_ns - 3 * _DAY_NS + 10**9 < 60 * 10**9
        with pytest.raises(ObjectLockedError, match="retained until") as caught:
            store.delete(name)
        assert (caught.value.exit_code, caught.value.context["until_ns"]) == (23, until_ns)
        assert store.get(name) == _BODY + b"two"
    for name in free:
        assert Forwarding(store).locked_until(name) is None
        store.delete(name)
    store.close()
    # No deletion that was refused has hidden anything, and what was deleted takes no space.
    assert sorted(_versions(client, prefix + "r/")) == sorted(
        ("Versions", name.removeprefix("r/")) for name in held
    )


def test_a_lock_is_made_longer_and_never_shorter(weed: SeaweedFs) -> None:
    """Else what a run relies on again goes while it is needed."""
    store, _ = _open(weed)
    store.put("r/blocks/aa/x", [_BODY])
    seen = Below(Retrying(store), "r")
    now_ns = SystemClock().now_ns()
    seen.lock("blocks/aa/x", now_ns + 9 * _DAY_NS)
    seen.lock("blocks/aa/x", now_ns + 2 * _DAY_NS)
    assert abs((seen.locked_until("blocks/aa/x") or 0) - now_ns - 9 * _DAY_NS) < 2 * 10**9
    with pytest.raises(ObjectMissingError):
        seen.lock("blocks/aa/none", now_ns + _DAY_NS)
    with pytest.raises(ObjectMissingError):
        seen.locked_until("blocks/aa/none")
    assert seen.lock_rule == LockRule("compliance", 3)
    store.close()
    # Who has turned to governance since extends what is under compliance all the same.
    other = opener(store.shown.replace("compliance", "governance"), OWNER)("t")
    Forwarding(other).lock("r/blocks/aa/x", now_ns + 20 * _DAY_NS)
    assert (Forwarding(other).locked_until("r/blocks/aa/x") or 0) > now_ns + 19 * _DAY_NS
    other.close()


def test_what_is_deleted_is_gone_with_all_its_versions(weed: SeaweedFs, client: Any) -> None:
    """Else space is given free and still paid for, or an older version comes to light."""
    store, prefix = _open(weed, "")
    store.put("r/blocks/aa/x", [_BODY])
    client.put_object(Bucket=LOCKED, Key=f"{prefix}r/blocks/aa/x", Body=b"overwritten by somebody")
    store.delete("r/blocks/aa/x")
    store.delete("r/blocks/aa/x")
    assert store.size("r/blocks/aa/x") is None
    assert _versions(client, prefix + "r/") == []
    store.close()


def test_a_lock_that_is_over_lets_go(weed: SeaweedFs, client: Any) -> None:
    store, prefix = _open(weed)
    store.put("r/sessions/s/1", [_BODY])
    until_ns = SystemClock().now_ns() + 2 * 10**9
    Forwarding(store).lock("r/sessions/s/1", until_ns)
    with pytest.raises(ObjectLockedError):
        store.delete("r/sessions/s/1")
    while SystemClock().now_ns() < until_ns + 10**9:
        time.sleep(0.2)
    store.delete("r/sessions/s/1")
    assert _versions(client, prefix + "r/") == []
    store.close()


def test_a_deletion_against_the_store_does_not_free_the_name_for_other_bytes(weed: SeaweedFs, client: Any) -> None:
    """What hides an object does not destroy it: whoever removes the mark has it again."""
    store, prefix = _open(weed)
    store.put("r/snapshots/s/x", [_BODY])
    hidden = client.delete_object(Bucket=LOCKED, Key=f"{prefix}r/snapshots/s/x")
    assert store.size("r/snapshots/s/x") is None
    client.delete_object(Bucket=LOCKED, Key=f"{prefix}r/snapshots/s/x", VersionId=hidden["VersionId"])
    assert store.get("r/snapshots/s/x") == _BODY
    with pytest.raises(ObjectExistsError):
        store.put("r/snapshots/s/x", [b"two"])
    store.close()


def test_a_bucket_without_locks_is_told(weed: SeaweedFs, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Else somebody relies on locks that are none: some servers take the words and lock nothing."""
    words = "&lock=governance&lock_days=3"
    store = opener(address(weed.port) + words, OWNER)("t")
    store.put("r/sessions/s/1", [_BODY])
    with pytest.raises(NoObjectLockError) as caught:
        store.put("r/blocks/aa/x", [_BODY])
    assert "made with object lock" in caught.value.hint
    assert store.size("r/blocks/aa/x") is None
    store.close()
    with rclone_s3.rclone_s3(tmp_path_factory.mktemp("rclone")) as other:
        store = opener(address(other.port) + words, rclone_s3.LOGIN)("t")
        with pytest.raises(NoObjectLockError):
            store.put("r/blocks/aa/x", [_BODY])
        store.close()


@pytest.mark.parametrize("page", [1, 3])
def test_what_was_hidden_or_overwritten_comes_back(weed: SeaweedFs, client: Any, page: int) -> None:
    """However the versions of one object are spread over pages; what is well is left alone, and nothing is deleted."""
    store, prefix = _open(weed, "")
    names = [f"r/index/{letter}" for letter in "abcdef"]
    for name in names:
        store.put(name, [name.encode()])
    hidden, twice, over, both, restored = names[:5]
    for name in (hidden, twice, twice, both, restored):
        client.delete_object(Bucket=LOCKED, Key=prefix + name)
    for name in (over, over, both):
        client.put_object(Bucket=LOCKED, Key=prefix + name, Body=os.urandom(50))
    # Hidden, and then written again as it was: nothing is wrong with it.
    client.put_object(Bucket=LOCKED, Key=prefix + restored, Body=restored.encode())
    store.put("r/sessions/s/1", [b"ended"])
    client.delete_object(Bucket=LOCKED, Key=f"{prefix}r/sessions/s/1")
    before = len(client.list_object_versions(Bucket=LOCKED, Prefix=prefix)["Versions"])
    uncovering = Uncovering(client, LOCKED, prefix, store.shown, page)
    wanted = [(hidden, "hidden"), (twice, "hidden"), (over, "overwritten"), (both, "overwritten")]
    for is_dry in (True, False):
        found = [(one.name, one.how) for one in uncovering.run(lambda name: {}, is_dry=is_dry)]
        assert found == wanted
    assert list(uncovering.run(lambda name: {}, is_dry=False)) == []
    assert [store.get(name) for name in names] == [name.encode() for name in names]
    assert len(client.list_object_versions(Bucket=LOCKED, Prefix=prefix)["Versions"]) == before + 2
    store.close()


@pytest.mark.parametrize(
    "words",
    ["lock=compliance", "lock_days=3", "lock=ever&lock_days=3", "lock=governance&lock_days=0",
     "lock=governance&lock_days=36501", "lock=governance&lock_days=%2B3", "lock=governance&lock_days=³"],
)  # fmt: skip
def test_odd_words_are_refused(weed: SeaweedFs, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        opener(f"{address(weed.port)}&{words}", OWNER)("t")
    assert caught.value.hint
