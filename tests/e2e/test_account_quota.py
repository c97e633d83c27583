"""The quota of the account (FEATURES 4.14): bytes of sources, of all sets; refused before anything is sent."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.orders import SnapshotListOrder
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.settings import directories
from backupd.snapshot.records import Drop
from tests.support.daemon import Daemon, running_daemon
from tests.support.damaging import delete, flip
from tests.support.raw_http import Raw, body_of

KIB = 1 << 10


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "home", settings="account_quota: 1000K\n") as started:
        yield started


def _write(path: Path, kib: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(kib * KIB))


def _account(daemon: Daemon) -> dict[str, Any] | None:
    """Asked without bkctl, whose start takes longer than the answer."""
    with Raw(daemon.socket, b"GET /v1/status HTTP/1.0\r\n\r\n") as connection:
        found: dict[str, Any] | None = body_of(connection.rest())["account"]
    assert found is None or found["left_bytes"] == max(0, found["quota_bytes"] - found["used_bytes"])
    return found


def _used(daemon: Daemon) -> float:
    account = _account(daemon)
    assert account is not None
    used: int = account["used_bytes"]
    return used / KIB


def _back_up(daemon: Daemon, name: str) -> tuple[float, list[str]]:
    """What a good run says that the set holds, most at any destination, in KiB; its warnings."""
    document = daemon.json("backup", name)
    assert document["exit"] == 0, document
    entries = [one for run in document["result"]["runs"] for one in run["destinations"]]
    return max(one["account_bytes"] / KIB for one in entries if "account_bytes" in one), document["warnings"]


def _drop_oldest(daemon: Daemon, place: Path) -> None:
    """As retention will."""
    environ = {**daemon.environ, "BACKUPD_STATE": str(daemon.state)}
    order = SnapshotListOrder(place=str(place))
    opened = open_place(JobContext(order, SystemClock(), Cancel(), environ, directories.find(environ), lambda _: None))
    opened.records.drop(Drop([opened.records.snapshot_names()[0].name], 1, bytes(16), "by a test"))


def _make(daemon: Daemon, name: str, source: Path, *places: Path) -> None:
    to = [word for place in places for word in ("--to", place)]
    daemon.good("set", "create", name, "--source", source, *to, "--jobs", "1", "--mode", "concurrent")


def _files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.is_file()}


def test_an_account_grows_is_refused_and_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    """Else who pays for a terabyte stores ten, or who stays below it is turned away."""
    source, place = tmp_path / "source", tmp_path / "place"
    _write(source / "letter", 600)
    _make(daemon, "docs", source, place)
    assert _back_up(daemon, "docs") == (600, [])
    assert _used(daemon) == 600
    # What is gone at the source is still kept.
    (source / "letter").unlink()
    _write(source / "deep" / "er" / "film", 250)
    held, warnings = _back_up(daemon, "docs")
    assert (held, ["quota of the account: over 80 %" in one for one in warnings]) == (850, [True])
    text = daemon.bkctl("status").stdout.decode()
    assert "Quota of the account: over 80 %: 850 KiB of" in text, text
    _write(source / "more", 200)
    held, warnings = _back_up(daemon, "docs")
    assert (held, ["the next run is refused" in one for one in warnings]) == (1050, [True])
    assert _used(daemon) == 1050
    before = _files(place)
    refused = daemon.json("backup", "docs")
    assert (refused["exit"], refused["error"]["code"]) == (16, "account.quota"), refused
    assert "account_quota" in refused["error"]["hint"]
    assert _files(place) == before, "refused before anything is sent"
    daemon.good("config", "set", "account_quota", "2000K")
    assert _back_up(daemon, "docs") == (1050, [])


def test_set_late_it_counts_all_that_is_there_and_what_is_dropped_is_free(daemon: Daemon, tmp_path: Path) -> None:
    """Else old snapshots are free; or a full account stays full, a cleared cache or a bad sector makes it look empty.

    Who has no such quota pays nothing for it: nothing is counted, kept or told.
    """
    source, place = tmp_path / "source", tmp_path / "place"
    _write(source / "film", 900)
    daemon.good("config", "set", "account_quota", "''")
    _make(daemon, "docs", source, place)
    run = daemon.good("backup", "docs")["runs"][0]
    assert "account_bytes" not in run["destinations"][0]
    assert _account(daemon) is None
    assert list(daemon.home.rglob("largest.sizes")) == []
    daemon.good("config", "set", "account_quota", "5M")
    account = _account(daemon)
    assert account is not None
    assert (account["used_bytes"], account["uncounted"]) == (0, ["docs"])
    assert "counted by their next runs: docs" in daemon.bkctl("status").stdout.decode()
    # A smaller version is free.
    _write(source / "film", 30)
    assert _back_up(daemon, "docs") == (900, [])
    refused = daemon.json("config", "set", "account_quota", "much")
    assert (refused["exit"], refused["error"]["code"]) == (2, "config.invalid"), refused
    (daemon.config / "backupd.yaml").write_text("account_quota: 500K\n", encoding="utf-8")
    daemon.good("config", "reload")
    (kept,) = daemon.home.rglob("largest.sizes")
    flip(0.9)(kept)
    assert daemon.json("backup", "docs")["exit"] == 16
    assert _used(daemon) == 900
    delete(kept)
    _drop_oldest(daemon, place)
    assert _back_up(daemon, "docs") == (30, [])
    assert _used(daemon) == 30


def test_all_sets_count_together_and_each_destination_not_once_more(daemon: Daemon, tmp_path: Path) -> None:
    """Else a second set is free, or a second copy costs twice."""
    source = tmp_path / "source"
    _write(source / "letter", 400)
    _make(daemon, "docs", source, tmp_path / "place", tmp_path / "other")
    _back_up(daemon, "docs")
    assert _used(daemon) == 400
    # The same files in a second set are stored a second time.
    _make(daemon, "copy", source, tmp_path / "third")
    _back_up(daemon, "copy")
    assert _used(daemon) == 800
    _write(source / "large", 250)
    assert "the next run is refused" in _back_up(daemon, "docs")[1][0], "what others hold counts, too"
    refused = daemon.json("backup", "copy")
    assert (refused["exit"], refused["error"]["code"]) == (16, "account.quota"), refused
    assert _used(daemon) == 1050, "what was refused told what it holds"
    daemon.good("set", "delete", "copy", "--yes")
    assert _used(daemon) == 650
