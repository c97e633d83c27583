"""A host whose login may only add, and is stolen: its runs go well, and its history survives who took it over."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from backupd.errors import DestinationRefusedError
from backupd.model.destination_orders import DestinationTestOrder, DestinationUncoverOrder
from backupd.model.orders import (
    BackupOrder,
    FreeOrder,
    Limits,
    MigrateOrder,
    RestoreOrder,
    RetentionOrder,
    Selection,
    Unlock,
)
from backupd.model.retention import RetentionText
from backupd.model.store_access import StoreAccess
from backupd.operations.backup.session import RunningSession, WriterIdentity
from backupd.settings.host import read_host
from tests.support.histories import tree_of
from tests.support.locked_shelf import BUCKET, Shelf, make_bucket
from tests.support.machine import Machine
from tests.support.servers import seaweedfs
from tests.support.servers.seaweedfs import APPENDER, OWNER, SeaweedFs, credentials

_LOCK = "&lock=compliance&lock_days=4"
_WHO = {"AWS": "arn:aws:iam::000000000000:user/appender"}
_POLICY = [
    ("Allow", ("s3:ListBucket", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"), ""),
    ("Allow", ("s3:GetObject", "s3:PutObject", "s3:GetObjectRetention", "s3:PutObjectRetention"), "/*"),
    ("Deny", ("s3:PutObject",), "/*/gc/*"),
]
"""No right to delete anything, sessions neither."""


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS with a bucket that locks objects, and a login that may only add there."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        make_bucket(running)
        _allow(running, _POLICY)
        yield running


def _allow(weed: SeaweedFs, policy: list[tuple[str, tuple[str, ...], str]]) -> None:
    statements = [
        {"Effect": effect, "Principal": _WHO, "Action": list(actions), "Resource": f"arn:aws:s3:::{BUCKET}{below}"}
        for effect, actions, below in policy
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    seaweedfs.client_of_owner(weed.endpoint).put_bucket_policy(Bucket=BUCKET, Policy=text)


class Thief:
    """Whoever has a login, and tries what it lets him do."""

    def __init__(self, weed: SeaweedFs, login: tuple[str, str]) -> None:
        words = {"aws_access_key_id": login[0], "aws_secret_access_key": login[1]}
        self._client = boto3.client("s3", region_name="us-east-1", endpoint_url=weed.endpoint, **words)

    def destroy(self, versions: list[dict[str, Any]]) -> dict[str, int]:
        """Delete each object by its name, then its version, then write over it; how often each went well."""
        went_well = dict.fromkeys(("version", "name", "over"), 0)
        for one in versions:
            key, version = str(one["Key"]), str(one["VersionId"])
            went_well["version"] += self._does("delete_object", Key=key, VersionId=version)
            went_well["name"] += self._does("delete_object", Key=key)
            went_well["over"] += self._does("put_object", Key=key, Body=os.urandom(100))
        return went_well

    def _does(self, call: str, **words: Any) -> bool:
        try:
            getattr(self._client, call)(Bucket=BUCKET, **words)
        except ClientError:
            return False
        return True


class Household(Shelf):
    """The host, and another machine that looks after the place."""

    def __init__(self, weed: SeaweedFs, above: Path) -> None:
        super().__init__(weed, above)
        self.owner = self.access
        self.access = StoreAccess(credentials=credentials(APPENDER), allow_plaintext=True)
        self.trees: dict[str, dict[str, bytes]] = {}

    def keep(self, **sizes: int) -> dict[str, Any]:
        """A run of the host that wants to keep one snapshot alone; what it says of its place."""
        self.write(**sizes)
        self.clock.ahead_seconds += 120
        order = BackupOrder(
            place=self.place(_LOCK), access=self.access, sources=[bytes(self.source)],
            limits=Limits(jobs=1, polite=False), retention=RetentionText(jobs=1),
        )  # fmt: skip
        done = self.machine.run(order, self.clock).done
        assert (done.exit_code, done.warnings, done.error) == (0, [], None)
        (run,) = done.result["runs"]
        self.trees[run["snapshot"]] = tree_of(self.source)
        found: dict[str, Any] = run["destinations"][0]
        return found

    def die_without_a_checkpoint(self) -> None:
        """A session of this state that was announced, and nothing else."""
        records = self.machine.records(self.place(_LOCK), self.clock, access=self.access)
        known = read_host(str(self.machine.home / "state" / "backupd"), "")
        name = records.listed_snapshot_names()[0]
        ids = (bytes.fromhex(known.host_id), bytes.fromhex(known.state_id))
        who = WriterIdentity(*ids, known.boot_id, bytes.fromhex(name.set_id[1:]))
        RunningSession(os.urandom(16), records, who, [], self.clock.now_ns()).post(self.clock.now_ns())


def test_a_host_that_may_only_add_backs_up_and_leaves_the_rest(weed: SeaweedFs, tmp_path: Path) -> None:
    """Else the safest login there is makes every run fail, or warn until nobody reads it."""
    home = Household(weed, tmp_path)
    for number in range(3):
        if number == 2:
            home.die_without_a_checkpoint()
        found = home.keep(**{f"file{number}": 200_000})
        told = found["retention"]
        assert (told["dropped"], told["left"], told["error"]) == (0, number, None)
    listed = home.machine.records(home.place(""), home.clock, access=home.access)
    assert len(listed.snapshot_names()) == 3
    # Those of three runs whose snapshots stand, and of the dead one.
    assert len(listed.sessions()) == 4

    # By hand it is the same.
    set_id = listed.snapshot_names()[0].set_id
    words: dict[str, Any] = {"set_name": set_id, "policy": RetentionText(jobs=1), "apply": True}
    asked = home.machine.run(RetentionOrder(place=home.place(""), access=home.access, **words), home.clock)
    assert (asked.done.exit_code, asked.result["changed"]) == (0, False)
    assert (asked.result["dropped_count"], asked.result["left_count"]) == (0, 2)

    # Who looks after the place drops and tidies up; what is locked stays until its day.
    done = home.machine.run(RetentionOrder(place=home.place(""), access=home.owner, **words), home.clock)
    assert (done.result["dropped_count"], done.result["deleted_count"]) == (2, 0)
    freed = home.machine.run(FreeOrder(place=home.place(""), access=home.owner), home.clock).result
    assert [one["what"] for one in freed["waiting"]] == ["lock"]
    assert freed["removed"]["sessions"] == 4
    assert home.keep(last=10_000)["retention"]["left"] == 1


def test_older_snapshots_stay_where_none_may_be_dropped(weed: SeaweedFs, tmp_path: Path) -> None:
    """Else each of them stands there twice, and is written anew by each run."""
    home = Household(weed, tmp_path)
    for number in range(2):
        home.keep(**{f"file{number}": 300_000})
    records = home.machine.records(home.place(_LOCK), home.clock, access=home.access)
    (set_id,) = {name.set_id for name in records.snapshot_names()}
    before = {(one["Key"], one["VersionId"]) for one in home.versions() if "/blocks/" in one["Key"]}
    words: dict[str, Any] = {"place": home.place(_LOCK), "set_id": set_id, "chunk_size_bytes": 16 << 10}
    done = home.machine.run(MigrateOrder(access=home.access, **words), home.clock)
    assert (done.done.exit_code, done.result["history"]["rewritten"]) == (0, [])
    (left,) = done.result["history"]["left"]
    assert (left["damaged"], "drop nothing" in left["reason"], len(done.done.warnings)) == (False, True, 1)
    assert {(one["Key"], one["VersionId"]) for one in home.versions() if "/blocks/" in one["Key"]} == before

    # Who looks after the place has it done; what is locked stays until its day.
    done = home.machine.run(MigrateOrder(access=home.owner, **words), home.clock)
    assert len(done.result["history"]["rewritten"]) == 1
    assert len(home.machine.records(home.place(""), home.clock, access=home.owner).snapshot_names()) == 2
    assert len({one["Key"] for one in home.versions() if "/snapshots/" in one["Key"]}) == 3
    assert home.is_whole(_LOCK)


@pytest.mark.parametrize("are_known", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_locks_that_can_not_be_extended_are_told(weed: SeaweedFs, tmp_path: Path, are_known: bool) -> None:
    """Else somebody relies on locks that run out; the backup is whole all the same, and the next run tries again.

    are_known: else what the host knew of locks was lost with its cache.
    """
    home = Household(weed, tmp_path)
    home.keep(file=200_000)
    with pytest.raises(DestinationRefusedError) as refused:
        home.free(_LOCK)
    assert "a host whose login may delete" in refused.value.hint
    old = {one["Key"]: home.days_left_of(one) for one in home.versions()}
    for path in [] if are_known else home.machine.home.rglob("locks-*"):
        path.unlink()
    _allow(weed, [*_POLICY, ("Deny", ("s3:PutObjectRetention",), "/*/keys/*")])
    try:
        home.write(more=50_000)
        place, sources = home.place("&lock=compliance&lock_days=20"), [bytes(home.source)]
        order = BackupOrder(place=place, access=home.access, sources=sources, limits=Limits(jobs=1, polite=False))
        done = home.machine.run(order, home.clock).done
        assert done.error is not None
        assert (done.exit_code, done.error["code"]) == (3, "destination.locks_failed")
        (found,) = done.result["runs"][0]["destinations"]
        assert (found["verdict"], found["locked"], found["locks_error"]["code"]) == (
            "good", None, "destination.locks_failed",
        )  # fmt: skip
    finally:
        _allow(weed, _POLICY)
    # One that is refused keeps no other from being extended.
    left = {one["Key"]: home.days_left_of(one) for one in home.versions() if one["Key"] in old}
    short = {key.split("/")[2] for key, days in left.items() if 0 < days < 19}
    assert {"keys"} <= short <= {"keys", "blocks", "snapshots"}
    assert [days for key, days in left.items() if "/blocks/" in key and days > 19]
    assert home.is_whole(_LOCK)
    # The key slot, and the index object of this run.
    assert home.back_up("&lock=compliance&lock_days=20")["locked"]["extended"] <= 2
    assert min(home.days_left_of(one) for one in home.versions() if "/keys/" in one["Key"]) > 19


def test_what_a_thief_leaves_is_brought_back(weed: SeaweedFs, tmp_path: Path) -> None:
    """The host's login destroys nothing, the owner's hides and overwrites: locks hold, and `uncover` shows all."""
    home = Household(weed, tmp_path)
    for number in range(3):
        home.keep(**{f"file{number}": 300_000, "changes": 50_000})
    before = home.versions()
    tested = home.machine.run(DestinationTestOrder(place=home.place(_LOCK), access=home.access, quick=True))
    assert tested.done.exit_code == 0
    stolen = Thief(weed, APPENDER).destroy(before)
    assert (stolen["version"], stolen["name"], stolen["over"]) == (0, 0, len(before))
    locked = [one for one in before if home.days_left_of(one) > 0]
    taken = Thief(weed, OWNER).destroy(before)
    assert taken["version"] == len(before) - len(locked) > 0
    assert taken["name"] == taken["over"] == len(before)

    (key,) = home.machine.keys.glob("*.key")
    other = Machine(tmp_path / "another machine")
    order = DestinationUncoverOrder(place=home.place(_LOCK), access=home.owner, dry_run=True)
    planned = other.run(order).result
    assert (planned["overwritten"] >= len(locked), planned["changed"]) == (True, False)
    back = other.run(DestinationUncoverOrder(place=home.place(_LOCK), access=home.owner)).result
    assert (back["overwritten"], back["changed"]) == (planned["overwritten"], True)
    assert other.run(order).result["overwritten"] == 0
    for snapshot, tree in home.trees.items():
        target = tmp_path / f"back-{snapshot}"
        restore = RestoreOrder(
            place=home.place(""), access=home.owner, selection=Selection(as_of=snapshot), to=bytes(target),
            unlock=Unlock(secret=key.read_bytes()),
        )  # fmt: skip
        other.run(restore)
        assert tree_of(target / str(home.source)[1:]) == tree
