"""A daemon with one set whose source changes all the time, asked in ways that cost little."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from backupd.errors import DestinationUnreachableError, RepositoryNotFoundError
from backupd.model.api import JobList, StartBackup, StartCheck, Started, StartRestore
from backupd.model.jobs import ENDED, JobView
from backupd.model.orders import CheckOrder, Limits, RestoreOrder, Selection, SnapshotListOrder, Unlock
from bkctl.daemon_client import DaemonClient
from tests.support.daemon import Daemon
from tests.support.ledger import Ledger, hash_tree
from tests.support.machine import Machine
from tests.support.orphans import Orphans
from tests.support.running import children, is_there
from tests.support.seeded_tree import MIB, change_tree

SET = "docs"
_WAIT_SECONDS = 120.0
"""A machine that is shared may be slow; what never comes is late after this."""


class Inside(Machine):
    """Operations in this process, with the directories of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon.home)
        self._daemon = daemon

    @property
    def environ(self) -> dict[str, str]:
        """What the daemon's jobs see."""
        return {**self._daemon.environ, "BACKUPD_STATE": str(self._daemon.state)}


@dataclass
class Household:
    """Daemon, source, places and the ledgers of what was reported as good."""

    above: Path
    random: Random
    orphans: Orphans
    daemon: Daemon = field(init=False)

    def __post_init__(self) -> None:
        """Start the daemon and make its set."""
        self.above.mkdir()
        self.source, self.place = self.above / "source", self.above / "place"
        self.daemon = Daemon(self.above / "home")
        self.inside = Inside(self.daemon)
        self.ledger = Ledger(self.inside, self.place)
        self.other = Ledger(Machine(self.above / "other-home"), self.above / "other-place")
        """Of `once`, which knows no daemon."""
        self.client = DaemonClient(str(self.daemon.socket), "")
        self.tree_hash = ""
        self.foreign: set[int] = set()
        """Processes that the campaign started itself."""
        self.password: bytes | None = None
        """That opens the set's repository, beside the kept key."""
        self.change(self.random.randint(1, 6) * MIB)
        self.daemon.start()
        workers = self.random.choice((1, 1, 2))
        self.limits = Limits(jobs=workers)
        self.daemon.good("set", "create", SET, "--source", self.source, "--to", self.place, "--jobs", str(workers))

    def change(self, size_bytes: int) -> None:
        """Change the source."""
        change_tree(self.source, self.random, size_bytes)
        self.tree_hash = hash_tree(self.source)

    # Processes

    @property
    def pid(self) -> int:
        """Of the daemon."""
        assert self.daemon.process is not None
        return self.daemon.process.pid

    def jobs(self) -> list[int]:
        """Process ids of the jobs and questions under way."""
        return list(children(self.pid))

    def is_alone(self) -> bool:
        """Whether nothing but the daemon is there."""
        return not self.jobs() and not self.orphans.there({self.pid, *self.foreign})

    def settle(self) -> None:
        """Wait until all that runs has come to its end by itself."""
        self.wait_for(self.is_alone, "processes stay")
        self.wait_for(self._is_quiet, "jobs don't end")
        self.wait_for(self.is_alone, "processes stay")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        end = time.monotonic() + _WAIT_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{what}: {self.jobs()}, {self.orphans.there({self.pid, *self.foreign})}"
            time.sleep(0.03)

    def _is_quiet(self) -> bool:
        return not self.client.get("/v1/jobs?status=queued,running,paused", JobList).jobs

    # Jobs of the daemon

    def begin_backup(self) -> str:
        """Begin a run; id of its job."""
        return self._begin("/v1/backups", StartBackup(sets=[SET]))

    def begin_restore(self, target: Path, snapshot: str) -> str:
        """Begin a restore of a snapshot; id of its job."""
        selection = Selection(set_name=SET, as_of=snapshot)
        order = RestoreOrder(place="", selection=selection, to=os.fsencode(target), strip=True, limits=self.limits)
        return self._begin("/v1/restores", StartRestore(order=order))

    def begin_check(self, *, crc: bool = False, rebuild_index: bool = False) -> str:
        """Begin a check; id of its job."""
        order = CheckOrder(place="", set_names=[SET], limits=self.limits, crc=crc, rebuild_index=rebuild_index)
        return self._begin("/v1/checks", StartCheck(order=order))

    def job(self, job_id: str) -> JobView:
        """A job as it stands."""
        return self.client.get(f"/v1/jobs/{job_id}", JobView)

    def newest_job(self) -> JobView | None:
        """The job that began last."""
        return next(iter(self.client.get("/v1/jobs?limit=1", JobList).jobs), None)

    def end(self, job_id: str) -> JobView:
        """Wait for the end of a job that nobody disturbs, which has to be a good one."""
        self.wait_for(lambda: self.job(job_id).state in ENDED, "the job does not end")
        found = self.job(job_id)
        assert found.exit_code == 0, found
        return found

    def _begin(self, path: str, body: object) -> str:
        return self.client.request("POST", path, body, Started).jobs[0].id

    # The oracle

    def back_up(self) -> JobView:
        """A run that nobody disturbs, and which needs no help."""
        found = self.end(self.begin_backup())
        self.note(found)
        return found

    def note(self, job: JobView) -> None:
        """What was reported as good."""
        if job.exit_code == 0 and job.result is not None:
            self.ledger.note({"exit": 0, "result": job.result}, self.tree_hash)

    def take_stock(self, ledger: Ledger, unlock: Unlock | None = None) -> None:
        """Nothing that was good is missing; what is new is at most the one that was under way."""
        order = SnapshotListOrder(place=str(ledger.place), incomplete=True, unlock=unlock or Unlock())
        assert isinstance(ledger.machine, Machine)
        try:
            listed = ledger.machine.run(order).result["snapshots"]
        except (RepositoryNotFoundError, DestinationUnreachableError):
            # The first run was killed before it had made the place.
            listed = []
        complete = {one["id"] for one in listed if not one["incomplete"]}
        assert not ledger.good.keys() - complete, f"lost: {ledger.good.keys() - complete}"
        fresh = complete - ledger.good.keys()
        assert len(fresh) <= 1, f"nobody made {fresh}"
        for one in fresh:
            ledger.good[one] = self.tree_hash

    def sample(self, ledger: Ledger, count: int) -> None:
        """Restore some of what was good, the newest among it, and compare."""
        known = sorted(ledger.good)
        newest = list(ledger.good)[-1:]
        for snapshot in {*newest, *self.random.sample(known, min(count - 1, len(known)))}:
            target = self.above / f"sample-{snapshot}"
            assert isinstance(ledger.machine, Machine)
            order = RestoreOrder(
                place=str(ledger.place), selection=Selection(as_of=snapshot), to=os.fsencode(target), strip=True,
                limits=Limits(jobs=1, polite=False),
            )  # fmt: skip
            assert ledger.machine.run(order).done.exit_code == 0
            found = hash_tree(target / self.source.name)
            assert found == ledger.good[snapshot], f"{snapshot} does not give back what was stored"
            shutil.rmtree(target)

    def check(self, ledger: Ledger, *, crc: bool = False, rebuild_index: bool = False) -> None:
        """Check a place, which has to find nothing."""
        assert isinstance(ledger.machine, Machine)
        limits = Limits(jobs=1, polite=False)
        order = CheckOrder(place=str(ledger.place), limits=limits, crc=crc, rebuild_index=rebuild_index)
        done = ledger.machine.run(order)
        assert done.done.exit_code == 0, done.result

    def close(self) -> None:
        """Stop the daemon, which has to end well and leave no process."""
        assert self.daemon.stop() == 0, self.daemon.said()
        assert not is_there(self.pid)
        assert not self.orphans.there({self.pid, *self.foreign})
