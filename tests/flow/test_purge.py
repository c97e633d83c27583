"""`purge`: what is named goes for good, whatever the policy says, and all else gives back what it held."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from backupd.clock import SystemClock
from backupd.errors import (
    BusyError,
    ConflictError,
    DamageError,
    NewerVersionError,
    PathNotFoundError,
    RepositoryNotFoundError,
    SetNotFoundError,
    UsageError,
)
from backupd.model.orders import (
    CheckOrder,
    Selection,
    SnapshotListOrder,
    SnapshotNoteOrder,
    SnapshotShowOrder,
    Unlock,
)
from backupd.model.purge_orders import PurgeOrder
from backupd.operations.purge.choosing import reason_of
from backupd.repository import purge_marker
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.seal.slot import secret_to_text
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.snapshot.naming import snapshot_id_text
from backupd.snapshot.records import Drop, Note, Session, Snapshot
from backupd.store_errors import PlanOutdatedError, RepositoryPurgedError
from tests.support.backing_up import counts
from tests.support.histories import History
from tests.support.machine import Machine
from tests.support.small_repository import START_NS, Node, SmallRepository, directory

_MIB = 1 << 20


class Shelf:
    """A repository of several sets and hosts, and a machine that purges there."""

    def __init__(self, above: Path) -> None:
        self.repository = SmallRepository(above / "place")
        self.machine = Machine(above / "home")
        self.records = Records(self.repository.repository)
        self.common: dict[str, Any] = {
            "place": str(self.repository.place),
            "unlock": Unlock(secret=secret_to_text(self.repository.secret).encode()),
        }

    def add(self, day: int, more: bytes = b"", **options: Any) -> Snapshot:
        """A snapshot of /home/anna with a letter, a secret below a directory, and what is the same each day."""
        anna = directory(letter=Node(b"letter" * 300 + more), same=Node(b"same" * 700))
        assert anna.below is not None
        anna.below[b"private"] = directory(secret=Node(b"secret" * 500 + more), diary=Node(b"diary" * 300))
        return self.repository.add(directory(home=directory(anna=anna)), day=day, **options)

    def plan(self, **wanted: Any) -> dict[str, Any]:
        """What would go."""
        result: dict[str, Any] = self.machine.run(PurgeOrder(dry_run=True, **self.common, **_wanted(wanted))).result
        return result

    def purge(self, exit_code: int = 0, plan: str = "", **wanted: Any) -> dict[str, Any]:
        """Just what a plan says, by default that of now."""
        wanted = _wanted(wanted)
        bare = {name: value for name, value in wanted.items() if name != "evidence"}
        plan = plan or self.plan(**bare)["plan"]
        done = self.machine.run(PurgeOrder(plan=plan, **self.common, **wanted)).done
        assert done.exit_code == exit_code, done.error
        result: dict[str, Any] = done.result
        return result

    def listed(self, **options: Any) -> list[dict[str, Any]]:
        """Snapshots, the oldest first within a set."""
        order = SnapshotListOrder(incomplete=True, **self.common, **options)
        found: list[dict[str, Any]] = self.machine.run(order).result["snapshots"]
        return found

    def check(self) -> None:
        """Nothing is damaged."""
        assert self.machine.run(CheckOrder(crc=True, **self.common)).result["problems"] == []

    def files(self) -> dict[str, bytes]:
        """All that lies at the place, but for the reserve."""
        paths = (path for path in self.repository.place.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in paths if "reserve-" not in path.name}


def _wanted(wanted: dict[str, Any]) -> dict[str, Any]:
    names = ("set_names", "host_name", "whole")
    return wanted if any(name in wanted for name in names) else {"set_names": ["laptop:documents"], **wanted}


@pytest.fixture(name="shelf")
def _shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 11)


def purge(history: History, **options: Any) -> dict[str, Any]:
    """Ask for a plan of what `once` has stored, then carry just that out."""
    machine, clock, place = history.bench.machine, history.bench.clock, str(history.bench.place)
    planned = machine.run(PurgeOrder(place=place, dry_run=True, **options), clock).result
    done = machine.run(PurgeOrder(place=place, plan=planned["plan"], **options), clock).done
    assert done.exit_code == 0, done.error
    return {**done.result, "planned": planned}


# Sets and snapshots


def test_all_of_a_set_goes_and_its_space_comes_back(history: History) -> None:
    """Else who has to delete somebody's data waits for a policy, and the disk stays full."""
    history.back_up({"a": 2 * _MIB, "d/b": 50_000})
    history.back_up({"a": 2 * _MIB})
    before = history.bench.stored_bytes()
    purged = purge(history, set_names=["source"])
    assert purged["counts"] == {"dropped": 2, "rewritten": 0, "kept": 0, "files": 4}
    assert purged["planned"]["bytes"]["stored"] > 4 * _MIB
    assert purged["freed_bytes"] == before - history.bench.stored_bytes()
    assert history.bench.stored_bytes() == 0
    assert history.bench.machine.run(SnapshotListOrder(place=str(history.bench.place))).result["snapshots"] == []
    # The set is backed up as ever, from its sources.
    assert counts(history.bench.back_up())["new"] == 2
    assert history.bench.differences() == []


def test_pins_do_not_protect_and_other_sets_stay(shelf: Shelf) -> None:
    """A pin is a wish of whom the data belongs to; a purge is his, too, and of the other sets it says nothing."""
    first, other, photos = shelf.add(0), shelf.add(0, host="desk"), shelf.add(1, set_name="photos")
    note = SnapshotNoteOrder(verb="pin", selection=Selection(as_of=snapshot_id_text(first.id)), **shelf.common)
    shelf.machine.run(note)
    planned = shelf.plan()
    assert [(one["pinned"], one["action"]) for one in planned["snapshots"]] == [(True, "drop")]
    assert planned["bytes"]["shared"] > planned["bytes"]["stored"] == 0
    shelf.purge()
    assert {one["id"] for one in shelf.listed()} == {snapshot_id_text(one.id) for one in (other, photos)}
    shelf.check()
    shelf.purge(host_name="desk")
    assert [one["set"] for one in shelf.listed()] == ["photos"]


def test_chosen_snapshots_go_and_partial_ones_with_their_set(shelf: Shelf) -> None:
    first, second, third = shelf.add(0), shelf.add(1, b"x"), shelf.add(2, b"y", is_complete=False)
    purged = shelf.purge(snapshots=[snapshot_id_text(first.id)[:12]])
    assert purged["counts"]["kept"] == 2
    assert [one["id"] for one in shelf.listed()] == [snapshot_id_text(one.id) for one in (second, third)]
    shelf.purge()
    assert shelf.listed() == []


def test_a_plan_that_was_broken_off_is_gone_on_with(shelf: Shelf) -> None:
    """Else who gives the command of the plan again hears that things have changed, which he did himself."""
    first = shelf.add(0)
    shelf.add(1, b"x")
    wanted: dict[str, Any] = {"paths": [b"/home/anna/letter"]}
    plan = shelf.plan(**wanted)["plan"]
    # The half that a call of that plan had done.
    name = shelf.records.snapshot_names()[0].name
    shelf.purge(snapshots=[snapshot_id_text(first.id)], **wanted)
    order = PurgeOrder(plan=plan, set_names=["laptop:documents"], **shelf.common, **wanted)
    shelf.records.drop(Drop([name], START_NS, bytes(16), reason_of(order, "rewrite")))
    assert sorted(one["purged_paths"] for one in shelf.listed()) == [0, 1]
    assert shelf.plan(**wanted)["plan"] == plan
    assert shelf.purge(plan=plan, **wanted)["counts"]["rewritten"] == 1
    assert [one["purged_paths"] for one in shelf.listed()] == [1, 1]
    assert shelf.purge(plan=plan, **wanted)["counts"]["rewritten"] == 0


def test_what_was_purged_already_is_no_mistake(shelf: Shelf) -> None:
    """Else a purge that was broken off between its record and its end can't be given again."""
    shelf.add(0)
    shelf.purge()
    assert shelf.purge()["changed"] is False
    with pytest.raises(SetNotFoundError):
        shelf.plan(set_names=["laptop:never"])
    with pytest.raises(SetNotFoundError):
        shelf.plan(host_name="nobody")


# Paths


def test_a_path_goes_from_all_snapshots_and_all_else_stays(history: History) -> None:
    """Else the letter that was to be deleted comes back with a restore, or other files go with it."""
    first = history.back_up({"secret": 2 * _MIB, "d/secret": 3 * _MIB, "d/stays": 40_000, "stays": _MIB})
    second = history.back_up({"secret": 2 * _MIB, "stays": _MIB})
    machine, place, source = history.bench.machine, str(history.bench.place), history.bench.source
    listed = {one["id"]: one for one in machine.run(SnapshotListOrder(place=place)).result["snapshots"]}
    before = history.bench.stored_bytes()
    paths = [bytes(source / "secret"), bytes(source / "d" / "secret")]
    purged = purge(history, set_names=["source"], paths=paths)
    assert purged["counts"] == {"dropped": 0, "rewritten": 2, "kept": 0, "files": 4}
    assert purged["planned"]["bytes"]["source"] == 10 * _MIB
    assert before - history.bench.stored_bytes() == purged["freed_bytes"] > 6.9 * _MIB
    # Of a segment that is needed in part by the number of its chunks.
    assert 6 * _MIB < purged["planned"]["bytes"]["stored"] <= 8 * _MIB
    new = machine.run(SnapshotListOrder(place=place)).result["snapshots"]
    assert [one["time"] for one in new] == [listed[one]["time"] for one in (first, second)]
    for old, one in zip((first, second), new, strict=True):
        assert (one["files"], one["purged_paths"]) == (listed[old]["files"] - 2, 2)
        tree = history.trees.pop(old)
        history.trees[one["id"]] = {name: data for name, data in tree.items() if not name.endswith("secret")}
    history.check_all()
    # Nothing is taken from the caches of what is gone: all is read, and only what was purged is stored.
    stored = history.bench.stored_bytes()
    run = history.bench.back_up()
    assert counts(run)["seen"] == 4
    assert 4.9 * _MIB < history.bench.stored_bytes() - stored < 5.1 * _MIB
    history.note(run.result["runs"][0]["snapshot"])
    history.check_all()


def test_what_stands_in_says_so_and_keeps_times_pins_and_tags(shelf: Shelf) -> None:
    """Else a snapshot that lacks something looks like one that never had it, or goes with the next retention."""
    old = shelf.add(0)
    select = Selection(as_of=snapshot_id_text(old.id))
    shelf.machine.run(SnapshotNoteOrder(verb="pin", selection=select, reason="for the court", **shelf.common))
    shelf.machine.run(SnapshotNoteOrder(verb="tag", selection=select, tags={"k": "v"}, untag=["why"], **shelf.common))
    shelf.purge(paths=[b"/home/anna/private"])
    (new,) = shelf.listed()
    assert new["id"] != snapshot_id_text(old.id)
    assert (new["pinned"], new["tags"]) == (True, {"k": "v"})
    selection = Selection(as_of=new["id"])
    facts = shelf.machine.run(SnapshotShowOrder(selection=selection, **shelf.common)).result
    assert (facts["rewritten"]["from"], facts["rewritten"]["paths"]) == (snapshot_id_text(old.id), 1)
    assert facts["pin_reason"] == "for the court"
    record = shelf.records.snapshot(shelf.records.snapshot_names()[0].name)
    assert (record.started_ns, record.finished_ns, record.sources) == (old.started_ns, old.finished_ns, old.sources)
    assert (record.file_count, record.byte_count) == (2, old.byte_count - 3000 - 1500)
    shelf.purge(paths=[b"/home/anna/same"])
    assert shelf.listed()[0]["purged_paths"] == 2


def test_the_same_purge_gives_the_same_snapshots_at_each_destination(tmp_path: Path) -> None:
    """Else two destinations of a set are out of step for good, and a copy brings each snapshot twice."""
    shelf = Shelf(tmp_path)
    shelf.add(0)
    shelf.add(1, b"x")
    copy = tmp_path / "copy"
    shutil.copytree(shelf.repository.place, copy)
    shelf.purge(paths=[b"/home/anna/letter"])
    first = shelf.listed()
    shelf.common["place"] = str(copy)
    shelf.purge(paths=[b"/home/anna/letter"])
    assert [one["id"] for one in shelf.listed()] == [one["id"] for one in first]


def test_what_holds_nothing_else_goes_whole(shelf: Shelf) -> None:
    """A snapshot of which all sources are purged is no snapshot any more."""
    shelf.add(0, sources=(b"/home/anna/letter",))
    kept = shelf.add(1, sources=(b"/home/anna/letter", b"/home/anna/same"))
    purged = shelf.purge(paths=[b"/home/anna/letter"])
    assert (purged["counts"]["dropped"], purged["counts"]["rewritten"]) == (1, 1)
    (record,) = [shelf.records.snapshot(name.name) for name in shelf.records.snapshot_names()]
    assert record.sources == [b"/home/anna/same"]
    assert record.started_ns == kept.started_ns


def test_partial_snapshots_lose_the_path_too(shelf: Shelf) -> None:
    """Else the next run goes on from it, and the letter is back."""
    shelf.add(0)
    shelf.add(1, b"x", is_complete=False)
    assert shelf.purge(paths=[b"/home/anna/letter"])["counts"]["rewritten"] == 2
    assert [one["incomplete"] for one in shelf.listed()] == [False, True]
    with pytest.raises(PathNotFoundError):
        shelf.plan(paths=[b"/home/anna/letters"])


def test_a_path_that_nothing_holds_changes_nothing(shelf: Shelf) -> None:
    """Else a slip of the pen is taken for done."""
    shelf.add(0)
    before = shelf.files()
    with pytest.raises(PathNotFoundError):
        shelf.plan(paths=[b"/home/anna/letter", b"/home/anna/leter"])
    for path in (b"/", b"relative", b"/a//b", b"/a/../b", b"/a/"):
        with pytest.raises(UsageError):
            shelf.plan(paths=[path])
    assert shelf.files() == before


# Plans, damage, others


def test_a_plan_is_that_plan_exactly(shelf: Shelf) -> None:
    """Else what somebody agreed to is not what is deleted."""
    shelf.add(0)
    plan = shelf.plan()["plan"]
    assert shelf.plan()["plan"] == plan
    assert shelf.plan(paths=[b"/home/anna/letter"])["plan"] != plan
    with pytest.raises(UsageError):
        shelf.machine.run(PurgeOrder(set_names=["documents"], **shelf.common))
    shelf.add(1)
    before = shelf.files()
    with pytest.raises(PlanOutdatedError):
        shelf.purge(plan=plan)
    assert shelf.files() == before


@pytest.mark.parametrize("kind", ["snapshots/*/*", "index/*", "blocks/*/*", "notes/*"])
@pytest.mark.parametrize("paths", [[], [b"/home/anna/letter"]])
def test_what_cant_be_read_ends_it_before_anything_is_deleted(shelf: Shelf, kind: str, paths: list[bytes]) -> None:
    """Else a bad sector makes the purge of one path delete what only an unread snapshot needs."""
    first = shelf.add(0)
    shelf.add(1, b"x", set_name="photos")
    note = SnapshotNoteOrder(verb="pin", selection=Selection(as_of=snapshot_id_text(first.id)), **shelf.common)
    shelf.machine.run(note)
    plan = shelf.plan(paths=paths)["plan"]
    shutil.rmtree(shelf.machine.environ["XDG_CACHE_HOME"])
    for path in shelf.repository.place.glob(f"r*/{kind}"):
        data = path.read_bytes()
        if kind.startswith("blocks"):
            path.unlink()
        else:
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    before = shelf.files()
    with pytest.raises(DamageError):
        shelf.purge(plan=plan, paths=paths)
    assert shelf.files() == before


def test_what_a_newer_version_wrote_ends_it(shelf: Shelf) -> None:
    """Else an old program deletes what it does not know to be needed."""
    first = shelf.add(0)
    shelf.add(1)
    note = Note(START_NS, bytes(16), first.id, "of a later day", "")
    shelf.records.put(ObjectKind.NOTE, f"notes/{os.urandom(16).hex()}", note)
    before = shelf.files()
    with pytest.raises(NewerVersionError):
        shelf.plan()
    path = next(shelf.repository.place.glob("r*/snapshots/*/*"))
    path.write_bytes(path.read_bytes()[:8] + b"\xff\xff\xff\x7f" + path.read_bytes()[12:])
    with pytest.raises(NewerVersionError):
        shelf.plan(paths=[b"/home/anna/letter"])
    assert shelf.files().keys() == before.keys()


def test_a_run_of_the_set_keeps_it_waiting(shelf: Shelf) -> None:
    """Else two write one set at once."""
    snapshot = shelf.add(0)
    plan = shelf.plan()["plan"]
    shelf.machine.home.mkdir(exist_ok=True)
    lock = SetLock(f"{shelf.machine.environ['XDG_STATE_HOME']}/backupd", naming.set_id_text(snapshot.set_id))
    with lock:
        lock.acquire(SystemClock())
        with pytest.raises(BusyError):
            shelf.purge(plan=plan)
    shelf.purge(plan=plan)


def _announce(shelf: Shelf, snapshot: Snapshot, honours: int = 9) -> bytes:
    """Somebody else's run of the set of a snapshot, which it builds on."""
    session = os.urandom(16)
    base = shelf.records.snapshot_names()[0].name
    name = naming.snapshot_name(snapshot.set_id, START_NS + 10**15, session)
    said = Session(
        session, 1, b"h" * 16, b"s" * 16, "boot", snapshot.set_id, [base], name, START_NS + 10**15, honours
    )
    shelf.records.put(ObjectKind.SESSION, naming.session_name(session, 1), said)
    return session


def test_a_run_elsewhere_is_told_and_keeps_what_it_builds_on(shelf: Shelf) -> None:
    """Else a backup that is under way is broken, or brings back what was purged and nobody hears of it."""
    snapshot = shelf.add(0)
    session = _announce(shelf, snapshot)
    purged = shelf.purge(23)
    assert [one["id"] for one in purged["waiting"]] == [snapshot_id_text(session)]
    assert purged["freed_bytes"] == 0
    assert shelf.listed() == []
    assert list(shelf.repository.place.glob("r*/blocks/*/*"))
    shelf.records.remove_session(session, [1])
    assert shelf.purge()["freed_bytes"] > 0


# All of a repository


def test_all_of_a_repository_goes_keys_first(history: History) -> None:
    """Else keys and names lie around when the data is gone, and the next backup can't begin."""
    history.back_up({"a": 50_000})
    place, machine = history.bench.place, history.bench.machine
    purged = purge(history, whole=True)
    assert purged["counts"]["dropped"] == 1
    assert Path(purged["kept_key"]).exists()
    assert [path for path in place.rglob("*") if path.is_file()] == []
    assert not list(Path(machine.environ["XDG_CACHE_HOME"]).rglob("*.cache"))
    history.bench.back_up()
    assert history.bench.differences() == []


def test_a_purge_of_all_that_was_broken_off_is_ended_without_keys(shelf: Shelf) -> None:
    """Else what nobody can read any more lies there for ever."""
    shelf.add(0)
    plan = shelf.plan(whole=True)["plan"]
    below = shelf.repository.repository.place
    purge_marker.put(below, plan, is_deleting=True)
    for info in list(below.list("keys/")):
        below.delete(info.name)
    planned = shelf.plan(whole=True)
    assert (planned["plan"], planned["is_begun"]) == (plan, True)
    shelf.purge(plan=plan, whole=True)
    assert shelf.files() == {}
    with pytest.raises(RepositoryNotFoundError):
        shelf.plan(whole=True)


def test_nobody_writes_where_all_is_being_deleted(history: History) -> None:
    """Else a backup says that it is good while its keys are destroyed."""
    history.back_up({"a": 50_000})
    purge_marker.put(history.records().place, "p1", is_deleting=False)
    with pytest.raises(RepositoryPurgedError):
        history.bench.back_up()
    with pytest.raises(RepositoryPurgedError):
        history.free()
    # And what was begun is ended, with what was shown then.
    assert purge(history, whole=True)["planned"]["plan"] == "p1"
    assert not list(history.bench.place.glob("r*/keys/*"))


def test_all_of_a_repository_waits_for_who_writes_there(shelf: Shelf) -> None:
    """Else the key goes in the middle of another host's backup."""
    snapshot = shelf.add(0)
    session = _announce(shelf, snapshot)
    before = shelf.files()
    purged = shelf.purge(23, whole=True)
    assert [one["id"] for one in purged["waiting"]] == [snapshot_id_text(session)]
    assert shelf.files() == before
    plan = shelf.plan(whole=True)["plan"]
    shelf.add(1)
    with pytest.raises(PlanOutdatedError):
        shelf.purge(plan=plan, whole=True)


# The signed list


def test_the_signed_list_names_what_is_gone_and_nothing_else(shelf: Shelf, tmp_path: Path) -> None:
    """Else who has to prove a deletion has nothing, or a list that anybody could have written."""
    shelf.add(0)
    shelf.add(1, b"x")
    before = shelf.files()
    path = tmp_path / "evidence.json"
    told = shelf.purge(paths=[b"/home/anna/private"], evidence=str(path))["evidence"]
    assert path.stat().st_mode & 0o777 == 0o600
    line, last, _ = path.read_bytes().split(b"\n")
    signature = json.loads(last)
    key = load_pem_public_key(signature["public_key"].encode())
    key.verify(base64.b64decode(signature["signature"]), line)  # type: ignore[union-attr, call-arg]
    assert told["fingerprint"] == signature["fingerprint"]
    listed = json.loads(line)
    assert listed["paths"] == [{"path": "/home/anna/private"}]
    named = {f"{shelf.repository.place}/{one['name']}": one["bytes"] for one in listed["objects"]}
    gone = before.keys() - shelf.files().keys()
    assert gone
    assert gone <= named.keys()
    assert all(len(before[name]) == named[name] for name in gone)
    assert not named.keys() & shelf.files().keys()
    with pytest.raises(ConflictError):
        shelf.purge(evidence=str(path))
    assert len(shelf.listed()) == 2
    second = tmp_path / "second.json"
    assert shelf.purge(whole=True, evidence=str(second))["evidence"]["fingerprint"] == told["fingerprint"]
    names = [one["name"].split("/")[1] for one in json.loads(second.read_bytes().split(b"\n")[0])["objects"]]
    assert names[0] == "keys"
    assert names[-1] == "gc"
