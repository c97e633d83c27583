"""Power cuts under a daemon (RELIABILITY C3): what it answered comes back, it goes on by itself."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from backupd.model.jobs import ENDED
from tests.fault.conftest import Faults
from tests.support import slow_set
from tests.support.cut_ground import SET, Ground, draw_moment
from tests.support.daemon import Daemon
from tests.support.ledger import Ledger, hash_tree
from tests.support.power_cut import CutDisk, kill_all, taken_away
from tests.support.running import show

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount", "mkfs.ext4", "e2fsck"),
]

_LAYOUTS = (("r", "s"), ("s",), ("r+s",))


class Campaign:
    """A daemon with one set and one good run; every round begins there."""

    def __init__(self, above: Path, images: Path, random: Random) -> None:
        self.random, self.ground = random, Ground(above / "g", random, images)
        self.daemon = Daemon(self.ground.above / "s" / "d")
        self.ground.ledger = self.ledger = Ledger(self.daemon, self.ground.place)
        self.counted: Counter[str] = Counter()
        self.daemon.start()
        self.daemon.good("set", "create", SET, "--source", self.ground.source, "--to", self.ground.place, "--jobs", "1")
        self.ledger.note(self.daemon.json("backup", SET), hash_tree(self.ground.source))
        self.daemon.stop()
        self.ground.write("later", 3_000_000)
        self.ground.save()

    def round(self) -> None:
        """A run of the set, cut; then what the daemon that starts on what is left has to say."""
        layout, mode = self.random.choice(_LAYOUTS), self.random.choice(("ordered", "writeback"))
        disks = self.ground.disks(layout, mode)
        with taken_away(*disks):
            self.ground.lay(disks)
            self.daemon.start()
            try:
                jobs, sets = self._cut(disks)
                for disk in disks:
                    disk.recover()
                self.daemon.start()
                self._look(jobs, sets)
            finally:
                if self.daemon.process is not None and self.daemon.process.poll() is None:
                    kill_all(self.daemon.process.pid)
                    self.daemon.process.wait()

    def _cut(self, disks: list[CutDisk]) -> tuple[list[str], list[str]]:
        """Gives jobs and sets that were answered for."""
        moment = draw_moment(self.random)
        jobs, sets = [slow_set.begin(self.daemon, SET)], [SET]
        if self.random.random() < 0.4:
            source, place = self.ground.source / "d1", self.ground.above / "r" / "more"
            self.daemon.good("set", "create", "more", "--source", source, "--to", place)
            sets.append("more")
        time.sleep(moment.share * 1.2)
        for disk in disks:
            disk.cut(moment.what)
        assert self.daemon.process is not None
        kill_all(self.daemon.process.pid)
        self.daemon.process.wait()
        self.counted["cuts"] += 1
        return jobs, sets

    def _look(self, jobs: list[str], sets: list[str]) -> None:
        daemon, ground = self.daemon, self.ground
        slow_set.wait_for(lambda: not daemon.good("job", "list", "--status", "queued,running,paused")["jobs"])
        assert {one["name"] for one in daemon.good("set", "list")["sets"]} == set(sets)
        for job in jobs:
            found = slow_set.job(daemon, job)
            assert found["state"] in ENDED, found
            self.counted[found["state"]] += 1
        listed = {one["id"] for one in daemon.good("snapshot", "list", SET)["snapshots"]}
        assert self.ledger.good.keys() <= listed, "reported as good and lost"
        assert len(listed - self.ledger.good.keys()) <= 1, "nobody made these"
        self.ledger.good.update(dict.fromkeys(listed - self.ledger.good.keys(), ground.tree_hash))
        document = daemon.json("backup", SET)
        assert document["exit"] == 0, show(document)
        self.ledger.note(document, ground.tree_hash)
        self.ledger.check_listed()
        checked = daemon.json("check", SET, "--crc")
        assert checked["exit"] == 0, show(checked)
        target = ground.above / "restored"
        daemon.good("restore", SET, "--as-of", self.random.choice(sorted(self.ledger.good)), "--to", target / "any")
        daemon.good("restore", SET, "--to", target / "newest")
        assert hash_tree(target / "newest" / str(ground.source)[1:]) == ground.tree_hash
        assert not self.ledger.leftovers(), self.ledger.leftovers()


def test_a_daemon_loses_power(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else sets, jobs or their history are gone after a power cut, or somebody has to start it again by hand."""
    campaign = Campaign(tmp_path, images, faults.random())
    for _ in range(faults.daemon_cuts):
        campaign.round()
    assert campaign.counted["cuts"] == faults.daemon_cuts
    print(dict(campaign.counted))  # noqa: T201 - counts for docs/reliability.md
