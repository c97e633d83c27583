"""One reading of the sources for a disk, an S3 and an SFTP server at once: each whole by itself, none harms another."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support import slow_set
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.servers import seaweedfs
from tests.support.servers.seaweedfs import SeaweedFs
from tests.support.servers.sshd import Sshd, fingerprint, sshd

NAMES = ("disk", "s3", "sftp")
_MIB = 24
"""Of a source that is not read to its end when something of it is stored."""


class House:
    """A daemon with three destinations, two of them servers, and a source."""

    def __init__(self, folder: Path, daemon: Daemon, weed: SeaweedFs, server: Sshd) -> None:
        self.folder, self.daemon, self.weed, self.server = folder, daemon, weed, server
        self.source = folder / "source"
        self.source.mkdir()
        login = folder / "login"
        login.write_bytes(seaweedfs.credentials(seaweedfs.OWNER))
        s3 = f"s3://{seaweedfs.BUCKET}/{folder.name}?endpoint={weed.endpoint}"
        sftp = f"sftp://{server.user}@127.0.0.1:{server.port}{folder}/sftp"
        brief = ("--retry-for", "2s")
        key = ("--credentials-file", server.login_key, "--host-key", fingerprint(server.host_key))
        daemon.good("destination", "add", "disk", folder / "disk")
        daemon.good("destination", "add", "s3", s3, "--credentials-file", login, "--allow-plaintext", *brief)
        daemon.good("destination", "add", "sftp", sftp, *key, *brief)

    def make_set(self, *words: str) -> None:
        """A set with all three."""
        to = [word for name in NAMES for word in ("--to", name)]
        words = ("--mode", "concurrent", *words)
        self.daemon.good("set", "create", "docs", "--source", self.source, *to, *words)

    def back_up(self) -> dict[str, Any]:
        """A run; its document."""
        return self.daemon.json("backup", "docs")

    def check_place(self, name: str) -> None:
        """The newest snapshot there gives the source back, byte for byte."""
        out = self.folder / f"out-{name}"
        self.daemon.good("restore", "docs", "--from", name, "--to", out)
        assert compare_trees(self.source, out / str(self.source)[1:]) == [], name


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[SeaweedFs, Sshd], None, None]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "weed").mkdir()
    (folder / "ssh").mkdir()
    with ExitStack() as stack:
        yield stack.enter_context(seaweedfs.seaweedfs(folder / "weed")), stack.enter_context(sshd(folder / "ssh"))


@pytest.fixture
def house(tmp_path: Path, servers: tuple[SeaweedFs, Sshd]) -> Generator[House, None, None]:
    with running_daemon(tmp_path / "home") as daemon:
        yield House(tmp_path, daemon, *servers)


def _verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["verdict"] for entry in document["result"]["runs"][0]["destinations"]}


def _check_that_part_was_there(document: dict[str, Any], mib: int, names: Sequence[str]) -> None:
    """What `slow_set.fill` made shrinks to half at best, which a run would store that finds nothing of it."""
    entries = {entry["name"]: entry["stored_bytes"] for entry in document["result"]["runs"][0]["destinations"]}
    assert all(entries[name] < (mib // 2 - 2) << 20 for name in names), entries


@contextmanager
def _watched(daemon: Daemon, log: Path) -> Generator[None, None, None]:
    """Which files the daemon and all that it starts open meanwhile."""
    assert daemon.process is not None
    command = ["strace", "-f", "-qq", "-e", "trace=openat,openat2,open", "-o", str(log), "-p", str(daemon.process.pid)]
    status = Path(f"/proc/{daemon.process.pid}/status")
    with subprocess.Popen(command) as tracing:
        slow_set.wait_for(lambda: "TracerPid:\t0\n" not in status.read_text())
        try:
            yield
        finally:
            tracing.terminate()


@pytest.mark.root
@pytest.mark.platform("linux")
def test_each_file_is_opened_once_for_all_of_them(house: House, tmp_path: Path) -> None:
    """Else three destinations cost the disk three readings, and hold three different states of a file."""
    random = Random(1)
    for number in range(60):
        folder = house.source / f"folder{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"once-{number:03}").write_bytes(random.randbytes(100 * number**2))
    (house.source / "once-large").write_bytes(random.randbytes(20 << 20))
    house.make_set()
    with _watched(house.daemon, tmp_path / "opened"):
        document = house.back_up()
    assert document["exit"] == 0, document
    assert _verdicts(document) == dict.fromkeys(NAMES, "good")
    opened = Counter(re.findall(r'"(once-\w+)"', (tmp_path / "opened").read_text()))
    small = {name: count for name, count in opened.items() if name != "once-large"}
    assert small == {f"once-{number:03}": 1 for number in range(60)}
    # Looked at for its kind of content, then read in regions.
    assert opened["once-large"] == 2
    snapshots = [house.daemon.good("snapshot", "list", "docs", "--from", name)["snapshots"] for name in NAMES]
    assert len({one[0]["id"] for one in snapshots}) == 1, "one snapshot, everywhere"
    for name in NAMES:
        house.check_place(name)
        assert house.daemon.json("check", "docs", "--from", name)["exit"] == 0


def test_a_server_that_dies_harms_no_other(house: House, servers: tuple[SeaweedFs, Sshd]) -> None:
    """Else one bad line costs the night's backup everywhere."""
    slow_set.fill(house.source, 8)
    house.make_set("--compression", "best", "--jobs", "1")
    with slow_set.begun(house.daemon, "docs") as job:
        house.server.kill()
    try:
        document = house.daemon.json("job", "wait", job)
        assert document["exit"] == 4, document
        assert _verdicts(document) == {"disk": "good", "s3": "good", "sftp": "failed"}
        assert "sftp" in document["error"]["message"]
        house.check_place("disk")
        house.check_place("s3")
    finally:
        house.server.start()
    assert house.daemon.json("snapshot", "list", "docs", "--from", "sftp")["exit"] == 10
    document = house.back_up()
    assert (document["exit"], _verdicts(document)) == (0, dict.fromkeys(NAMES, "good")), document
    house.check_place("sftp")
    (house.source / "later").write_bytes(os.urandom(50_000))
    document = house.back_up()
    assert (document["exit"], _verdicts(document)) == (0, dict.fromkeys(NAMES, "good")), document
    log = [line["message"] for line in house.daemon.good("job", "log", "docs@latest")["lines"]]
    assert not any(line.startswith("fill ") for line in log), "all are in step again"


def test_who_stands_still_holds_up_no_other(house: House) -> None:
    """Else the slowest server decides when the night's backup is safe anywhere."""
    slow_set.fill(house.source, 8)
    house.make_set("--compression", "best", "--jobs", "1")
    # However slow this machine is, what stood still gets its turn.
    house.daemon.good("destination", "edit", "sftp", "--retry-for", "10m")
    with slow_set.begun(house.daemon, "docs") as job:
        house.server.stop()
    try:
        slow_set.wait_for(lambda: any((house.folder / "disk").glob("*/snapshots/*/*")), 55)
        assert not list((house.folder / "sftp").glob("*/snapshots/*/*"))
    finally:
        house.server.go_on()
    document = house.daemon.json("job", "wait", job)
    assert (document["exit"], _verdicts(document)) == (0, dict.fromkeys(NAMES, "good")), document
    house.check_place("sftp")


@pytest.mark.alone
@pytest.mark.nightly
def test_a_stop_waits_for_nobody_who_stands_still(house: House) -> None:
    """Else the daemon kills the job after ten seconds, and what was read so far is read again at all of them."""
    slow_set.fill(house.source, 8)
    house.make_set("--compression", "best", "--jobs", "1")
    try:
        with slow_set.begun(house.daemon, "docs") as job:
            slow_set.go_on_until_stored(house.daemon, job)
            house.server.stop()
            house.daemon.good("job", "cancel", job)
        document = house.daemon.json("job", "wait", job)
    finally:
        house.server.go_on()
    assert document["exit"] == 5, document
    entries = {entry["name"]: entry for entry in document["result"]["runs"][0]["destinations"]}
    assert (entries["disk"]["verdict"], entries["sftp"]["verdict"]) == ("good", "failed")
    listed = house.daemon.good("snapshot", "list", "docs", "--from", "disk", "--incomplete")["snapshots"]
    assert [one["incomplete"] for one in listed] == [True]
    document = house.back_up()
    assert document["exit"] == 0, document
    for name in NAMES:
        house.check_place(name)


@pytest.mark.nightly
def test_without_the_first_one_the_others_have_the_key_and_all(house: House) -> None:
    """The first place makes the repository; where it is not there, the next one does, and nothing is lost later."""
    (house.source / "one").write_bytes(os.urandom(100_000))
    house.make_set()
    (house.folder / "disk").write_bytes(b"no directory")
    document = house.back_up()
    assert _verdicts(document) == {"disk": "failed", "s3": "good", "sftp": "good"}, document
    for name in ("s3", "sftp"):
        house.check_place(name)
    (house.folder / "disk").unlink()
    document = house.back_up()
    assert (document["exit"], _verdicts(document)) == (0, dict.fromkeys(NAMES, "good")), document
    house.check_place("disk")


@pytest.mark.nightly
def test_a_stopped_run_goes_on_at_all_of_them(house: House) -> None:
    """What was stored before a stop must count everywhere."""
    slow_set.fill(house.source, _MIB)
    house.make_set("--compression", "best", "--jobs", "1")
    with slow_set.begun(house.daemon, "docs") as job:
        slow_set.go_on_until_stored(house.daemon, job)
        house.daemon.good("job", "cancel", job)
    assert house.daemon.json("job", "wait", job)["exit"] == 5
    document = house.back_up()
    assert document["exit"] == 0, document
    _check_that_part_was_there(document, _MIB, NAMES)
    for name in NAMES:
        listed = house.daemon.good("snapshot", "list", "docs", "--from", name, "--incomplete")["snapshots"]
        assert [one["incomplete"] for one in listed] == [False], name
        house.check_place(name)


@pytest.mark.nightly
def test_a_job_that_is_killed_goes_on_at_all_of_them(house: House) -> None:
    """Each destination's journal knows what lies there; nothing is stored twice and nothing is lost."""
    slow_set.fill(house.source, 112)
    house.make_set("--compression", "best", "--jobs", "1")
    folders = [house.folder / name for name in ("disk", "sftp")]
    with slow_set.begun(house.daemon, "docs") as job:
        # More than a block, which is what a kill leaves; a stop stores what is half full, too.
        slow_set.go_on_until(house.daemon, lambda: slow_set.read_bytes(house.daemon, job) >= 72 << 20)
        slow_set.wait_for(lambda: all(any(folder.glob("r*/blocks/*/*")) for folder in folders))
        slow_set.kill_jobs(house.daemon)
    assert house.daemon.json("job", "wait", job)["exit"] in (1, 5)
    document = house.back_up()
    assert document["exit"] == 0, document
    _check_that_part_was_there(document, 112, ("disk", "sftp"))
    for name in NAMES:
        house.check_place(name)
