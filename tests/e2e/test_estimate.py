"""`set estimate`: what it says before a run is about what the run then does, and nothing is written for it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.mounting import tmpfs

MIB = 1 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    source, random = tmp_path / "source", Random(21)
    source.mkdir()
    for number in range(12):
        # Half of it shrinks to half.
        data = random.randbytes(MIB) if number % 2 else random.randbytes(MIB // 2).hex().encode()
        (source / str(number)).write_bytes(data)
    with running_daemon(tmp_path / "home") as started:
        started.good("destination", "add", "disk", tmp_path / "place")
        started.good("set", "create", "docs", "--source", source, "--to", "disk")
        yield started


def _estimate(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["result"]["runs"][0]["destinations"][0]["estimate"]
    return found


def test_before_the_first_run_and_before_a_later_one(daemon: Daemon, tmp_path: Path) -> None:
    """Else a first backup of a week is begun to a disk that is too small for it."""
    document = daemon.json("set", "estimate", "docs")
    assert document["exit"] == 0, document
    first = _estimate(document)
    assert (first["new_bytes"], first["ratio_of"], first["seconds"]) == (12 * MIB, "samples", None)
    assert first["fits"] is True
    assert first["free_bytes"] > 0
    assert not (tmp_path / "place").exists(), "nothing is made for it"
    assert daemon.good("set", "show", "docs")["set"]["repositories"] == []
    assert not list((daemon.home / "cache").rglob("r*/*")), "nor is anything left of it here"
    run = daemon.good("backup", "docs")["runs"][0]
    stored = run["destinations"][0]["stored_bytes"]
    assert 0.7 * stored < first["stored_bytes"] < 1.3 * stored
    (tmp_path / "source" / "more").write_bytes(Random(22).randbytes(3 * MIB))
    later = _estimate(daemon.json("set", "estimate", "docs", "--to", "disk"))
    assert (later["new_bytes"], later["changed_bytes"], later["ratio_of"]) == (3 * MIB, 0, "runs")
    assert later["seconds"] is not None
    assert 0 < later["stored_bytes"] < 3.2 * MIB
    text = daemon.bkctl("set", "estimate", "docs").stdout.decode()
    assert "disk: about" in text, text
    assert "fits" in text, text
    jobs = daemon.good("status", "docs")["sets"][0]
    assert jobs["destinations"][0]["last_run"]["job"] == run["job"], "an estimate is no run"
    daemon.good("set", "edit", "docs", "--stream", "machine=system", "--cache", "none")
    warnings = daemon.json("set", "estimate", "docs")["warnings"]
    for told in ("what 1 stream will write is not known", "without a cache all files count as new"):
        assert any(told in one for one in warnings), warnings
    daemon.good("set", "edit", "docs", "--remove-stream", "machine", "--cache", "full")


@pytest.mark.platform("linux")
@pytest.mark.root
@pytest.mark.needs("mount", "umount")
def test_what_does_not_fit_is_told_by_the_exit_code(daemon: Daemon, tmp_path: Path) -> None:
    """Else who asks before the night learns in the morning that it did not fit."""
    with tmpfs(tmp_path / "mount", "12m") as mount:
        daemon.good("destination", "add", "small", mount / "place")
        daemon.good("set", "edit", "docs", "--add-to", "small")
        some = daemon.json("set", "estimate", "docs")
        assert (some["exit"], some["error"]["code"]) == (4, "destination.some"), some
        alone = daemon.json("set", "estimate", "docs", "--to", "small")
        assert (alone["exit"], alone["error"]["code"]) == (16, "space.destination"), alone
        assert _estimate(alone)["fits"] is False
        assert "DOES NOT FIT" in daemon.bkctl("set", "estimate", "docs", "--to", "small").stdout.decode()
        daemon.good("set", "edit", "docs", "--remove-to", "small", "--quota", "4M")
        over = daemon.json("set", "estimate", "docs")
        assert (over["exit"], over["error"]["code"]) == (16, "destination.quota"), over
        assert _estimate(over)["quotas"] == [{"quota_bytes": 4 * MIB, "used_bytes": 0, "left_bytes": 4 * MIB}]
