"""What all sets hold together, from rows alone: who is counted twice is refused, who is not counted pays nothing."""

from __future__ import annotations

from typing import Any

from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import StoredRun
from backupd.daemon import account
from backupd.model.quotas import AccountUse
from tests.unit.daemon.test_status import NAS, USB, a_run, a_set

KIB = 1 << 10


def told(hours: float, held: int, set_id: str = "b-home", to: str = "d1", **fields: Any) -> StoredRun:
    entry = {"name": "there", "account_bytes": held}
    return a_run(hours, set_id=set_id, destination_id=to, facts={"destinations": [entry]}, **fields)


def use(*runs: StoredRun, sets: tuple[StoredSet, ...] | None = None) -> AccountUse:
    both = (a_set(to=("usb", "nas")), a_set("mail"))
    found = account.use("1M", both if sets is None else sets, runs, (USB, NAS))
    assert found is not None
    return found


def test_sets_count_together_each_where_it_holds_most() -> None:
    """Else two copies cost twice, or what is kept longer at one destination is free."""
    found = use(told(3, 300), told(2, 200, to="d2"), told(1, 50, "b-mail"))
    assert (found.quota_bytes, found.used_bytes, found.left_bytes) == (1 << 20, 350, (1 << 20) - 350)
    assert use(told(1, 2 << 20)).left_bytes == 0


def test_the_newest_run_that_told_counts_a_refused_one_too() -> None:
    """The catalog keeps the newest run of each exit code: else what was dropped still counts, or a refusal is free."""
    context = {"quota_bytes": 5, "used_bytes": 900, "account_bytes": 70}
    refused = a_run(1, 16, facts={"error": {"message": "reached", "context": context}})
    assert use(told(2, 90), refused, a_run(0, 15)).used_bytes == 70
    assert use(told(2, 90), told(3, 500)).used_bytes == 90


def test_a_run_is_held_against_what_others_hold_and_what_it_held_itself() -> None:
    """Else the other sets are free, or a destination that is away today."""
    home = a_set(to=("usb", "nas"))
    runs = (told(3, 300), told(2, 200, to="d2"), told(1, 50, "b-mail"))
    found = account.limit_of(400, (home, a_set("mail")), (USB, NAS), runs, home, [NAS])
    assert (found.others_bytes, found.elsewhere_bytes, found.told_bytes) == (50, 300, [200])
    both = account.limit_of(400, (home, a_set("mail")), (USB, NAS), runs, home, [USB, NAS])
    assert (both.others_bytes, both.elsewhere_bytes, both.told_bytes) == (50, 0, [300, 200])
    huge = [told(1, (1 << 53) - 1, f"b-{name}") for name in ("mail", "more")]
    most = account.limit_of(400, (home, a_set("mail"), a_set("more")), (USB, NAS), huge, home, [USB])
    assert most.others_bytes == (1 << 53) - 1, "what no order can say"


def test_what_is_no_longer_of_the_account_does_not_count() -> None:
    """A set that was forgotten, a destination that a set has no more."""
    assert use(told(1, 90, "b-gone")).used_bytes == 0
    assert use(told(1, 90, "b-mail", to="d2")).used_bytes == 0


def test_sets_that_no_run_has_counted_are_named() -> None:
    """Else who sets a quota believes that nothing is used. A set that stores nothing yet is nothing to name."""
    assert use(a_run(5), told(1, 5, "b-mail")).uncounted == ["home"]
    assert use().uncounted == []
    assert account.use(None, (), (), ()) is None
