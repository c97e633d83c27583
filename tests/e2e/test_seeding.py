"""`bkctl destination seed` and `adopt` as a user meets them: the first copy travels on a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.machine import Machine

ADOPT = ("destination", "adopt", "far")


class Home:
    """A daemon with a set, a near destination, a far one, and a disk that is carried between them."""

    def __init__(self, daemon: Daemon, above: Path) -> None:
        self.daemon, self.above = daemon, above
        self.source, self.near, self.far, self.disk = (above / name for name in ("source", "near", "far", "disk"))
        random = Random(48)
        self.source.mkdir()
        for number in range(40):
            (self.source / f"file {number}").write_bytes(random.randbytes(60_000))
        self.disk.mkdir()
        daemon.good("destination", "add", "near", self.near)
        daemon.good("destination", "add", "far", self.far)

    def seed(self, *words: str) -> dict[str, Any]:
        """Write what is to travel to the disk."""
        return self.daemon.good("destination", "seed", "far", "--on", self.disk, *words)

    def carry(self) -> None:
        """As a user does: the folders of the disk, by whatever copies folders."""
        shutil.copytree(self.disk, self.far, dirs_exist_ok=True)

    def run(self, *words: str) -> dict[str, dict[str, Any]]:
        """A run that ends well, what it came to at each destination."""
        (run,) = self.daemon.good("backup", "docs", *words)["runs"]
        return {one["name"]: one for one in run["destinations"]}

    def seeding(self) -> dict[str, Any] | None:
        """What the far destination awaits."""
        found: dict[str, Any] | None = self.daemon.good("destination", "show", "far")["destination"]["seeding"]
        return found

    def check_restored(self, origin: str, state: Path) -> None:
        """All comes back from one destination."""
        out = self.above / f"out of {origin}"
        self.daemon.good("restore", "docs", "--from", origin, "--to", out)
        assert compare_trees(state, out / str(self.source)[1:]) == []

    def largest_block(self) -> Path:
        """One that has arrived."""
        return max(self.far.glob("r*/blocks/*/*"), key=lambda path: path.stat().st_size)


@pytest.fixture
def home(tmp_path: Path) -> Generator[Home, None, None]:
    """Nothing is stored yet."""
    with running_daemon(tmp_path / "home") as daemon:
        yield Home(daemon, tmp_path)


def test_a_copy_of_another_destination_travels(home: Home) -> None:
    """Without it the far destination would take the first snapshot over a line that needs weeks for it."""
    daemon = home.daemon
    daemon.good("set", "create", "docs", "--source", home.source, "--to", "near", "--max-age", "1d")
    daemon.good("backup", "docs")
    (home.source / "second").write_bytes(b"second")
    daemon.good("backup", "docs")
    daemon.good("set", "edit", "docs", "--add-to", "far")
    (one,) = home.seed("--all")["sets"]
    assert (one["kind"], len(one["snapshots"]), one["error"]) == ("replicate", 2, None)
    assert home.seed()["sets"][0]["snapshots"] == [], "the disk has it already"
    waiting = home.seeding()
    assert waiting is not None
    assert (waiting["place"], waiting["sets"]) == (str(home.disk), ["docs"])

    (home.source / "third").write_bytes(os.urandom(1000))
    at = home.run()
    assert (at["near"]["verdict"], at["far"]["verdict"]) == ("good", "skipped")
    assert at["far"]["error"]["code"] == "destination.seeding"
    assert not home.far.exists(), "a run went there while it was seeding"
    alone = daemon.json("backup", "docs", "--to", "far")
    assert (alone["exit"], alone["error"]["code"]) == (75, "destination.seeding")
    status = {one["destination"]: one for one in daemon.good("status")["sets"][0]["destinations"]}
    assert (status["far"]["seeding"], status["near"]["seeding"]) == (waiting["since"], None)
    for words in (("destination", "list"), ("destination", "show", "far"), ("status",)):
        assert "seeding since" in daemon.bkctl(*words).stdout.decode()
    daemon.restart()
    assert home.seeding() == waiting

    early = daemon.json(*ADOPT)
    assert (early["exit"], early["error"]["code"]) == (10, "repository.not_found")
    home.carry()
    (found,) = daemon.good(*ADOPT)["sets"]
    assert found["adopted"]
    assert found["snapshots"] == 2
    blocks = found["blocks"]
    assert (blocks["missing"], blocks["wrong_size"], blocks["damaged"]) == (0, 0, 0)
    assert blocks["sampled"] == min(20, blocks["listed"]) > 0
    assert home.seeding() is None

    at = home.run()
    assert at["far"]["verdict"] == "good"
    assert at["far"]["stored_bytes"] < blocks["listed_bytes"] / 10, "what had travelled was sent again"
    daemon.good("check", "docs", "--crc")
    for origin in ("near", "far"):
        home.check_restored(origin, home.source)
    taken = daemon.json("destination", "seed", "far", "docs", "--on", home.disk)
    assert (taken["exit"], taken["error"]["code"]) == (17, "conflict")


def test_the_first_backup_travels(home: Home, tmp_path: Path) -> None:
    """Nothing else has the set yet: its keys are on the disk alone, and no other repository may get its id."""
    daemon = home.daemon
    daemon.good("set", "create", "docs", "--source", home.source, "--to", "far")
    said = daemon.bkctl("destination", "seed", "far", "--on", home.disk).stdout.decode()
    (repository,) = (path.name for path in home.disk.glob("r*"))
    assert f"Copy the folder {repository} from {home.disk} to {home.far}" in said
    assert f"bkctl key sheet --from {home.disk}" in said
    (key,) = daemon.state.rglob("*.key")
    drive = Machine(tmp_path / "elsewhere").json(
        "restore", "docs", "--from", home.disk, "--password-file", key, "--to", tmp_path / "out of the disk"
    )
    assert drive["exit"] == 0, drive
    assert compare_trees(home.source, tmp_path / "out of the disk" / str(home.source)[1:]) == []

    daemon.good("set", "edit", "docs", "--add-to", "near")
    skipped = daemon.json("backup", "docs")
    assert (skipped["exit"], skipped["error"]["code"]) == (75, "destination.seeding")
    assert not home.near.exists(), "another repository of the same id was begun, with another key"
    home.carry()
    daemon.good(*ADOPT)
    at = home.run()
    assert {one["verdict"] for one in at.values()} == {"good"}
    assert at["far"]["stored_bytes"] < 240_000
    assert len(list(daemon.state.rglob("*.key*"))) == 1
    for origin in ("near", "far"):
        home.check_restored(origin, home.source)


def test_what_did_not_arrive_whole_is_not_adopted(home: Home) -> None:
    """Runs would build on blocks that are not there, and no restore would bring them back."""
    daemon = home.daemon
    daemon.good("set", "create", "docs", "--source", home.source, "--to", "far")
    home.seed()
    home.carry()
    block = home.largest_block()
    whole = block.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    kinds = {"missing": None, "wrong_size": whole[:-1000], "damaged": bytes(damaged)}
    for kind, data in kinds.items():
        block.unlink()
        if data is not None:
            block.write_bytes(data)
        bad = daemon.json(*ADOPT, "docs", "--sample", "1000")
        (found,) = bad["result"]["sets"]
        assert (bad["exit"], found["adopted"], found["blocks"][kind]) == (20, False, 1), kind
        assert block.name in str(found["problems"])
        assert home.seeding() is not None
        assert daemon.json("backup", "docs")["exit"] == 75
    block.write_bytes(whole)
    (snapshot,) = home.far.glob("r*/snapshots/*/*")
    snapshot.rename(home.above / "snapshot")
    bad = daemon.json(*ADOPT)
    assert (bad["exit"], bad["result"]["sets"][0]["snapshots"]) == (20, 0)
    (home.above / "snapshot").rename(snapshot)
    assert daemon.good(*ADOPT, "--sample", "0")["sets"][0]["blocks"]["sampled"] == 0


def test_cancelled(home: Home) -> None:
    """A disk that is lost on its way must not keep backups from the destination for ever."""
    daemon = home.daemon
    daemon.good("set", "create", "docs", "--source", home.source, "--to", "near", "--to", "far")
    daemon.good("backup", "docs", "--to", "near")
    absent = daemon.json("destination", "seed", "far", "--on", home.above / "not mounted")
    assert (absent["exit"], absent["error"]["code"]) == (15, "destination.absent")
    inside = daemon.json("destination", "seed", "far", "--on", home.near)
    assert (inside["exit"], inside["error"]["code"]) == (17, "conflict")
    assert home.seeding() is None
    home.seed("docs")
    assert home.run()["far"]["verdict"] == "skipped"
    assert daemon.good("destination", "seed", "far", "--cancel")["changed"]
    assert not daemon.good("destination", "seed", "far", "--cancel")["changed"]
    assert daemon.json(*ADOPT)["exit"] == 10
    assert {one["verdict"] for one in home.run().values()} == {"good"}
    for words in ((), ("--on", str(home.disk), "--cancel"), ("--on", "s3://bucket/x")):
        assert daemon.json("destination", "seed", "far", *words)["exit"] == 2


def test_a_drive_to_restore_from(home: Home, tmp_path: Path) -> None:
    """The newest snapshot on a drive comes back on a machine that has the drive and the key, nothing else."""
    daemon = home.daemon
    daemon.good("set", "create", "docs", "--source", home.source, "--to", "near")
    daemon.good("backup", "docs")
    (home.source / "second").write_bytes(b"second")
    daemon.good("backup", "docs")
    daemon.good("destination", "add", "drive", home.disk / "restore")
    daemon.good("destination", "replicate", "--from", "near", "--to", "drive", "--latest")
    (key,) = daemon.state.rglob("*.key")
    other = tmp_path / "carried"
    subprocess.run(["cp", "-a", home.disk / "restore", other], check=True)
    found = Machine(tmp_path / "elsewhere").json(
        "restore", "docs", "--from", other, "--password-file", key, "--to", tmp_path / "out"
    )
    assert found["exit"] == 0, found
    assert compare_trees(home.source, tmp_path / "out" / str(home.source)[1:]) == []
