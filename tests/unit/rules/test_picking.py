"""Picking a snapshot: the wrong one gives back the wrong files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from backupd.errors import AmbiguousNameError, BackupError, SetNotFoundError, SnapshotNotFoundError, UsageError
from backupd.model.orders import Selection
from backupd.rules.picking import SnapshotRecord, choose_set, pick

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SETS = {
    "b1111": ("Documents", "laptop", [b"/home/anna/Documents"]),
    "b2222": ("etc", "laptop", [b"/etc"]),
    "b3333": ("etc", "web", [b"/etc"]),
    "b4444": ("www", "web", [b"/srv/www", b"/srv/logs"]),
}


def record(number: int, set_id: str, when: str, is_complete: bool = True) -> SnapshotRecord:
    name, host, sources = SETS[set_id]
    time_ns = int(datetime.fromisoformat(when + "+00:00").timestamp()) * 10**9 + 700_000_000
    return SnapshotRecord(
        id=f"s{number:04x}00", set_id=set_id, set_name=name, host=host, time_ns=time_ns, is_complete=is_complete,
        sources=sources,
    )  # fmt: skip


RECORDS = [
    record(2, "b1111", "2026-11-19T14:00"),
    record(1, "b1111", "2026-11-18T14:00"),
    record(3, "b1111", "2026-11-20T14:00", is_complete=False),
    record(4, "b2222", "2026-11-20T14:00"),
    record(5, "b3333", "2026-11-20T15:00"),
    record(6, "b4444", "2026-11-20T16:00", is_complete=False),
]


def picked(own_host: str | None = None, **fields: Any) -> str:
    return pick(RECORDS, Selection(**fields), NOW, UTC, own_host).id


def test_latest_is_the_newest_complete_one() -> None:
    assert picked(set_name="Documents") == "s000200"
    assert picked(set_name="Documents", incomplete=True) == "s000300"


def test_a_time_takes_the_newest_that_is_not_younger() -> None:
    assert picked(set_name="Documents", as_of="2026-11-18") == "s000100"
    assert picked(set_name="Documents", as_of="2026-11-19T14:00:00Z") == "s000200"
    assert picked(set_name="Documents", as_of="2026-11-19T13:59") == "s000100"
    with pytest.raises(SnapshotNotFoundError) as caught:
        picked(set_name="Documents", as_of="2026-11-17")
    assert caught.value.context["oldest"] == "s000100"


def test_an_id_finds_any_snapshot_without_its_set() -> None:
    assert picked(as_of="s0005") == "s000500"
    assert picked(as_of="s0003", set_name="Documents") == "s000300"
    with pytest.raises(SnapshotNotFoundError):
        picked(as_of="s0005", set_name="Documents")


def test_an_incomplete_snapshot_is_never_taken_for_the_last() -> None:
    with pytest.raises(SnapshotNotFoundError) as caught:
        picked(set_name="www")
    assert "s000600" in caught.value.hint
    twice = [record(6, "b4444", "2026-11-20T16:00"), RECORDS[5]]
    assert pick(twice, Selection(as_of="s0006"), NOW, UTC).is_complete


def test_a_set_is_found_by_name_host_or_id() -> None:
    assert choose_set(RECORDS, "web:etc") == "b3333"
    assert choose_set(RECORDS, "etc", "web") == "b3333"
    assert choose_set(RECORDS, "etc", own_host="laptop") == "b2222"
    assert choose_set(RECORDS, "www", own_host="laptop") == "b4444"
    assert choose_set(RECORDS, "b4444") == "b4444"
    with pytest.raises(AmbiguousNameError) as caught:
        choose_set(RECORDS, "etc", own_host="elsewhere")
    assert caught.value.context["candidates"] == ["laptop:etc", "web:etc"]
    with pytest.raises(SetNotFoundError):
        choose_set(RECORDS, "etc", "mail")


def test_a_set_is_found_by_paths_that_it_alone_holds() -> None:
    assert choose_set(RECORDS, None, paths=[b"/home/anna/Documents/letter.odt"]) == "b1111"
    assert choose_set(RECORDS, None, paths=[b"/srv/www/a", b"/srv/logs/b"]) == "b4444"
    assert choose_set(RECORDS, None, paths=[b"/srv"]) == "b4444"
    assert choose_set(RECORDS, None, paths=[b"/etc/hosts"], own_host="web") == "b3333"
    with pytest.raises(AmbiguousNameError):
        choose_set(RECORDS, None, paths=[b"/etc/hosts"])
    for missing in ([b"/usr/bin"], [b"/srv/www2"], [b"/srv/www", b"/etc/hosts"]):
        with pytest.raises(SetNotFoundError):
            choose_set(RECORDS, None, paths=missing)


def test_without_a_name_only_an_only_set_is_taken() -> None:
    assert choose_set(RECORDS[:3], None) == "b1111"
    with pytest.raises(UsageError) as caught:
        choose_set(RECORDS, None, own_host="laptop")
    assert caught.value.context["candidates"] == ["laptop:Documents", "laptop:etc", "web:etc", "web:www"]
    with pytest.raises(BackupError) as nothing:
        choose_set([], None)
    assert nothing.value.exit_code == 10


def test_an_id_in_the_place_of_a_set_means_that_snapshot_unless_a_set_has_that_name() -> None:
    """`bkctl snapshot ls s0001`: names go before ids, and only the repository knows them."""
    assert pick(RECORDS, Selection(set_name="s000100"), NOW, UTC).id == "s000100"
    named = msgspec.structs.replace(RECORDS[0], set_name="s000100", id="s000900")
    assert pick([*RECORDS[1:], named], Selection(set_name="s000100"), NOW, UTC).set_name == "s000100"
    with pytest.raises(SnapshotNotFoundError):
        pick(RECORDS, Selection(set_name="sffff"), NOW, UTC)


def test_a_set_that_moved_has_snapshots_of_both_machines() -> None:
    """With its name alone the newest is meant, with HOST:SET that host's; else a restore gives the other's files."""
    moved = [
        *(msgspec.structs.replace(record(n, "b2222", f"2026-11-2{n}T10:00"), host="laptop") for n in (0, 1)),
        msgspec.structs.replace(record(2, "b2222", "2026-11-22T10:00"), host="desk"),
    ]

    def found(word: str, **fields: Any) -> str:
        return pick(moved, Selection(set_name=word, **fields), NOW, UTC, "laptop").id

    assert [found(word) for word in ("etc", "laptop:etc", "Laptop:etc", "desk:etc")] == [
        "s000200",
        "s000100",
        "s000100",
        "s000200",
    ]
    assert found("etc", host_name="laptop") == "s000100"
    assert found("laptop:b2222") == "s000100"
