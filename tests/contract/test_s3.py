"""S3 as a store, at a server that has create-if-absent and at one that has not."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from backupd.destination.contract import Forwarding, Keeping, Store
from backupd.destination.s3.condition import proof_name
from backupd.errors import ObjectExistsError
from tests.contract.suite import MIB, Open, StoreContract
from tests.support.servers import rclone_s3, seaweedfs
from tests.support.servers.rclone_s3 import RcloneS3
from tests.support.servers.s3_places import address, opener
from tests.support.servers.seaweedfs import SeaweedFs


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Generator[RcloneS3, None, None]:
    """rclone's server."""
    with rclone_s3.rclone_s3(tmp_path_factory.mktemp("rclone")) as running:
        yield running


class TestSeaweedFs(StoreContract):
    """SeaweedFS honours the condition."""

    @pytest.fixture
    def open_place(self, weed: SeaweedFs) -> Open:
        """An empty prefix."""
        return opener(address(weed.port), seaweedfs.OWNER)

    def test_the_proof_is_found_by_who_comes_later(self, open_place: Open) -> None:
        """Else each run races anew, or takes a store for a weak one and lets no second host in."""
        first = open_place("t1")
        assert not first.traits.create_if_absent
        first.put("once.json", [b"{}"])
        assert first.traits.create_if_absent
        assert [info.name for info in first.list("")] == ["once.json"]
        second = open_place("t2")
        assert second.traits.create_if_absent
        second.put("r1/keys/k", [b"1"])
        assert second.traits.create_if_absent

    def test_what_a_bucket_keeps_is_told(self, weed: SeaweedFs, open_place: Open) -> None:
        """Who relies on versions or locks against a thief of the login must see that they are off."""
        client = seaweedfs.client_of_owner(weed.endpoint)
        assert Forwarding(open_place("t")).keeping() == Keeping(versions=False, locks=False)
        client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
        client.create_bucket(Bucket="kept")
        client.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
        found = {
            name: Forwarding(opener(address(weed.port).replace(seaweedfs.BUCKET, name), seaweedfs.OWNER)("t")).keeping()
            for name in ("locked", "kept")
        }
        assert found == {"locked": Keeping(versions=True, locks=True), "kept": Keeping(versions=True, locks=False)}

    def test_names_of_others_are_left_out(self, weed: SeaweedFs, open_place: Open) -> None:
        """Else a name made to lead elsewhere is followed there, or a line of a report is forged."""
        store = open_place("t")
        store.put("r1/index/a", [b"1"])
        for name in ("r1/index/UPPER", "r1/index/new\nline", "r1/index/ä", "r1/tmp/half", "r1/index/a b"):
            store.put(name, [b"theirs"])
        assert [info.name for info in store.list("")] == ["r1/index/a"]
        assert store.top_names() == ["r1", "tmp"]


class TestRclone(StoreContract):
    """rclone's server takes the condition and ignores it."""

    @pytest.fixture
    def open_place(self, rclone: RcloneS3) -> Open:
        """An empty prefix."""
        return opener(address(rclone.port), rclone_s3.LOGIN)

    @pytest.mark.nightly
    def test_a_listing_of_many(self, store: Store) -> None:
        """Its server makes a directory of each name's folder, which takes its time."""
        super().test_a_listing_of_many(store)
        assert len([*store.list("r1/blocks/")]) == self.many

    def test_a_copied_proof_convinces_nobody(self, rclone: RcloneS3, open_place: Open) -> None:
        """Else a store with the condition that is replaced by one without loses snapshots of two hosts."""
        store = open_place("t")
        store.put(proof_name(f"http://127.0.0.1:{rclone.port}", rclone_s3.BUCKET), [b"copied"])
        later = open_place("t2")
        assert later.traits.create_if_absent
        later.put("r1/keys/k", [b"1"])
        assert not later.traits.create_if_absent
        with pytest.raises(ObjectExistsError):
            later.put("r1/keys/k", [b"2"])
        assert later.get("r1/keys/k") == b"1"


def test_checksums_of_the_store(weed: SeaweedFs) -> None:
    """Else the option breaks what it should make safer."""
    place = f"{address(weed.port)}&checksum=when_supported&storage_class=STANDARD_IA"
    store = opener(place, seaweedfs.OWNER)("t")
    data = os.urandom(2 * MIB)
    store.put("r1/blocks/aa/x", [data[:MIB], data[MIB:]])
    assert store.get("r1/blocks/aa/x") == data
    assert store.get("r1/blocks/aa/x", 5, 5) == data[5:10]
