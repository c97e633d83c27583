"""What goes wrong at an S3 store: each by its own error, with a hint, without a secret, and with nothing half made."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import botocore.compat
import pytest

from backupd.clock import SystemClock
from backupd.destination.contract import Store
from backupd.destination.retrying import Patience, Retrying
from backupd.destination.s3.store import TimeLimits
from backupd.errors import (
    BackupError,
    DestinationRefusedError,
    DestinationUnreachableError,
    UsageError,
)
from backupd.model.store_access import StoreAccess
from backupd.store_errors import (
    CertificateError,
    NameTooLongError,
    PlaintextError,
    StoreClockError,
    StoreFolderError,
    StoreLoginError,
)
from tests.contract.suite import MIB
from tests.support.machine import TOP
from tests.support.servers import rclone_s3, seaweedfs
from tests.support.servers.certificates import Authority
from tests.support.servers.cutting_relay import CuttingRelay
from tests.support.servers.s3_places import address, impatient, opened, opener
from tests.support.servers.seaweedfs import APPENDER, OWNER, READER, SeaweedFs

SECRETS = [*OWNER, *READER, *APPENDER, *rclone_s3.LOGIN]
BLOCK = [os.urandom(MIB)] * 33


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Generator[SeaweedFs, None, None]:
    """SeaweedFS that knows a login with no rights of its own, for policies to give it some."""
    with seaweedfs.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
        yield running


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a call that must end with an error of that class; gives the error, which must hold no secret."""

    def check(kind: type[BackupError], call: Any) -> BackupError:
        with pytest.raises(kind) as caught:
            call()
        error = caught.value
        assert type(error) is kind
        assert error.hint
        told = f"{error.message} {error.hint} {error.context} {capsys.readouterr()}"
        assert not [secret for secret in SECRETS if secret in told]
        return error

    return check


@pytest.mark.parametrize("login", [(OWNER[0], "wrong-secret"), ("AKIANOBODY", OWNER[1])])
def test_wrong_credentials(weed: SeaweedFs, refused: Any, login: tuple[str, str]) -> None:
    error = refused(StoreLoginError, lambda: opener(address(weed.port), login)("t"))
    assert "credentials file" in error.hint
    assert not error.retryable


def test_no_credentials_anywhere(weed: SeaweedFs, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    access = StoreAccess(allow_plaintext=True)
    assert "--credentials-file" in refused(StoreLoginError, lambda: opened(address(weed.port), access)).hint
    refused(StoreLoginError, lambda: opened(f"{address(weed.port)}&profile=nobody", access))


def test_a_credentials_file_of_another_kind(weed: SeaweedFs, refused: Any) -> None:
    for text in (f"secret_access_key = {OWNER[1]}", f"{OWNER[0]}:{OWNER[1]}", ""):
        access = StoreAccess(credentials=text.encode(), allow_plaintext=True)
        assert "access_key_id" in refused(UsageError, lambda access=access: opened(address(weed.port), access)).hint


def test_the_bucket_is_missing(weed: SeaweedFs, refused: Any) -> None:
    place = address(weed.port).replace(seaweedfs.BUCKET, "no-such-bucket")
    assert "bucket" in refused(StoreFolderError, lambda: opener(place, OWNER)("t")).hint


def test_a_login_that_only_reads(weed: SeaweedFs, refused: Any) -> None:
    place = address(weed.port)
    opener(place, OWNER)("t").put("r1/keys/k", [b"1"])
    reader = opener(place, READER)("t")
    assert reader.get("r1/keys/k") == b"1"
    for call in (lambda: reader.put("r1/keys/j", [b"2"]), lambda: reader.delete("r1/keys/k")):
        assert "rights" in refused(DestinationRefusedError, call).hint
    assert [info.name for info in reader.list("r1/")] == ["r1/keys/k"]


def test_an_unencrypted_endpoint_must_be_allowed(weed: SeaweedFs, refused: Any) -> None:
    access = StoreAccess(credentials=seaweedfs.credentials(OWNER))
    assert "--allow-plaintext" in refused(PlaintextError, lambda: opened(address(weed.port), access)).hint


def test_an_endpoint_from_the_environment_is_held_to_the_same(
    weed: SeaweedFs, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one forgotten variable sends everything in the clear."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{weed.port}")
    access = StoreAccess(credentials=seaweedfs.credentials(OWNER))
    assert "https" in refused(PlaintextError, lambda: opened(f"s3://{seaweedfs.BUCKET}/x", access)).hint


@pytest.mark.parametrize(
    "place",
    [
        "s3://b/x",
        "s3://Key@backups/x",
        "s3://backups:80/x",
        "s3://backups/a/../b",
        "s3://backups/a//b",
        "s3://backups/a%00b",
        "s3://backups/x?colour=red",
        "s3://backups/x?style=sideways",
        "s3://backups/x?sse=rot13",
        "s3://backups/x?sse_key=k",
        "s3://backups/x?region=",
        "s3://backups/x?endpoint=ftp://h",
        "s3://backups/x?endpoint=h:8333",
        f"s3://backups/x?endpoint=https://{OWNER[0]}:{OWNER[1]}@h",
        "s3://backups/x?endpoint=https://h:99999",
        "s3://backups/x?region=a%20b",
    ],
)
def test_an_address_that_makes_no_sense(refused: Any, place: str) -> None:
    access = StoreAccess(credentials=seaweedfs.credentials(OWNER))
    assert not refused(UsageError, lambda: opened(place, access)).retryable


def test_a_name_too_long(weed: SeaweedFs, refused: Any) -> None:
    place = f"s3://{seaweedfs.BUCKET}/{'deep/' * 202}x?endpoint=http://127.0.0.1:{weed.port}"
    assert "shorter" in refused(NameTooLongError, lambda: opener(place, OWNER)("t").put("r1/keys/k", [b"1"])).hint


def test_a_clock_that_is_wrong(weed: SeaweedFs, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opener(address(weed.port), OWNER)("t")
    right = botocore.compat.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: right() - timedelta(hours=2))
    assert "clock" in refused(StoreClockError, lambda: list(store.list(""))).hint


def test_certificates(tmp_path: Path, refused: Any) -> None:
    """A server that nobody vouches for gets neither login nor bytes; one of a CA of one's own gets both."""
    authority = Authority(tmp_path)
    login = seaweedfs.credentials(rclone_s3.LOGIN)
    trusting = StoreAccess(credentials=login, ca_file=str(authority.file))
    for label, told in (("good", ""), ("expired", "expired")):
        (folder := tmp_path / f"{label}.server").mkdir()
        pair = authority.server(label, is_expired=bool(told))
        with rclone_s3.rclone_s3(folder, pair) as server:
            place = f"s3://{rclone_s3.BUCKET}/x?endpoint={server.endpoint}"
            error = refused(CertificateError, lambda place=place: opened(place, StoreAccess(credentials=login)))
            if told:
                error = refused(CertificateError, lambda place=place: opened(place, trusting))
                assert told in error.message
            else:
                assert "--ca-file" in error.hint
                store = opened(place, trusting)
                store.put("r1/blocks/aa/x", BLOCK)
                assert store.get("r1/blocks/aa/x") == b"".join(BLOCK)
    broken = StoreAccess(credentials=login, ca_file=str(tmp_path / "good.key"))
    refused(UsageError, lambda: opened("s3://backups/x", broken))


def test_a_server_that_speaks_no_s3(weed: SeaweedFs, refused: Any) -> None:
    """The master of SeaweedFS answers HTTP, as any web server at a mistyped port does."""
    place = f"s3://{seaweedfs.BUCKET}/x?endpoint=http://127.0.0.1:{weed.master_port}"
    assert "endpoint" in refused(StoreFolderError, lambda: opener(place, OWNER)("t")).hint


@pytest.mark.alone
def test_a_server_that_is_gone_or_silent(tmp_path: Path, refused: Any) -> None:
    """Else a backup hangs for ever, and no other destination is told of it."""
    with rclone_s3.rclone_s3(tmp_path) as server:
        store = impatient(address(server.port), rclone_s3.LOGIN, TimeLimits(1, 1))
        store.put("r1/keys/k", [b"1"])
        server.signal(signal.SIGSTOP)
        began = SystemClock().monotonic()
        for call in (lambda: store.get("r1/keys/k"), lambda: store.put("r1/blocks/aa/x", BLOCK)):
            assert refused(DestinationUnreachableError, call).retryable
        assert SystemClock().monotonic() - began < 10
        server.signal(signal.SIGCONT)
        server.kill()
        assert refused(DestinationUnreachableError, lambda: store.size("r1/keys/k")).retryable
        server.start()
        assert store.get("r1/keys/k") == b"1"


def test_a_server_killed_in_the_middle(tmp_path: Path, refused: Any) -> None:
    """Else half a block stands where a whole one is believed, or half of one is taken for all."""
    with seaweedfs.seaweedfs(tmp_path) as server, CuttingRelay(server.port) as relay:
        place = address(server.port)
        direct = opener(place, OWNER)("t")
        direct.put("once.json", [b"{}"])
        far = opener(place.replace(str(server.port), str(relay.port)), OWNER)("t")
        far.put("r1/blocks/aa/whole", BLOCK)
        relay.cut_after(up=9 * MIB, then=server.kill)
        assert refused(DestinationUnreachableError, lambda: far.put("r1/blocks/aa/half", BLOCK)).retryable
        server.start()
        assert direct.size("r1/blocks/aa/half") is None
        assert [info.name for info in direct.list("r1/")] == ["r1/blocks/aa/whole"]
        # Its parts find each other a moment after it answers again.
        patient = Retrying(direct, patience=Patience(first_pause_seconds=0.1))
        assert patient.get("r1/blocks/aa/whole") == b"".join(BLOCK)
        relay.cut_after(down=9 * MIB, then=server.kill)
        assert refused(DestinationUnreachableError, lambda: far.get("r1/blocks/aa/whole")).retryable


def test_an_answer_that_is_lost_is_told_as_a_broken_connection(weed: SeaweedFs, refused: Any) -> None:
    """Told as somebody else's name, a run would lose its own snapshot; tried again, it finds its own bytes."""
    with CuttingRelay(weed.port) as relay:
        place = address(weed.port)
        direct = opener(place, OWNER)("t")
        direct.put("once.json", [b"{}"])
        far = opener(place.replace(str(weed.port), str(relay.port)), OWNER)("t")
        far.put("r1/keys/before", [b"1"])
        relay.cut_after(down=1)
        assert refused(DestinationUnreachableError, lambda: far.put("r1/snapshots/s/n", [b"mine"])).retryable
        assert direct.get("r1/snapshots/s/n") == b"mine"
        relay.cut_after(down=1)
        Retrying(far, patience=Patience(first_pause_seconds=0.01)).put("r1/snapshots/s/m", [b"mine"])
        assert direct.get("r1/snapshots/s/m") == b"mine"


def _policy(name: str, prefix: str) -> str:
    """A policy as docs/stores/s3.md gives it."""
    text = (TOP / "docs/stores/s3.md").read_text()
    found = re.search(rf"<!-- {name} -->\n```json\n(.*?)```", text, re.DOTALL)
    assert found is not None
    words = {"ACCOUNT": "000000000000", "USER": "appender", "BUCKET": seaweedfs.BUCKET, "PREFIX": prefix}
    policy = found[1]
    for word, value in words.items():
        policy = policy.replace(word, value)
    return json.dumps(json.loads(policy))


def _with_policy(weed: SeaweedFs, name: str) -> Store:
    """A prefix, seen by a login with the rights of that policy alone."""
    login = {"aws_access_key_id": OWNER[0], "aws_secret_access_key": OWNER[1]}
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=weed.endpoint, **login)
    client.put_bucket_policy(Bucket=seaweedfs.BUCKET, Policy=_policy(name, name.replace(" ", "-")))
    client.close()
    place = f"s3://{seaweedfs.BUCKET}/{name.replace(' ', '-')}?endpoint={weed.endpoint}"
    return opener(place, APPENDER)("t")


def test_the_least_rights_suffice(weed: SeaweedFs, refused: Any) -> None:
    store = _with_policy(weed, "least rights")
    store.put("r1/gc/1.deleted", [b"1"])
    assert (store.get("r1/gc/1.deleted"), store.size("r1/keys/none")) == (b"1", None)
    assert store.top_names() == ["r1", "tmp"]
    assert [info.name for info in store.list("")] == ["r1/gc/1.deleted"]
    store.delete("r1/gc/1.deleted")
    assert store.traits.create_if_absent
    elsewhere = f"s3://{seaweedfs.BUCKET}/elsewhere?endpoint={weed.endpoint}"
    refused(DestinationRefusedError, lambda: opener(elsewhere, APPENDER)("t"))


def test_an_append_only_login_destroys_nothing(weed: SeaweedFs, refused: Any) -> None:
    """Else who takes over a host takes its history, too: by deleting, or by letting others delete."""
    store = _with_policy(weed, "append only")
    store.put("r1/blocks/aa/x", [b"1"])
    store.put("r1/sessions/s/1", [b"1"])
    store.delete("r1/sessions/s/1")
    refused(DestinationRefusedError, lambda: store.delete("r1/blocks/aa/x"))
    refused(DestinationRefusedError, lambda: store.put("r1/gc/1.candidates", [b"1"]))
    assert [info.name for info in store.list("r1/")] == ["r1/blocks/aa/x"]
    assert store.top_names() == ["r1", "tmp"]
