"""When a destination is full: from what its sets take together, and what is left there or of its quota."""

from __future__ import annotations

from pathlib import Path

from backupd.catalog.database import Database
from backupd.catalog.definitions import StoredDestination, StoredRepository
from backupd.catalog.jobs import StoredRun, put_run
from backupd.daemon import growth
from backupd.daemon.growth import Growth
from backupd.model.sets import DestinationText

DAY = 86_400 * 10**9
NOW = 20_000 * DAY


def usb(quota: str | None = None) -> StoredDestination:
    return StoredDestination(
        id="d1", text=DestinationText(name="usb", place="/usb", quota=quota), file=None, created_ns=0
    )


def repository(set_id: str, name: str | None = None) -> StoredRepository:
    return StoredRepository(set_id=set_id, destination_id="d1", repository=name or f"r-{set_id}", stored_set_id=set_id)


def grown(
    rate: int | None, free: int | None, told: int = NOW, held: int = 100, free_at: int | None = None
) -> Growth:
    """free_at: when `free` was told; None: with the rest."""
    free_ns = (told if free_at is None else free_at) if free is not None else None
    return Growth(bytes_a_day=rate, told_ns=told, held_bytes=held, free_bytes=free, free_ns=free_ns)


def test_all_its_sets_fill_it_together() -> None:
    known = [repository("a"), repository("b")]
    growths = {("a", "d1"): grown(10, 990, NOW - DAY), ("b", "d1"): grown(30, 400), ("a", "d2"): grown(9999, 1)}
    assert growth.full_at(growths, known, usb()) == NOW + 10 * DAY, "by what was left last"


def test_sets_of_one_repository_count_once() -> None:
    known = [repository("a", "r"), repository("b", "r")]
    growths = {("a", "d1"): grown(10, 990, NOW - DAY), ("b", "d1"): grown(20, 400)}
    assert growth.full_at(growths, known, usb()) == NOW + 20 * DAY


def test_what_was_left_long_ago_is_of_long_ago() -> None:
    """Else a disk whose backups have become replications would be full weeks later than it is."""
    old = grown(10, 500, NOW, free_at=NOW - 30 * DAY)
    assert growth.full_at({("a", "d1"): old}, [repository("a")], usb()) == NOW + 20 * DAY
    both = {("a", "d1"): old, ("b", "d1"): grown(10, 100, NOW - DAY)}
    known = [repository("a"), repository("b")]
    assert growth.full_at(both, known, usb()) == NOW + 4 * DAY, "by what was left last"
    shared = [repository("a", "r"), repository("b", "r")]
    both["a", "d1"] = grown(10, None)
    assert growth.full_at(both, shared, usb()) == NOW + 9 * DAY, "also where another set told its size last"


def test_the_quota_may_end_before_the_disk() -> None:
    assert growth.full_at({("a", "d1"): grown(10, 10_000)}, [repository("a")], usb("600B")) == NOW + 50 * DAY
    assert growth.full_at({("a", "d1"): grown(10, 100)}, [repository("a")], usb("600B")) == NOW + 10 * DAY


def test_nothing_is_foretold_of_what_nobody_knows() -> None:
    known = [repository("a")]
    assert growth.full_at({}, known, usb()) is None
    assert growth.full_at({("a", "d1"): grown(None, 100)}, known, usb()) is None, "too few runs"
    assert growth.full_at({("a", "d1"): grown(-5, 100)}, known, usb()) is None, "it shrinks"
    assert growth.full_at({("a", "d1"): grown(5, None)}, known, usb()) is None, "a store that does not tell its space"
    assert growth.full_at({("gone", "d1"): grown(5, 100)}, known, usb()) is None, "a set that is forgotten"


def test_it_is_read_from_what_runs_told(tmp_path: Path) -> None:
    """Of backups what they told at their end, of replications what the place that they copied to takes since."""
    database = Database(str(tmp_path))
    for day in range(10):
        at = NOW - (10 - day) * DAY
        backup = {"destinations": [{"held_bytes": 1000 + 10 * day, "free_bytes": 5000 - day}]}
        copied = {"bytes": {"held": 500 + day}}
        for destination, kind, facts in (("d1", "backup", backup), ("d2", "replicate", copied), ("d3", "check", {})):
            run = StoredRun(
                job_id=f"j{day}", set_id="a", destination_id=destination, destination_name="x", kind=kind,
                state="completed", snapshot=None, exit_code=0, started_ns=at, finished_ns=at, facts=facts,
            )  # fmt: skip
            database.write(put_run, run).result()
    for day, kind, facts in ((10, "backup", backup), (5, "replicate", copied)):
        at = NOW - day * DAY
        run = StoredRun(
            job_id=f"k{day}", set_id="a", destination_id="d4", destination_name="x", kind=kind, state="completed",
            snapshot=None, exit_code=0, started_ns=at, finished_ns=at, facts=facts,
        )  # fmt: skip
        database.write(put_run, run).result()
    found = database.read(growth.read, NOW).result()
    assert found == {
        ("a", "d1"): grown(10, 4991, NOW - DAY, 1090),
        ("a", "d2"): grown(1, None, NOW - DAY, 509),
        ("a", "d4"): grown(None, 4991, NOW - 5 * DAY, 509, free_at=NOW - 10 * DAY),
    }
    assert database.read(growth.read, NOW + 90 * DAY).result() == {}, "what was two months ago says nothing of today"
    database.close()
