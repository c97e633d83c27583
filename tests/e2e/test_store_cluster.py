"""A store of several machines, one of which dies in the middle: nothing that was stored is lost."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import running_daemon
from tests.support.servers.seaweed_cluster import SeaweedCluster, seaweed_cluster
from tests.support.servers.seaweedfs import BUCKET, OWNER, credentials


@pytest.fixture
def cluster(tmp_path: Path) -> Generator[SeaweedCluster, None, None]:
    (tmp_path / "weed").mkdir()
    with seaweed_cluster(tmp_path / "weed") as started:
        yield started


@pytest.mark.nightly
def test_a_volume_server_dies_during_a_backup(cluster: SeaweedCluster, tmp_path: Path) -> None:
    """The run, or its next try, finishes; what lay on the dead server is read from its twin."""
    login = tmp_path / "login"
    login.write_bytes(credentials(OWNER))
    place = f"s3://{BUCKET}/cluster?endpoint={cluster.endpoint}"
    source = tmp_path / "source"
    slow_set.fill(source, 24)
    with running_daemon(tmp_path / "home") as daemon:
        words = ("--credentials-file", login, "--allow-plaintext")
        daemon.good("destination", "add", "cluster", place, *words)
        daemon.good("set", "create", "docs", "--source", source, "--to", "cluster", "--jobs", "1")
        daemon.good("backup", "docs")
        (source / "small").write_bytes(os.urandom(100_000))
        slow_set.fill(source, 24, seed=2)
        with slow_set.begun(daemon, "docs") as job:
            slow_set.go_on_until_stored(daemon, job)
            cluster.volumes[0].kill()
        document = daemon.json("job", "wait", job)
        tries = 0
        while document["exit"] != 0 and tries < 2:
            document = daemon.json("backup", "docs")
            tries += 1
        assert document["exit"] == 0, document
        assert daemon.json("check", "docs", "--crc")["exit"] == 0
        daemon.good("restore", "docs", "--to", tmp_path / "out")
        assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
        first = daemon.good("snapshot", "list", "docs")["snapshots"][0]["id"]
        daemon.good("restore", "docs", "--as-of", first, "--to", tmp_path / "first")
        assert len(list((tmp_path / "first" / str(source)[1:]).iterdir())) == 12
        # Back again, and another one gone: what was written meanwhile has two copies, too.
        cluster.volumes[0].start()
        assert daemon.json("backup", "docs")["exit"] == 0
        cluster.volumes[1].kill()
        assert daemon.json("check", "docs", "--crc")["exit"] == 0
        daemon.good("restore", "docs", "--to", tmp_path / "last")
        assert compare_trees(source, tmp_path / "last" / str(source)[1:]) == []
