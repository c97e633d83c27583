"""Quotas of destinations and sets (FEATURES 4.7, 4.14): told in time, passed by a block at most, no run lost."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.servers import seaweedfs

MIB = 1 << 20
_OVER_BYTES = 48 * MIB
"""A block and a half."""


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "home") as started:
        yield started


def _fill(source: Path, mib: int, seed: int) -> None:
    source.mkdir(exist_ok=True)
    random = Random(seed)
    for number in range(mib):
        (source / f"{seed}-{number}").write_bytes(random.randbytes(MIB))


def _blocks(place: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in place.glob("*/blocks/*/*")}


def _quota(daemon: Daemon, name: str) -> dict[str, Any]:
    copy = daemon.good("status", name)["sets"][0]["destinations"][0]
    found: dict[str, Any] = copy["quotas"][0]
    return found


def test_a_run_ends_at_the_quota_and_goes_on_when_it_is_raised(daemon: Daemon, tmp_path: Path) -> None:
    """Else one set fills what a disk's owner gave to it and others, or all of a long first run is lost at the limit."""
    source, place = tmp_path / "source", tmp_path / "place"
    _fill(source, 72, 1)
    daemon.good("destination", "add", "disk", place)
    daemon.good("set", "create", "docs", "--source", source, "--to", "disk", "--quota", "10M", "--jobs", "2")
    document = daemon.json("backup", "docs")
    assert (document["exit"], document["error"]["code"]) == (16, "destination.quota"), document
    assert "--quota" in document["error"]["hint"]
    run = document["result"]["runs"][0]
    assert (run["incomplete"], run["destinations"][0]["verdict"]) == (True, "failed")
    stored = _blocks(place)
    assert 10 * MIB < sum(stored.values()) <= 10 * MIB + _OVER_BYTES
    assert [one["incomplete"] for one in daemon.good("snapshot", "list", "docs", "--incomplete")["snapshots"]] == [True]
    before = {path for path in place.rglob("*") if path.is_file()}
    refused = daemon.json("backup", "docs")
    assert (refused["exit"], refused["error"]["code"]) == (16, "destination.quota"), refused
    assert {path for path in place.rglob("*") if path.is_file()} == before, "refused before anything is sent"
    use = _quota(daemon, "docs")
    assert (use["of"], use["quota_bytes"], use["left_bytes"]) == ("set", 10 * MIB, 0)
    daemon.good("set", "edit", "docs", "--quota", "200M")
    daemon.good("backup", "docs")
    assert stored.items() <= _blocks(place).items(), "nothing is stored twice"
    assert sum(_blocks(place).values()) < 76 * MIB
    daemon.good("restore", "docs", "--to", tmp_path / "out")
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []


def test_what_fits_is_stored_and_a_quota_that_is_nearly_used_is_told(daemon: Daemon, tmp_path: Path) -> None:
    """Else runs are refused that would have fitted, or the first that anybody hears of the quota is a refusal."""
    source, place = tmp_path / "source", tmp_path / "place"
    _fill(source, 20, 2)
    daemon.good("destination", "add", "disk", place, "--quota", "21M")
    daemon.good("set", "create", "docs", "--source", source, "--to", "disk")
    document = daemon.json("backup", "docs")
    assert document["exit"] == 0, document
    assert any("quota of disk: over 95 %" in warning for warning in document["warnings"]), document["warnings"]
    daemon.good("destination", "edit", "disk", "--quota", "24M")
    assert any("over 80 %" in warning for warning in daemon.json("backup", "docs")["warnings"])
    use = _quota(daemon, "docs")
    assert (use["of"], use["quota_bytes"]) == ("destination", 24 * MIB)
    assert use["used_bytes"] == sum(_blocks(place).values()) == 24 * MIB - use["left_bytes"]
    text = daemon.bkctl("status").stdout.decode()
    assert "Quota of disk: over 80 %: 20.0 MiB of 24.0 MiB used" in text, text
    # The sets of a destination share its quota.
    daemon.good("destination", "edit", "disk", "--quota", "15M")
    daemon.good("set", "create", "other", "--source", source, "--to", "disk")
    refused = daemon.json("backup", "other")
    assert (refused["exit"], refused["error"]["code"]) == (16, "destination.quota"), refused


@pytest.mark.nightly
def test_a_quota_holds_at_a_server(tmp_path: Path) -> None:
    """Else a bucket that is paid for by the byte grows without end: no store tells there what is free."""
    source = tmp_path / "source"
    _fill(source, 56, 5)
    (tmp_path / "server").mkdir()
    with ExitStack() as stack:
        weed = stack.enter_context(seaweedfs.seaweedfs(tmp_path / "server"))
        daemon = stack.enter_context(running_daemon(tmp_path / "home"))
        login = tmp_path / "login"
        login.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
        place = f"s3://{seaweedfs.BUCKET}/quota?endpoint={weed.endpoint}"
        words = ("--credentials-file", login, "--allow-plaintext", "--quota", "8M")
        daemon.good("destination", "add", "bucket", place, *words)
        daemon.good("set", "create", "docs", "--source", source, "--to", "bucket", "--jobs", "2")
        document = daemon.json("backup", "docs")
        assert (document["exit"], document["error"]["code"]) == (16, "destination.quota"), document
        assert 8 * MIB < _quota(daemon, "docs")["used_bytes"] <= 8 * MIB + _OVER_BYTES
        assert [one["incomplete"] for one in daemon.good("snapshot", "list", "--incomplete")["snapshots"]] == [True]
