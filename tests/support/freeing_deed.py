"""A freeing that is disturbed: what nobody needs is being deleted, or written anew, when somebody dies."""

from __future__ import annotations

from backupd.clock import SystemClock
from backupd.model.api import Started, StartFree
from backupd.model.jobs import ENDED
from backupd.model.orders import FreeOrder
from backupd.repository.dropping import drop_snapshots
from backupd.snapshot import naming
from tests.support.deeds import DAEMON, JOB, Deed, Opening
from tests.support.household import SET, Household

_KEPT = 2
"""Of the newest snapshots: the last one, and the one before it, stay."""


class Free(Deed):
    """`free` of the daemon's set after some of its snapshots were dropped; nobody gives it again but the next one."""

    name, kind = "free", "other"
    victims = (*DAEMON, *JOB)

    def __init__(self, home: Household, opening: Opening) -> None:
        super().__init__(home)
        self._opening = opening

    def begin(self) -> None:
        """After a drop of some snapshots, but for the newest and the one that restores are tried with."""
        self._drop()
        order = FreeOrder(place="", set_names=[SET], limits=self.home.limits)
        self.id = self.home.client.request("POST", "/v1/freeings", StartFree(order=order), Started).jobs[0].id

    def _drop(self) -> None:
        home, good = self.home, self.home.ledger.good
        records = home.inside.records(str(home.place))
        names = {naming.snapshot_id_text(records.snapshot(one.name).id): one.name for one in records.snapshot_names()}
        old = [one for one in list(good)[:-_KEPT] if one != self._opening.snapshot]
        chosen = home.random.sample(old, home.random.randint(0, len(old)))
        if not chosen:
            return
        dropped = [names[one] for one in chosen]
        drop_snapshots(records, dropped, SystemClock().now_ns(), bytes(16), "a test")
        for one in chosen:
            del good[one]

    def is_over(self) -> bool:
        """By the daemon's word."""
        return self.home.job(self.id).state in ENDED

    def settle(self, victim: str) -> None:
        """It ended well, or says that it was interrupted; all that was not dropped is there."""
        found = self.home.job(self.id)
        assert found.exit_code == 0 or found.state == "interrupted", found
        self.home.take_stock(self.home.ledger)
