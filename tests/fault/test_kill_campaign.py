"""kill -9 of daemon, job, workers and bkctl at any moment of anything (RELIABILITY C2): nothing lost, no manual step.

Half of the deeds that are disturbed are backups, a quarter restores, the rest freeings, checks, keys, settings, an
update of the catalog. After each one a ledger that lies outside says what must be there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fault.conftest import Faults
from tests.support import deeds, old_catalog
from tests.support.daemon import Daemon
from tests.support.freeing_deed import Free
from tests.support.household import Household
from tests.support.old_catalog import OldCatalog
from tests.support.orphans import Orphans, adopting
from tests.support.running import children, is_there, kill
from tests.support.seeded_tree import MIB

pytestmark = pytest.mark.platform("linux")

_ERA_KILLS = 60
"""Of one household: its place grows, and the first backup into a new one is of interest, too."""
_LOOK_KILLS = 20
"""After so many all is looked at closely."""
_FDS, _GROWTH_BYTES = 6, 48 * MIB
"""What a daemon that lives on may have more than in the beginning."""
_Kind = type[deeds.Deed]
_BACKUPS: list[_Kind] = [*[deeds.Backup] * 7, deeds.AttachedBackup, *[deeds.Once] * 2]
_KEYS: list[_Kind] = [deeds.KeyAdd, deeds.KeyRotate, deeds.KeyPassword]
_OTHERS: list[_Kind] = [*[deeds.Check] * 3, *[deeds.IndexRebuild] * 2, *_KEYS, *[deeds.Apply] * 2]


class Campaign:
    """Households one after the other, until enough kills are used up."""

    def __init__(self, above: Path, random: Random, kills: int, orphans: Orphans) -> None:
        self.above, self.random, self.kills, self.orphans = above, random, kills, orphans
        self.killed: Counter[tuple[str, str]] = Counter()
        self.missed = 0
        """Moments that came after the victim's end."""
        self.reread = deeds.Reread()
        self.trail: list[str] = []
        self.seconds: dict[str, float] = {}
        self.start_seconds = 1.0
        self.snapshots = self.mid_migrations = self.eras = 0

    def run(self) -> None:
        """All of them."""
        old = OldCatalog(self.above / "old-catalog")
        while self.killed.total() < self.kills:
            self.eras += 1
            era = Era(self, self.above / f"era-{self.eras}", old)
            try:
                era.run(min(_ERA_KILLS, self.kills - self.killed.total()))
            except BaseException:
                print("\n".join(self.trail[-30:]), "\n", era.home.daemon.said()[-3000:])  # noqa: T201
                raise
            finally:
                era.end_all()
            shutil.rmtree(era.home.above)
            print(f"{time.strftime('%H:%M:%S')} {self.summary()}", flush=True)  # noqa: T201

    def summary(self) -> str:
        """What was done so far."""
        kinds: Counter[str] = Counter()
        victims: Counter[str] = Counter()
        for (deed, victim), count in sorted(self.killed.items()):
            kinds[deed] += count
            victims[victim] += count
        share = self.reread.again / self.reread.written if self.reread.written else 0.0
        return (
            f"{self.killed.total()} kills in {self.eras} households ({self.missed} came too late): {dict(kinds)}; "
            f"{dict(victims)}; {self.mid_migrations} in mid-migration; {self.snapshots} snapshots kept; "
            f"{self.reread.rounds} restores went on, {self.reread.written / MIB:.1f} MiB written before, "
            f"{share:.2%} of it fetched again"
        )


class Era:
    """One household under kills."""

    def __init__(self, campaign: Campaign, above: Path, old: OldCatalog) -> None:
        self.campaign, self.random, self.old = campaign, campaign.random, old
        self.home = Household(above, campaign.random, campaign.orphans)
        # In some the daemon is let live, to see that what dies around it costs it nothing.
        self.spares_daemon = self.random.random() < 0.25
        self.used = 0
        self.began = 0.0
        """When the deed did."""
        self.begin_figures = (0, 0)

    def run(self, kills: int) -> None:
        """The first backup, often disturbed; then everything else."""
        while self.used < min(kills, 3) and self.random.random() < 0.7:
            self._disturb(deeds.Backup(self.home))
        opening = self._open()
        self.begin_figures = self._figures()
        next_look = self.used + _LOOK_KILLS
        while self.used < kills:
            self._disturb(self._draw(opening))
            if self.used >= next_look:
                next_look += _LOOK_KILLS
                self._verify(crc=self.used // _LOOK_KILLS % 2 == 0)
        self._verify(crc=True)
        self._last()

    def _draw(self, opening: deeds.Opening) -> deeds.Deed:
        drawn = self.random.random()
        if drawn < 0.5:
            return self.random.choice(_BACKUPS)(self.home)
        if drawn < 0.75:
            return deeds.Restore(self.home, opening, self.campaign.reread)
        if drawn < 0.78:
            return Migration(self.home, self.old, self.campaign)
        if drawn < 0.86:
            return Free(self.home, opening)
        return self.random.choice(_OTHERS)(self.home)

    def _open(self) -> deeds.Opening:
        """An undisturbed backup, and an undisturbed restore of it."""
        home = self.home
        home.change(self.random.randint(3, 7) * MIB)
        began = time.monotonic()
        run = home.back_up()
        for name in ("backup", deeds.AttachedBackup.name, deeds.Once.name):
            self._learn(name, time.monotonic() - began)
        home.take_stock(home.ledger)
        snapshot = list(home.ledger.good)[-1]
        assert run.result is not None
        assert run.result["runs"][0]["snapshot"] == snapshot
        target = home.above / "opened"
        began = time.monotonic()
        restored = home.end(home.begin_restore(target, snapshot))
        self._learn("restore", time.monotonic() - began)
        assert restored.result is not None
        facts = deeds.facts_of(target / home.source.name)
        opening = deeds.Opening(snapshot, home.tree_hash, restored.result["bytes"]["fetched"], facts)
        shutil.rmtree(target)
        return opening

    # One round

    def _disturb(self, deed: deeds.Deed) -> None:
        victims = [one for one in deed.victims if not (self.spares_daemon and "daemon" in one)] or deed.victims
        victim = self.random.choice(victims)
        self.campaign.trail.append(f"{self.campaign.killed.total() + 1}: {deed.name}, {victim}")
        self.began = time.monotonic()
        deed.begin()
        moment = self._wait_for_moment(deed, victim)
        if not deed.jobs() and "daemon" in deed.victims and not self.spares_daemon:
            # What was to be killed has ended: the moment after is as good as any other.
            victim = "daemon"
        self.campaign.trail.append(f"  killed {moment}: {victim}")
        is_killed, gone = self._kill(deed, victim)
        for process in gone:
            self.home.wait_for(lambda one=process: not is_there(one), "it survives kill -9")  # type: ignore[misc]
        if "daemon" not in victim:
            self.home.wait_for(deed.is_over, "it does not end")
        self.home.settle()
        deed.settle(victim if is_killed else "none")
        if is_killed:
            self.campaign.killed[deed.name, victim] += 1
            self.used += 1
        else:
            self.campaign.missed += 1

    def _wait_for_moment(self, deed: deeds.Deed, victim: str) -> str:
        """Any time from the start to the end, or close to something that shows outside."""
        way = self.random.choice(("any", "any", "any", "job", "store", "store", "end"))
        if way == "end" and "daemon" not in victim:
            way = "any"
        latest = self.campaign.seconds.get(deed.name, self.campaign.seconds.get(deed.kind, 2.0))
        if way == "any":
            self._watch(deed, lambda: False, self.random.uniform(0, latest))
            return "any time"
        if way == "job":
            self._watch(deed, lambda: bool(deed.jobs()), 2 * latest + 1)
            self._watch(deed, lambda: False, time.monotonic() - self.began + self.random.uniform(0, 0.3))
            return "after the job's start"
        if way == "store":
            count = deed.marks()
            before = count()
            self._watch(deed, lambda: count() > before, 2 * latest + 1)
            time.sleep(self.random.choice((0, 0.001, 0.01, 0.05)))
            return "when something showed"
        self._watch(deed, lambda: False, 2 * latest + 1)
        time.sleep(self.random.uniform(0, 0.03))
        return "at the end"

    def _watch(self, deed: deeds.Deed, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so, that much time has passed since the deed began, or its processes have ended."""
        was_there = False
        while time.monotonic() < self.began + seconds and not condition():
            is_at_work = bool(deed.jobs())
            if was_there and not is_at_work:
                self._learn(deed.name, time.monotonic() - self.began)
                return
            was_there |= is_at_work
            time.sleep(0.004)

    def _kill(self, deed: deeds.Deed, victim: str) -> tuple[bool, list[int]]:
        """(whether there was somebody to kill, those that were killed)."""
        jobs = deed.jobs()
        workers = [worker for job in jobs for worker in children(job)]
        chosen = {
            "daemon and job": jobs, "job": jobs, "job and workers": [*jobs, *workers],
            "workers": workers, "one worker": self.random.sample(workers, min(1, len(workers))),
            "bkctl": [one for one in [deed.client()] if one is not None],
        }.get(victim, [])  # fmt: skip
        if victim == "daemon and job" and self.random.random() < 0.5:
            chosen = list(reversed(chosen))
        is_killed = "daemon" in victim
        for process in chosen:
            is_killed |= is_there(process)
            kill(process)
        if "daemon" in victim:
            self.home.daemon.kill()
            if victim == "daemon twice":
                self.home.daemon.launch()
                time.sleep(self.random.uniform(0, 1.1 * self.campaign.start_seconds))
                self.home.daemon.kill()
            began = time.monotonic()
            self.home.daemon.start()
            self.campaign.start_seconds = 0.8 * self.campaign.start_seconds + 0.2 * (time.monotonic() - began)
        return is_killed, [one for one in chosen if victim != "bkctl"]

    def _learn(self, name: str, seconds: float) -> None:
        known = self.campaign.seconds.get(name, seconds)
        self.campaign.seconds[name] = 0.7 * known + 0.3 * seconds

    # What must be true

    def _verify(self, *, crc: bool) -> None:
        """The run after the last fault needs no help; what was ever good comes back; nothing lies around."""
        home = self.home
        self.campaign.trail.append(f"verify{' --crc' * crc}")
        home.back_up()
        home.take_stock(home.ledger)
        listed = home.daemon.good("snapshot", "list", "docs")["snapshots"]
        assert {one["id"] for one in listed} == home.ledger.good.keys()
        home.sample(home.ledger, 2)
        home.check(home.ledger, crc=crc)
        if home.other.good:
            done = home.other.machine.json("once", home.source, "--to", home.other.place)
            assert done["exit"] == 0, done
            home.other.note(done, home.tree_hash)
            home.take_stock(home.other)
            home.sample(home.other, 1)
            home.check(home.other, crc=crc)
            assert not home.other.leftovers(), home.other.leftovers()
        assert not home.ledger.leftovers(), home.ledger.leftovers()
        if self.spares_daemon:
            fds, resident = self._figures()
            assert fds <= self.begin_figures[0] + _FDS, (fds, self.begin_figures)
            assert resident <= self.begin_figures[1] + _GROWTH_BYTES, (resident, self.begin_figures)

    def _last(self) -> None:
        """Before a household is given up: more of it is restored."""
        self.campaign.trail.append("last")
        self.home.sample(self.home.ledger, 5)
        self.home.check(self.home.ledger, rebuild_index=True)
        self.campaign.snapshots += len(self.home.ledger.good) + len(self.home.other.good)
        self.home.close()

    def _figures(self) -> tuple[int, int]:
        """Open descriptors and resident bytes of the daemon; the first are shown to root alone."""
        self.home.settle()
        fields = f"/proc/{self.home.pid}"
        pages = int(Path(f"{fields}/statm").read_text().split()[1])
        descriptors = len(os.listdir(f"{fields}/fd")) if os.geteuid() == 0 else 0
        return descriptors, pages * os.sysconf("SC_PAGE_SIZE")

    def end_all(self) -> None:
        """Nothing of it goes on, whatever went wrong."""
        process = self.home.daemon.process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


class Migration(deeds.Deed):
    """A daemon that brings an older catalog up; it is killed at its start, over and over it must come up."""

    name, kind = "update of the catalog", "other"
    victims = ("daemon in its update",)

    def __init__(self, home: Household, old: OldCatalog, campaign: Campaign) -> None:
        super().__init__(home)
        self._old, self._campaign = old, campaign
        self._daemon = Daemon(home.above / "old-home")

    def begin(self) -> None:
        """Another daemon beside the household's own, killed by itself."""
        self._old.put(self._daemon.state)
        process = self._daemon.launch()
        copy = self._daemon.state / "catalog.sqlite.v1"
        _spin(copy.exists, time.monotonic() + 30)
        time.sleep(self.home.random.choice((0, 0.005, 0.02, 0.05)))
        process.kill()
        process.wait()
        scratch = self.home.above / "looked-at"
        self._campaign.mid_migrations += old_catalog.version(self._daemon.state, scratch) == 1

    def is_over(self) -> bool:
        """It is, before it is asked."""
        return True

    def settle(self, victim: str) -> None:
        """It comes up with all that it knew, and the copy from before is there."""
        self._daemon.start()
        try:
            assert [one["name"] for one in self._daemon.good("set", "list")["sets"]] == ["docs"]
        finally:
            assert self._daemon.stop() == 0
        assert old_catalog.faults(self._daemon.state) == []


def _spin(condition: Callable[[], bool], give_up: float) -> None:
    while time.monotonic() < give_up and not condition():
        time.sleep(0.004)


def test_nothing_is_lost_whoever_is_killed_at_whatever(tmp_path: Path, faults: Faults) -> None:
    """Else a machine that loses power each evening has no backup, or needs somebody who repairs it."""
    with adopting() as orphans:
        campaign = Campaign(tmp_path, faults.random(), faults.campaign_kills, orphans)
        campaign.run()
    assert campaign.killed.total() >= faults.campaign_kills
    reread = campaign.reread
    assert reread.again <= reread.written / 10 + 2 * MIB, campaign.summary()
