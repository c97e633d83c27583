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


def _account(daemon: Daemon) -> dict[str, Any]:
    """Asked without bkctl, whose start takes longer than the answer."""
    with Raw(daemon.socket, b"GET /v1/status HTTP/1.0\r\n\r\n") as connection:
        found: dict[str, Any] = body_of(connection.rest())["account"]
    assert found["left_bytes"] == max(0, found["quota_bytes"] - found["used_bytes"])
    return found


def _used(daemon: Daemon) -> float:
    used: int = _account(daemon)["used_bytes"]
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
    daemon.good("set", "create", name, "--source", source, *to, "--jobs", "1")


def _files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.is_file()}


def test_an_account_grows_is_refused_and_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    """Else who pays for a terabyte stores ten, or who stays below it is turned away."""
    source, place = tmp_path / "source", tmp_path / "place"
    _write(source / "letter", 600)
    _make(daemon, "docs", source, place)
    assert _back_up(daemon, "docs") == (600, [])
    assert _used(daemon) == 600
    # A smaller version is free, and so is what is gone at the source: the older one is still kept.
    _write(source / "letter", 100)
    assert _back_up(daemon, "docs") == (600, [])
    (source / "letter").unlink()
    _write(source / "deep" / "er" / "film", 250)
    held, warnings = _back_up(daemon, "docs")
    assert (held, ["quota of the account: over 80 %" in one for one in warnings]) == (850, [True])
    text = daemon.bkctl("status").stdout.decode()
    assert "Quota of the account: over 80 %: 850 KiB of" in text, text
    _write(source / "more", 200)
    held, warnings = _back_up(daemon, "docs")
    assert (held, ["the next run is refused" in one for one in warnings]) == (1050, [True])
    assert (_used(daemon), _account(daemon)["left_bytes"]) == (1050, 0)
    before = _files(place)
    refused = daemon.json("backup", "docs")
    assert (refused["exit"], refused["error"]["code"]) == (16, "account.quota"), refused
    assert "account_quota" in refused["error"]["hint"]
    assert _files(place) == before, "refused before anything is sent"
    daemon.good("config", "set", "account_quota", "2000K")
    assert _back_up(daemon, "docs") == (1050, [])
    assert (_account(daemon)["quota_bytes"], _used(daemon)) == (2000 * KIB, 1050)


def test_dropped_snapshots_make_room_and_a_spoiled_count_is_made_anew(daemon: Daemon, tmp_path: Path) -> None:
    """Else a full account stays full for ever; or a cleared cache, a bad sector makes it look empty or full."""
    source, place = tmp_path / "source", tmp_path / "place"
    _write(source / "film", 900)
    _make(daemon, "docs", source, place)
    _back_up(daemon, "docs")
    _write(source / "film", 30)
    (kept,) = daemon.home.rglob("largest.sizes")
    flip(0.9)(kept)
    assert _back_up(daemon, "docs")[0] == 900
    (daemon.config / "backupd.yaml").write_text("account_quota: 500K\n", encoding="utf-8")
    daemon.good("config", "reload")
    delete(kept)
    assert daemon.json("backup", "docs")["exit"] == 16
    assert _used(daemon) == 900
    _drop_oldest(daemon, place)
    assert _back_up(daemon, "docs") == (30, [])
    assert _used(daemon) == 30


def test_all_sets_count_together_and_each_destination_not_once_more(daemon: Daemon, tmp_path: Path) -> None:
    """Else a second set is free, or a second copy costs twice."""
    source = tmp_path / "source"
    _write(source / "letter", 300)
    _make(daemon, "docs", source, tmp_path / "place", tmp_path / "other")
    _back_up(daemon, "docs")
    assert _used(daemon) == 300
    daemon.good("set", "edit", "docs", "--mode", "concurrent")
    _write(source / "more", 100)
    assert _back_up(daemon, "docs")[0] == 400
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


def test_who_has_no_such_quota_pays_nothing_for_it(daemon: Daemon, tmp_path: Path) -> None:
    """Nothing is counted, kept or told; set later, all that was stored before is counted by the next run."""
    source = tmp_path / "source"
    _write(source / "letter", 300)
    daemon.good("config", "set", "account_quota", "''")
    _make(daemon, "docs", source, tmp_path / "place")
    run = daemon.good("backup", "docs")["runs"][0]
    assert "account_bytes" not in run["destinations"][0]
    assert daemon.good("status")["account"] is None
    assert list(daemon.home.rglob("largest.sizes")) == []
    (source / "letter").unlink()
    daemon.good("config", "set", "account_quota", "900K")
    assert (_account(daemon)["used_bytes"], _account(daemon)["uncounted"]) == (0, ["docs"])
    assert "counted by their next runs: docs" in daemon.bkctl("status").stdout.decode()
    assert _back_up(daemon, "docs") == (300, [])
    assert (_used(daemon), _account(daemon)["uncounted"]) == (300, [])
    refused = daemon.json("config", "set", "account_quota", "much")
    assert (refused["exit"], refused["error"]["code"]) == (2, "config.invalid"), refused
    assert _account(daemon)["quota_bytes"] == 900 * KIB
