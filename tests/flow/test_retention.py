"""Retention at a place: what goes is what the policy says, and nothing goes where something can't be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.cache import seen_snapshots
from backupd.clock import SystemClock, to_datetime
from backupd.destination.contract import Below, Traits
from backupd.destination.local import LocalDestination
from backupd.destination.stores import canonical
from backupd.errors import BusyError, DamageError, NewerVersionError, RollbackError, UsageError
from backupd.model.orders import RetentionOrder, Selection, SnapshotListOrder, SnapshotNoteOrder, Unlock
from backupd.model.retention import RetentionText
from backupd.repository import identity
from backupd.repository.records import Records
from backupd.repository.retaining import retain
from backupd.seal.header import ObjectKind
from backupd.seal.slot import secret_to_text
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.snapshot.naming import snapshot_id_text
from backupd.snapshot.notes import noted
from backupd.snapshot.records import Note, Session, Snapshot
from backupd.store_errors import PlanOutdatedError
from tests.support.machine import Machine
from tests.support.small_repository import SECOND, START_NS, Node, SmallRepository, directory

DAY_NS = 86_400 * SECOND
JOBS_2 = RetentionText(jobs=2)


class Now:
    """A clock that stands days after the first snapshot."""

    def __init__(self, days: float) -> None:
        self._ns = START_NS + int(days * DAY_NS)

    def now_ns(self) -> int:
        return self._ns

    def monotonic(self) -> float:
        return SystemClock().monotonic()


class Shelf:
    """A place with a set of daily snapshots, and a machine that looks after it."""

    def __init__(self, tmp_path: Path) -> None:
        self.repository = SmallRepository(tmp_path / "place")
        self.machine = Machine(tmp_path / "home")
        self.records = Records(self.repository.repository)
        self._common: dict[str, Any] = {
            "place": str(self.repository.place),
            "unlock": Unlock(secret=secret_to_text(self.repository.secret).encode()),
        }

    def add(self, day: int, **more: Any) -> Snapshot:
        tree = directory(home=directory(anna=directory(a=Node(str(day).encode()))))
        return self.repository.add(tree, day=day, **more)

    def retention(
        self, *, apply: bool = True, policy: RetentionText | None = JOBS_2, days: float = 100, **more: Any
    ) -> Any:
        order = RetentionOrder(set_name="laptop:documents", policy=policy, apply=apply, **self._common, **more)
        return self.machine.run(order, Now(days)).result

    def note(self, verb: Any, snapshot: Snapshot, days: float = 100, **more: Any) -> Any:
        selection = Selection(as_of=snapshot_id_text(snapshot.id))
        order = SnapshotNoteOrder(verb=verb, selection=selection, **self._common, **more)
        return self.machine.run(order, Now(days)).result

    def listed(self) -> list[dict[str, Any]]:
        """What the user still sees, partial ones too."""
        return self.machine.run(SnapshotListOrder(incomplete=True, **self._common)).result["snapshots"]  # type: ignore[no-any-return]

    def ids(self) -> list[str]:
        return [one["id"] for one in self.listed()]

    def drops(self) -> list[Path]:
        return sorted(self.repository.place.glob("*/gc/drop-*"))

    def objects(self) -> list[str]:
        return sorted(path.name for path in self.repository.place.glob("*/snapshots/*/*"))

    def path_of(self, snapshot: Snapshot) -> Path:
        (path,) = self.repository.place.glob(f"*/snapshots/*/*-{snapshot.id.hex()}")
        return path

    def announce(self, bases: list[str]) -> bytes:
        """A running writer that builds on these."""
        session = os.urandom(16)
        name = naming.snapshot_name(bytes(16), START_NS, session)
        record = Session(session, 1, bytes(16), bytes(16), "boot", bytes(16), bases, name, START_NS)
        self.records.put(ObjectKind.SESSION, naming.session_name(session, 1), record)
        return session


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def text(*snapshots: Snapshot) -> list[str]:
    return [snapshot_id_text(one.id) for one in snapshots]


def test_what_the_policy_does_not_keep_goes_by_one_record(shelf: Shelf) -> None:
    """A disk that fills up with what nobody wanted; or a kept version that is gone."""
    made = [shelf.add(day) for day in range(5)]
    partial = shelf.add(6, is_complete=False)
    other = [shelf.add(day, set_name="etc") for day in range(3)]
    elsewhere = shelf.add(0, host="web")
    found = shelf.retention()
    assert found["changed"] is True
    assert (found["kept_count"], found["dropped_count"], found["deleted_count"]) == (2, 3, 3)
    assert sorted(shelf.ids()) == sorted(text(*made[3:], partial, *other, elsewhere))
    assert len(shelf.drops()) == 1
    (drop,) = shelf.records.drops().values()
    assert (len(drop.names), drop.reason) == (3, "retention")
    assert len(shelf.objects()) == 2 + 1 + 3 + 1
    again = shelf.retention()
    assert (again["changed"], again["dropped_count"]) == (False, 0)
    assert len(shelf.drops()) == 1


def test_a_plan_changes_nothing_and_tells_all(shelf: Shelf) -> None:
    """Who looks before he applies must see what is then done."""
    made = [shelf.add(day) for day in range(3)]
    before = sorted(path for path in shelf.repository.place.rglob("*") if path.is_file())
    found = shelf.retention(apply=False, policy=RetentionText(days=7), days=9)
    assert sorted(path for path in shelf.repository.place.rglob("*") if path.is_file()) == before
    assert (found["changed"], found["dry_run"], found["policy_words"]) == (False, True, "days 7")
    kept = zip(text(*made), (False, True, True), strict=True)
    assert [(one["id"], one["kept"]) for one in found["snapshots"]] == [*kept]
    day = (to_datetime(START_NS) + timedelta(days=9)).date()
    assert found["snapshots"][1]["reasons"] == [f"days 7: until {day}"]
    assert found["snapshots"][2]["reasons"] == ["newest"]


def test_a_plan_is_carried_out_just_as_it_was_shown(shelf: Shelf) -> None:
    """A run between look and deed would have another snapshot go than was shown."""
    for day in range(4):
        shelf.add(day)
    plan = shelf.retention(apply=False)["plan"]
    shelf.add(5)
    with pytest.raises(PlanOutdatedError) as caught:
        shelf.retention(plan=plan)
    assert caught.value.exit_code == 17
    assert (len(shelf.ids()), shelf.drops()) == (5, [])
    plan = shelf.retention(apply=False)["plan"]
    assert plan == caught.value.context["plan"]
    assert shelf.retention(plan=plan)["dropped_count"] == 3


def test_pins_and_tags_keep_until_they_are_taken_away(shelf: Shelf) -> None:
    """The state before the upgrade, pinned by its owner, must be there when he needs it."""
    made = [shelf.add(day) for day in range(5)]
    assert shelf.note("pin", made[0], reason="before the move")["changed"] is True
    assert shelf.note("pin", made[0])["changed"] is False
    assert shelf.note("tag", made[1], tags={"keep": "yes"})["diff"]["tags"]["to"]["keep"] == "yes"
    policy = RetentionText(jobs=1, keep_tags=["keep"])
    assert shelf.retention(policy=policy)["kept_count"] == 3
    pinned = zip(text(made[0], made[1], made[4]), (True, False, False), strict=True)
    assert [(one["id"], one["pinned"]) for one in shelf.listed()] == [*pinned]
    # By a clock that is far behind: it is the last word all the same.
    assert shelf.note("unpin", made[0], days=-1000)["pinned"] is False
    assert shelf.note("tag", made[1], untag=["keep"])["tags"] == {"why": "test"}
    shelf.retention(policy=policy)
    assert shelf.ids() == text(made[4])


def test_notes_of_one_moment_keep() -> None:
    """Two hosts, one moment: the pin must win."""
    pin, unpin = Note(5, bytes(16), b"s", "pin", ""), Note(5, bytes(16), b"s", "unpin", "")
    assert noted([pin, unpin])[b"s"].is_pinned
    assert noted([unpin, pin])[b"s"].is_pinned


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Shelf, list[Snapshot]], None]] = {
    "the newest snapshot": lambda shelf, made: _flip(shelf.path_of(made[-1])),
    "the oldest snapshot": lambda shelf, made: _flip(shelf.path_of(made[0])),
    "a partial snapshot": lambda shelf, made: _flip(shelf.path_of(shelf.add(9, is_complete=False))),
    "a note": lambda shelf, made: _flip(_pinned(shelf, made[0])),
    "a drop record": lambda shelf, made: _flip(_dropped(shelf)),
}


def _pinned(shelf: Shelf, snapshot: Snapshot) -> Path:
    shelf.note("pin", snapshot)
    return next(shelf.repository.place.glob("*/notes/*"))


def _dropped(shelf: Shelf) -> Path:
    shelf.add(50, set_name="etc")
    shelf.add(51, set_name="etc")
    order = RetentionOrder(set_name="etc", policy=RetentionText(jobs=1), apply=True, **shelf._common)
    shelf.machine.run(order, Now(100))
    return shelf.drops()[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_can_not_be_read_ends_it_before_anything_goes(shelf: Shelf, damage: str) -> None:
    """The unreadable one may be the newest complete one: the last good one would be dropped in its favour."""
    made = [shelf.add(day) for day in range(5)]
    DAMAGES[damage](shelf, made)
    drops, objects = shelf.drops(), shelf.objects()
    for apply in (False, True):
        with pytest.raises(DamageError) as caught:
            shelf.retention(apply=apply)
        assert caught.value.exit_code == 20
    assert (shelf.drops(), shelf.objects()) == (drops, objects)
    if "snapshot" in damage:
        (named,) = caught.value.context["unreadable"]
        assert named in caught.value.message


def test_another_sets_damage_does_not_hold_this_one_back(shelf: Shelf) -> None:
    """One bad sector in one set would let all others grow without end."""
    for day in range(5):
        shelf.add(day)
    _flip(shelf.path_of(shelf.add(3, set_name="etc")))
    set_id = naming.set_id_text(shelf.add(6).set_id)
    found = shelf.retention(apply=True)
    assert found["set_id"] == set_id
    assert found["dropped_count"] == 4


def test_a_note_of_a_newer_program_holds_it_back(shelf: Shelf) -> None:
    """It may be a hold that a court has asked for."""
    made = [shelf.add(day) for day in range(5)]
    shelf.records.put(ObjectKind.NOTE, f"notes/{'0' * 32}", Note(1, bytes(16), made[0].id, "legal hold", ""))
    with pytest.raises(NewerVersionError) as caught:
        shelf.retention()
    assert caught.value.exit_code == 18
    assert shelf.drops() == []


def test_an_older_copy_of_the_place_loses_nothing_more(shelf: Shelf) -> None:
    """A disk that was rolled back: what looks old there may be all that is left."""
    made = [shelf.add(day) for day in range(5)]
    shelf.retention(apply=False, policy=RetentionText(keep="all"))
    seen = shelf.machine.home / "state" / "backupd" / "seen"
    seen.mkdir(parents=True, exist_ok=True)
    path = shelf.path_of(made[4])
    tag = identity.place_tag(canonical(str(shelf.repository.place)))
    name = naming.snapshot_name(made[4].set_id, made[4].started_ns, made[4].id)
    seen_snapshots.add(str(seen / f"{shelf.repository.repository.text_id}-{tag}"), [name])
    path.unlink()
    with pytest.raises(RollbackError):
        shelf.retention()
    assert shelf.drops() == []


def test_what_a_running_backup_builds_on_stays_an_object_until_it_has_ended(shelf: Shelf) -> None:
    """It vouches for chunks that the running backup does not store again: without it they may be freed too early."""
    made = [shelf.add(day) for day in range(4)]
    name = naming.snapshot_name(made[0].set_id, made[0].started_ns, made[0].id)
    session = shelf.announce([name])
    assert shelf.retention()["deleted_count"] == 1
    assert shelf.ids() == text(*made[2:])
    assert shelf.path_of(made[0]).exists()
    shelf.records.remove_session(session, [1])
    assert shelf.retention()["deleted_count"] == 1
    assert len(shelf.objects()) == 2


def test_a_session_that_can_not_be_read_keeps_all_objects(shelf: Shelf) -> None:
    """What it builds on is not known."""
    for day in range(4):
        shelf.add(day)
    shelf.announce([])
    (path,) = shelf.repository.place.glob("*/sessions/*/*")
    _flip(path)
    found = shelf.retention()
    assert (found["dropped_count"], found["deleted_count"]) == (2, 0)
    assert (len(shelf.objects()), len(shelf.ids())) == (4, 2)


class Lagging(LocalDestination):
    """A store that may show a session later than it was posted."""

    @property
    def traits(self) -> Traits:
        return msgspec.structs.replace(super().traits, create_if_absent=False)


def test_where_listings_lag_a_drop_deletes_no_object(shelf: Shelf) -> None:
    """A session that is not listed yet may build on one: its chunks could be freed under a running backup."""
    made = [shelf.add(day) for day in range(4)]
    whole = Lagging(str(shelf.repository.place), "lagging")
    opened = shelf.repository.repository
    records = Records(msgspec.structs.replace(opened, place=Below(whole, opened.text_id)))
    done = retain(records, made[0].set_id, JOBS_2, now_ns=Now(100).now_ns(), zone=UTC, host_id=bytes(16))
    assert (len(done.dropped), done.deleted_count) == (2, 0)
    assert shelf.ids() == text(*made[2:])
    assert len(shelf.objects()) == 4


def test_a_set_that_is_written_is_left_alone(shelf: Shelf) -> None:
    """One writing job of a set at a time: also this one."""
    made = [shelf.add(day) for day in range(4)]
    lock = SetLock(str(shelf.machine.home / "state" / "backupd"), naming.set_id_text(made[0].set_id))
    with lock:
        lock.acquire(SystemClock())
        assert shelf.retention(apply=False)["dropped_count"] == 2
        with pytest.raises(BusyError):
            shelf.retention()
    assert shelf.drops() == []


def test_two_objects_of_one_snapshot_go_together(shelf: Shelf) -> None:
    """A partial object of a dropped snapshot would come back into the listing."""
    made = [shelf.add(day) for day in range(4)]
    partial = msgspec.structs.replace(made[0], is_complete=False)
    shelf.records.commit(naming.snapshot_name(made[0].set_id, made[0].started_ns, os.urandom(16)), partial)
    assert shelf.retention()["dropped_count"] == 2
    assert shelf.ids() == text(*made[2:])
    assert len(shelf.objects()) == 2


def test_without_a_policy_nothing_is_decided(shelf: Shelf) -> None:
    """A client that sends none must not get a default that drops."""
    shelf.add(0)
    with pytest.raises(UsageError):
        shelf.retention(policy=None)


def test_the_function_that_others_call_says_what_went(shelf: Shelf) -> None:
    """`free` drops what the policy drops before it gives space back."""
    made = [shelf.add(day) for day in range(4)]
    clock = Now(100)
    done = retain(
        shelf.records, made[0].set_id, JOBS_2, now_ns=clock.now_ns(), zone=UTC, host_id=bytes(16)
    )
    assert [one.id for one in done.dropped] == text(*made[:2])
    assert [one.id for one in done.kept] == text(*made[2:])
    assert done.deleted_count == 2
