"""`bkctl destination replicate` as a user meets it: through a daemon, and from store to store."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import running_daemon
from tests.support.servers import seaweedfs
from tests.support.servers.sshd import fingerprint, sshd


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some files."""
    found = tmp_path / "source"
    found.mkdir()
    for number in range(9):
        (found / f"file {number}").write_bytes(os.urandom(9_000 * number**2))
    return found


def test_through_the_daemon(source: Path, tmp_path: Path) -> None:
    """A job of its own kind, queued, logged, kept; the set's backups then go on at the new destination."""
    with running_daemon(tmp_path / "home") as daemon:
        for name in ("old", "new"):
            daemon.good("destination", "add", name, tmp_path / name)
        words = ("destination", "replicate", "--from", "old", "--to", "new")
        daemon.good("set", "create", "docs", "--source", source, "--to", "old", "--jobs", "1")
        nothing = daemon.json(*words, "docs")
        assert (nothing["exit"], nothing["error"]["code"]) == (10, "repository.not_found")
        daemon.good("set", "create", "mail", "--source", source, "--to", "old", "--jobs", "1")
        daemon.good("backup", "docs", "mail")
        (source / "more").write_bytes(os.urandom(30_000))
        daemon.good("backup", "docs")
        both = daemon.good(*words)
        assert both["snapshots"] == {"copied": 3, "there": 0, "failed": 0, "partial": 0}
        assert {one["set"] for one in both["replications"]} == {"docs", "mail"}
        text = daemon.bkctl(*words, "docs").stdout.decode()
        assert "0 snapshots copied from old to new: 2 there already" in text
        assert "bkctl set edit docs --add-to new" in text
        latest = daemon.good("job", "show", "docs@latest")["job"]
        assert (latest["kind"], latest["state"]) == ("replicate", "completed")
        assert "open the repository to copy to" in str(daemon.json("job", "log", "docs@latest"))
        daemon.good("set", "edit", "docs", "--add-to", "new")
        (run,) = daemon.good("backup", "docs", "--to", "new")["runs"]
        assert run["destinations"][0]["stored_bytes"] < 20_000, "the copy was stored again"
        assert "--add-to" not in daemon.bkctl(*words, "docs").stdout.decode()
        shutil.rmtree(tmp_path / "old")
        daemon.good("restore", "docs", "--from", "new", "--to", tmp_path / "out")
        assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
        assert daemon.json(*words)["exit"] == 15
        same = daemon.json("destination", "replicate", "--from", "new", "--to", "new")
        assert (same["exit"], same["error"]["code"]) == (2, "usage.invalid")
        stranger = daemon.json("destination", "replicate", "--from", "new", "--to", "./stranger")
        assert (stranger["exit"], stranger["error"]["code"]) == (10, "destination.not_found")


@pytest.mark.nightly
def test_from_store_to_store(source: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A disk to S3, from there to SFTP, each with its own login; the snapshots come back from the last one alone."""
    count = 4 if request.config.getoption("--full-size") else 2
    with ExitStack() as stack:
        for name in ("weed", "box"):
            (tmp_path / name).mkdir()
        weed = stack.enter_context(seaweedfs.seaweedfs(tmp_path / "weed"))
        server = stack.enter_context(sshd(tmp_path / "box"))
        login = tmp_path / "login"
        login.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
        daemon = stack.enter_context(running_daemon(tmp_path / "home"))
        s3 = f"s3://{seaweedfs.BUCKET}/copy?endpoint={weed.endpoint}"
        sftp = f"sftp://{server.user}@127.0.0.1:{server.port}{tmp_path}/box/backups"
        opens_sftp = ("--credentials-file", server.login_key, "--host-key", fingerprint(server.host_key))
        daemon.good("destination", "add", "disk", tmp_path / "disk")
        daemon.good("destination", "add", "cloud", s3, "--credentials-file", login, "--allow-plaintext")
        daemon.good("destination", "add", "box", sftp, *opens_sftp)
        daemon.good("set", "create", "docs", "--source", source, "--to", "disk", "--jobs", "1")
        states: dict[str, Path] = {}
        for number in range(count):
            os.link(source / "file 3", source / f"link {number}")
            (source / f"new {number}").write_bytes(os.urandom(50_000))
            (run,) = daemon.good("backup", "docs")["runs"]
            states[run["snapshot"]] = tmp_path / f"state {number}"
            subprocess.run(["cp", "-a", source, states[run["snapshot"]]], check=True)
        for old, new in (("disk", "cloud"), ("cloud", "box")):
            words = ("destination", "replicate", "--from", old, "--to", new)
            assert daemon.good(*words)["snapshots"]["copied"] == count
        again = daemon.good(*words)
        assert (again["snapshots"]["there"], again["bytes"]) == (count, {"copied": 0, "fetched": 0, "held": None})
        shutil.rmtree(tmp_path / "disk")
        weed.kill()
        for number, (snapshot, state) in enumerate(states.items()):
            out = tmp_path / f"out {number}"
            daemon.good("restore", "docs", "--from", "box", "--to", out, "--as-of", snapshot)
            assert compare_trees(state, out / str(source)[1:]) == []
        daemon.good("check", "docs", "--from", "box", "--crc")
