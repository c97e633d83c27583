"""Who makes a set whose only copy lies on the disk of its sources is told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.daemon import running_daemon


@pytest.mark.platform("linux")
def test_one_disk_for_sources_and_copies_is_told(tmp_path: Path) -> None:
    """Else the backup dies with what it was made of. A copy elsewhere, also a second one, is enough."""
    source = tmp_path / "source"
    source.mkdir()
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="backupd-") as memory,  # noqa: S108 - another file system
        running_daemon(tmp_path / "home") as daemon,
    ):
        assert os.stat(memory).st_dev != source.stat().st_dev
        for name, place in (("near", tmp_path / "not yet/near"), ("near2", tmp_path / "two"), ("far", Path(memory))):
            daemon.good("destination", "add", name, place)
        told = daemon.json("set", "create", "docs", "--source", source, "--to", "near")
        assert told["exit"] == 0, told
        assert any(f"{source} and all that docs stores (near) are on one disk" in one for one in told["warnings"]), told
        edited = daemon.json("set", "edit", "docs", "--add-to", "near2")
        assert any("(near and near2) are on one disk" in one for one in edited["warnings"]), edited
        assert daemon.json("set", "edit", "docs", "--add-to", "far")["warnings"] == []
        daemon.good("set", "create", "other", "--source", source, "--to", "far")
        pool = daemon.json("destination", "add", "pool", "--pool", "failover", "--member", "near3", "--member", "near4")
        assert pool["exit"] == 10, pool
        for name in ("near3", "near4"):
            daemon.good("destination", "add", name, tmp_path / name)
        daemon.good("destination", "add", "pool", "--pool", "failover", "--member", "near3", "--member", "near4")
        pooled = daemon.json("set", "create", "third", "--source", source, "--to", "pool")
        assert any("(pool) are on one disk" in one for one in pooled["warnings"]), pooled
