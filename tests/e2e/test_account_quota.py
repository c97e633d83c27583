"""The quota of the account (FEATURES 4.14): source bytes of all sets, refused before anything is sent, never miscounted."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon

KIB = 1 << 10


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path / "home", settings="account_quota: 1000K\n") as started:
        yield started


def _used(daemon: Daemon) -> int:
    account = daemon.good("status")["account"]
    assert account["left_bytes"] == max(0, account["quota_bytes"] - account["used_bytes"])
    used: int = account["used_bytes"]
    return used


def _write(path: Path, kib: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(kib * KIB))


def _sizes_files(daemon: Daemon) -> list[Path]:
    found = list(daemon.home.rglob("largest.sizes"))
    assert found
    return found


def test_it_grows(daemon: Daemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    _write(source / "a", 100)
    daemon.good("set", "create", "docs", "--source", source, "--to", tmp_path / "place")
    d = daemon.json("backup", "docs")
    print(d)
    print(daemon.good("status"))
    assert _used(daemon) == 100 * KIB
