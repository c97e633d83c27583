"""`bkctl destination seed` and `adopt` as a user meets them: the first copy travels on a disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.model.api import (
    DestinationChange,
    DestinationView,
    EditDestination,
    EditSet,
    SeedingView,
    SetChange,
    SetList,
)
from backupd.model.sets import DestinationText, SetText
from bkctl.daemon_client import DaemonClient
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
        self.far.mkdir()
        self._client = DaemonClient(str(daemon.socket), "")
        for name in ("near", "far"):
            text = DestinationText(name=name, place=str(above / name))
            self._client.request("POST", "/v1/destinations", EditDestination(text=text), DestinationChange)

    def store_in(self, *names: str) -> None:
        """Make the set, or say where it goes from now on."""
        known = self._client.get("/v1/sets", SetList).sets
        edit = EditSet(text=SetText(name="docs", sources=[str(self.source)], to=list(names), jobs=1))
        self._client.request("PUT" if known else "POST", "/v1/sets" + "/docs" * bool(known), edit, SetChange)

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

    def seeding(self) -> SeedingView | None:
        """What the far destination awaits."""
        return self._client.get("/v1/destinations/far", DestinationView).seeding

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
    home.store_in("near")
    daemon.good("backup", "docs")
    (home.source / "second").write_bytes(b"second")
    daemon.good("backup", "docs")
    home.store_in("near", "far")
    (one,) = home.seed("--all")["sets"]
    assert (one["kind"], len(one["snapshots"]), one["error"]) == ("replicate", 2, None)
    assert home.seed()["sets"][0]["snapshots"] == [], "the disk has it already"
    waiting = home.seeding()
    assert waiting is not None
    assert (waiting.place, waiting.sets) == (str(home.disk), ["docs"])

    (home.source / "third").write_bytes(os.urandom(1000))
    at = home.run()
    assert (at["near"]["verdict"], at["far"]["verdict"]) == ("good", "skipped")
    assert at["far"]["error"]["code"] == "destination.seeding"
    assert not any(home.far.iterdir()), "a run went there while it was seeding"
    status = {one["destination"]: one for one in daemon.good("status")["sets"][0]["destinations"]}
    assert status["far"]["seeding"] == daemon.good("destination", "show", "far")["destination"]["seeding"]["since"]
    assert status["near"]["seeding"] is None
    for words in (("destination", "list"), ("status",)):
        assert "seeding since" in daemon.bkctl(*words).stdout.decode()
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
    home.check_restored("far", home.source)
    taken = daemon.json("destination", "seed", "far", "docs", "--on", home.disk)
    assert (taken["exit"], taken["error"]["code"]) == (17, "conflict")


def test_the_first_backup_travels(home: Home, tmp_path: Path) -> None:
    """Nothing else has the set yet: its keys are on the disk alone, and no other repository may get its id."""
    daemon = home.daemon
    home.store_in("far")
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

    home.store_in("far", "near")
    skipped = daemon.json("backup", "docs")
    assert (skipped["exit"], skipped["error"]["code"]) == (75, "destination.seeding")
    assert not home.near.exists(), "another repository of the same id was begun, with another key"
    home.carry()
    daemon.good(*ADOPT)
    at = home.run()
    assert {one["verdict"] for one in at.values()} == {"good"}
    assert at["far"]["stored_bytes"] < 240_000
    assert len(list(daemon.state.rglob("*.key*"))) == 1
    home.check_restored("near", home.source)


def test_what_did_not_arrive_whole_is_not_adopted(home: Home) -> None:
    """Runs would build on blocks that are not there, and no restore would bring them back."""
    daemon = home.daemon
    home.store_in("far")
    home.seed()
    home.carry()
    block = home.largest_block()
    whole = block.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    kinds = {"missing": None, "wrong_size": whole[:-1000], "damaged": bytes(damaged)}
    for kind, data in kinds.items():
        block.unlink(missing_ok=True)
        if data is not None:
            block.write_bytes(data)
        bad = daemon.json(*ADOPT, "docs", "--sample", "1000")
        (found,) = bad["result"]["sets"]
        assert (bad["exit"], found["adopted"], found["blocks"][kind]) == (20, False, 1), kind
        assert block.name in str(found["problems"])
        assert home.seeding() is not None
    block.write_bytes(whole)
    (snapshot,) = home.far.glob("r*/snapshots/*/*")
    snapshot.rename(home.above / "snapshot")
    assert daemon.json("backup", "docs")["exit"] == 75
    bad = daemon.json(*ADOPT)
    assert (bad["exit"], bad["result"]["sets"][0]["snapshots"]) == (20, 0)
    (home.above / "snapshot").rename(snapshot)
    assert daemon.good(*ADOPT, "--sample", "0")["sets"][0]["blocks"]["sampled"] == 0


def test_cancelled(home: Home) -> None:
    """A disk that is lost on its way must not keep backups from the destination for ever."""
    daemon = home.daemon
    home.store_in("far")
    absent = daemon.json("destination", "seed", "far", "--on", home.above / "not mounted")
    assert (absent["exit"], absent["error"]["code"]) == (15, "destination.absent")
    inside = daemon.json("destination", "seed", "far", "--on", home.near)
    assert (inside["exit"], inside["error"]["code"]) == (17, "conflict")
    assert home.seeding() is None
    home.seed("docs")
    assert daemon.good("destination", "seed", "far", "--cancel")["changed"]
    assert not daemon.good("destination", "seed", "far", "--cancel")["changed"]
    assert daemon.json(*ADOPT)["exit"] == 10
    assert {one["verdict"] for one in home.run().values()} == {"good"}
    assert daemon.json("destination", "seed", "far")["exit"] == 2
