"""Copies of a repository at another place: by sealed segments, each snapshot whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backupd import house
from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.destination.contract import Below
from backupd.destination.local import LocalDestination
from backupd.errors import (
    BackupError,
    CancelledError,
    ConflictError,
    PlaceOccupiedError,
    RepositoryNotFoundError,
    SnapshotNotFoundError,
    UsageError,
)
from backupd.model import events
from backupd.model.orders import BackupOrder, CheckOrder, KeyOrder, ReplicateOrder, Unlock
from backupd.model.quotas import SpaceLimits
from backupd.operations.backup.session import RunningSession
from backupd.operations.context import JobContext
from backupd.operations.unlocking import secret_of
from backupd.repository import opening
from backupd.repository.opening import NewSlot
from backupd.repository.records import Records
from backupd.seal.keyring import Configuration
from backupd.seal.slot import new_secret, secret_to_text
from backupd.settings import directories
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.snapshot.records import Drop, Snapshot
from backupd.store_errors import QuotaError
from tests.support.backing_up import fingerprint
from tests.support.replicating import SET, History
from tests.support.small_repository import Node, SmallRepository, directory

_ALL = {"copied": 0, "there": 0, "failed": 0, "partial": 0}


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A machine with a source; nothing is stored yet."""
    return History(tmp_path)


def test_each_snapshot_comes_back_from_the_copy_alone(history: History) -> None:
    """Else the copy is none on the day on which the first place burns down. Again, it costs nothing and writes nothing;
    later only what is new crosses the line.
    """
    made = history.live()
    found = history.replicate()
    assert (found["exit"], found["snapshots"]) == (0, {**_ALL, "copied": 4}), found
    assert (found["created"], [one["id"] for one in found["copied"]]) == (True, made)
    before, after = history.snapshots(history.old), history.snapshots(history.new)
    assert before == after, "a snapshot's id, times, statistics and root are the same at each place"
    assert not history.blocks(history.old).keys() & history.blocks(history.new).keys(), "each place has its own blocks"
    trees = [len(history.tree_blocks(place)) for place in (history.old, history.new)]
    assert trees[0] == trees[1], "trees lie in blocks of their own at the copy, too"
    assert found["bytes"]["copied"] == history.block_bytes(history.new)
    assert history.block_bytes(history.new) <= 1.01 * history.block_bytes(history.old)

    seen = fingerprint(history.new)
    again = history.replicate()
    assert again["snapshots"] == {**_ALL, "there": 4}
    assert again["bytes"] == {"copied": 0, "fetched": 0, "held": None}
    assert fingerprint(history.new) == seen

    stored = history.block_bytes(history.old)
    history.write("late", 60_000)
    made.append(history.back_up())
    more = history.replicate()
    assert more["snapshots"] == {**_ALL, "copied": 1, "there": 4}
    assert more["bytes"]["copied"] <= 1.1 * (history.block_bytes(history.old) - stored) + 4096

    shutil.rmtree(history.old)
    history.check_copy(made, is_each=True)


def test_the_copy_goes_on_by_itself(history: History) -> None:
    """Else who moves to another disk begins with a full upload, or gets two histories of one set."""
    made = history.live(2)
    history.replicate()
    history.change(2)
    stored = history.block_bytes(history.new)
    made.append(history.back_up(history.new))
    assert history.block_bytes(history.new) - stored < 400_000, "what was copied was stored again"
    assert history.replicate()["snapshots"] == {**_ALL, "there": 2}
    assert len(history.snapshots(history.new)) == 3
    history.check_copy(made)
    # Back again, to a place that lacks the newest one: each place can be the older one.
    back = history.run(ReplicateOrder(place=str(history.new), to=str(history.old))).result
    assert back["snapshots"] == {**_ALL, "copied": 1, "there": 2}
    assert history.snapshots(history.old) == history.snapshots(history.new)


def test_what_was_known_of_the_files_is_known_at_the_copy(history: History) -> None:
    """Else the first night without the old place reads the whole source again."""
    history.live(2)
    history.replicate()
    shutil.rmtree(history.old)
    history.write("late", 60_000)
    order = BackupOrder(place=str(history.new), sources=[bytes(history.source)], set_name=SET)
    (run,) = history.run(order).result["runs"]
    assert 60_000 <= run["bytes"]["read"] < 100_000 < run["bytes"]["seen"], run


def test_the_snapshot_of_a_run_and_no_other(history: History) -> None:
    """By a clock that was ahead once, another one is the newest: a copy of that would stand for today's."""
    made = history.live(3)
    assert history.replicate(snapshot=made[1])["snapshots"] == {**_ALL, "copied": 1}
    assert [naming.snapshot_id_text(one) for one in history.snapshots()] == [made[1]]
    assert history.replicate(snapshot=made[1])["snapshots"] == {**_ALL, "there": 1}
    with pytest.raises(SnapshotNotFoundError):
        history.replicate(snapshot="s" + 32 * "0")


def test_a_quota_ends_a_copy(history: History) -> None:
    """What is filled from another place must not take more there than a backup would be given."""
    history.begin()
    history.back_up()
    limits = SpaceLimits(set_name=SET, destination="new", set_quota_bytes=1_000_000)
    with pytest.raises(QuotaError) as reached:
        history.replicate(space=limits)
    assert reached.value.context["destination"] == str(history.new)
    assert not history.snapshots()
    assert history.block_bytes(history.new) < 2_000_000
    ample = SpaceLimits(set_name=SET, destination="new", set_quota_bytes=history.block_bytes(history.old) + 50_000)
    found = history.replicate(space=ample)
    assert found["exit"] == 0
    assert any("over 95 %" in warning for warning in found["warnings"]), found["warnings"]


def test_only_the_newest(history: History) -> None:
    """`--latest` for a small disk; the whole history can follow, and fills up what lies before."""
    made = history.live(3)
    assert history.replicate(latest=True)["snapshots"] == {**_ALL, "copied": 1}
    assert [naming.snapshot_id_text(one) for one in history.snapshots()] == made[-1:]
    assert history.replicate(latest=True)["snapshots"] == {**_ALL, "there": 1}
    assert history.replicate()["snapshots"] == {**_ALL, "copied": 2, "there": 1}
    history.check_copy(made)


def test_what_is_damaged_is_not_copied_and_all_else_is(history: History) -> None:
    """A copy of damaged bytes would stand there as a good one, with nobody told which files it has lost."""
    history.begin()
    made = [history.back_up()]
    stored = set(history.blocks(history.old))
    path = history.write("folder 0/lost", 30_000)
    made.append(history.back_up())
    (damaged,) = history.blocks(history.old, 1).keys() - stored
    path.unlink()
    made.append(history.back_up())
    kept = history.blocks(history.old)[damaged].read_bytes()
    block = history.blocks(history.old)[damaged]
    block.write_bytes(kept[:5000] + bytes([kept[5000] ^ 1]) + kept[5001:])
    found = history.replicate()
    assert (found["exit"], found["error"]["code"]) == (20, "damage.found"), found
    assert found["error"]["context"]["destination"] == str(history.old)
    assert found["snapshots"] == {**_ALL, "copied": 2, "failed": 1}
    (failed,) = found["failed"]
    assert failed["id"] == made[1]
    assert [one["path"] for one in failed["files"]] == [f"{history.source}/folder 0/lost"]
    block.write_bytes(kept)
    assert history.replicate()["snapshots"] == {**_ALL, "copied": 1, "there": 2}
    history.check_copy(made)


def test_a_damaged_tree_is_told_with_its_directory(history: History) -> None:
    """A directory that can't be listed is lost with all that was in it."""
    made = history.live(2)
    for path in history.tree_blocks(history.old).values():
        path.unlink()
    found = history.replicate()
    assert (found["exit"], found["snapshots"]) == (20, {**_ALL, "failed": 2}), found
    assert {one["id"] for one in found["failed"]} == set(made)
    assert all(one["files_count"] for one in found["failed"])
    assert history.snapshots() == {}


def test_a_chunk_is_taken_from_where_it_is_whole(history: History) -> None:
    """What was damaged and then stored again at the old place is as good as before: no snapshot is given up."""
    history.begin()
    made = [history.back_up()]
    (block,) = history.blocks(history.old, 1).values()
    data = block.read_bytes()
    block.write_bytes(data[:3000] + bytes(50_000) + data[53_000:])
    assert history.run(CheckOrder(place=str(history.old), crc=True)).done.exit_code == 20
    made.append(history.back_up(no_cache=True))
    (later,) = history.blocks(history.old, 1).keys() - {bytes.fromhex(block.name)}
    assert history.replicate()["snapshots"] == {**_ALL, "copied": 2}
    history.check_copy(made)
    # Which of the two the index tells first is drawn with its objects' names: each is once the bad one.
    block.write_bytes(data)
    anew = history.blocks(history.old)[later]
    anew.write_bytes(anew.read_bytes()[:80] + bytes(anew.stat().st_size - 80))
    history.new = history.above / "another"
    found = history.replicate()
    assert (found["exit"], found["snapshots"]) == (0, {**_ALL, "copied": 2}), found
    history.check_copy(made)


def test_what_the_copy_has_lost_is_copied_again(history: History) -> None:
    """A snapshot at the new place vouches for nothing once damage is known there: else each later one has the hole."""
    made = history.live(2)
    history.replicate()
    largest = max(history.blocks(history.new, 1).values(), key=lambda path: path.stat().st_size)
    largest.unlink()
    assert history.run(CheckOrder(place=str(history.new))).done.exit_code == 20
    history.write("one more", 1000)
    made.append(history.back_up())
    found = history.replicate()
    assert found["snapshots"] == {**_ALL, "copied": 1, "there": 2}
    assert found["bytes"]["copied"] > 1 << 19, "the base vouched for what was lost"
    assert history.differences(made[-1]) == []


def test_a_dropped_base_vouches_for_nothing(history: History) -> None:
    """What a dropped snapshot reached may be given free at any moment; it is listed until then."""
    made = history.live(2)
    history.replicate()
    small = _records(history)
    (name, *_) = [one.name for one in small.listed_snapshot_names() if "s" + one.session.hex() not in made][-1:]
    small.drop(Drop([name], 1, bytes(16), "by a test"))
    found = history.replicate()
    assert found["snapshots"]["copied"] == 1, found
    history.check_copy(made)


def test_a_base_that_goes_while_a_snapshot_is_copied_ends_that(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who slept on a deletion may do so, and what only the base held is given free then."""
    history.live(2)
    history.replicate()
    history.write("one more", 1000)
    history.back_up()
    commit, (newest, *_) = RunningSession.commit, sorted(history.new.glob("r*/snapshots/*/*"), reverse=True)

    def pass_by(session: RunningSession, snapshot: Snapshot, now_ns: int) -> None:
        newest.unlink()
        commit(session, snapshot, now_ns)

    monkeypatch.setattr(RunningSession, "commit", pass_by)
    found = history.replicate()
    assert "goes on from is gone" in str(found), found


def test_several_epochs(history: History) -> None:
    """A copied segment keeps its epoch: the copy must open those of before each rotation, of all that came later, too.

    A key slot that was removed at the new place is not brought back by copying.
    """
    history.begin(1 << 20)
    made = [history.back_up()]
    history.rotate_key()
    history.change(1)
    made.append(history.back_up())
    assert history.replicate()["snapshots"]["copied"] == 2
    history.run(KeyOrder(place=str(history.old), verb="add", label="gone there", new_secret=b"a second password"))
    history.rotate_key()
    history.change(2)
    made.append(history.back_up())
    found = history.replicate()
    assert (found["exit"], found["snapshots"]["copied"]) == (0, 1), found
    assert len(list(history.new.glob("r*/keyring/*"))) == 3
    labels = [one["label"] for one in history.run(KeyOrder(place=str(history.new), verb="list")).result["slots"]]
    assert "gone there" not in labels
    shutil.rmtree(history.old)
    history.check_copy(made, is_each=True)


def test_keys_rotated_at_both_places_apart_are_refused(history: History) -> None:
    """Neither place's keys open what the other would send: better told than found out at a restore."""
    history.begin(1 << 16)
    history.back_up()
    history.replicate()
    history.rotate_key()
    kept = {path: path.read_bytes() for path in history.machine.keys.iterdir()}
    history.rotate_key(history.new)
    for path, data in kept.items():
        path.write_bytes(data)
    history.write("new", 10)
    history.back_up()
    seen = fingerprint(history.new)
    with pytest.raises(BackupError) as refused:
        history.replicate()
    assert refused.value.exit_code in (12, 17)
    assert refused.value.context["destination"] == str(history.new)
    assert fingerprint(history.new) == seen


def test_another_repository_of_that_id_is_refused(history: History) -> None:
    """Bytes sealed under other keys would lie there, which nobody ever opens."""
    history.begin(1 << 16)
    history.back_up()
    history.new.mkdir()
    repository = bytes.fromhex(next(history.old.glob("r*")).name[1:])
    slot = NewSlot("key", new_secret(), "somebody else's")
    opening.create(LocalDestination(str(history.new), "t"), repository, Configuration("aes-256-gcm", 32 << 20), slot, 1)
    seen = fingerprint(history.new)
    with pytest.raises(ConflictError) as refused:
        history.replicate()
    assert refused.value.message.startswith(f"{history.new}: another repository")
    assert fingerprint(history.new) == seen


def test_a_place_that_is_something_else_is_refused(history: History) -> None:
    """A mistyped --to must not be filled with blocks; and each message says which of the two places it is about."""
    history.begin(1 << 16)
    history.old.mkdir()
    with pytest.raises(RepositoryNotFoundError) as missing:
        history.replicate()
    assert missing.value.context["destination"] == str(history.old)
    assert not history.new.exists()
    history.back_up()
    history.new.mkdir()
    (history.new / "holiday.jpg").write_bytes(b"not ours")
    with pytest.raises(PlaceOccupiedError) as occupied:
        history.replicate()
    assert occupied.value.context["destination"] == str(history.new)
    with pytest.raises(UsageError, match="the same"):
        history.replicate(to=str(history.old) + "/")
    with pytest.raises(UsageError, match="names the repository"):
        history.replicate(to=f"{history.new}/r{'0' * 32}")
    assert [path.name for path in history.new.iterdir()] == ["holiday.jpg"]


def test_partial_snapshots_stay_where_they_are(tmp_path: Path) -> None:
    """Half a run at a second place would be taken for a backup there."""
    small = SmallRepository(tmp_path / "old")
    history = History(tmp_path)
    tree = directory(home=directory(a=Node(os.urandom(5000)), b=Node(os.urandom(200))))
    whole = small.add(tree)
    small.add(directory(home=directory(a=Node(os.urandom(100)))), day=1, is_complete=False)
    other = small.add(tree, set_name="mail", day=2)
    unlock = _unlock(small)
    found = history.replicate(unlock=unlock, set_names=["documents"])
    assert (found["exit"], found["snapshots"]) == (0, {**_ALL, "copied": 1, "partial": 1}), found
    both = history.replicate(unlock=unlock)
    assert both["snapshots"] == {**_ALL, "copied": 1, "there": 1, "partial": 1}
    names = {path.name.rpartition("-")[2] for path in (tmp_path / "new").glob("r*/snapshots/*/*")}
    assert len(names) == 2
    assert not names & {whole.id.hex(), other.id.hex()}, "names are of sessions, drawn anew"


def test_a_busy_set_is_skipped_and_told(tmp_path: Path) -> None:
    """Two writers of one set in one state would take each other for dead; other sets don't wait for it."""
    small = SmallRepository(tmp_path / "old")
    history = History(tmp_path)
    busy: Snapshot = small.add(directory(a=Node(b"one")))
    small.add(directory(a=Node(b"two")), set_name="mail")
    state = history.machine.home / "state" / "backupd"
    with SetLock(str(state), naming.set_id_text(busy.set_id)) as lock:
        lock.acquire(SystemClock())
        found = history.replicate(unlock=_unlock(small))
    assert (found["exit"], found["error"]["code"]) == (11, "set.busy"), found
    assert [one["set"] for one in found["skipped"]] == ["documents"]
    assert found["snapshots"]["copied"] == 1


def test_cancelled_it_keeps_what_it_copied(history: History) -> None:
    """Else a copy over a slow line that is ended each morning begins anew each evening."""
    made = history.live(3)
    cancel = Cancel()

    def hear(event: events.FromJob) -> None:
        if isinstance(event, events.Step) and event.name == "copy snapshot 3 of 3":
            cancel.request(CancelledError("cancelled by a test"))

    order = ReplicateOrder(place=str(history.old), to=str(history.new))
    found = directories.find(history.machine.environ)
    context = JobContext(order, history.clock, cancel, history.machine.environ, found, hear)
    done = house.run(order, context)
    assert (done.exit_code, done.result["snapshots"]["copied"]) == (130, 2)
    assert not list(history.new.glob("r*/sessions/*/*"))
    assert len(history.snapshots()) == 2
    assert history.replicate()["snapshots"] == {**_ALL, "copied": 1, "there": 2}
    history.check_copy(made)


def test_a_session_for_each_snapshot_and_none_left(history: History) -> None:
    """A session that stays holds back the freeing of space for hours; one that was never there lets it delete."""
    history.live(3)
    history.replicate()
    assert not list(history.new.glob("r*/sessions/*/*"))
    assert not list(history.new.glob("r*/tmp/*"))
    assert not list((history.machine.home / "state").rglob("*.journal"))
    starts = [path.name.partition("-")[0] for path in sorted(history.new.glob("r*/snapshots/*/*"))]
    assert starts == [path.name.partition("-")[0] for path in sorted(history.old.glob("r*/snapshots/*/*"))]


def _unlock(small: SmallRepository) -> Unlock:
    return Unlock(secret=secret_to_text(small.secret).encode())


def _records(history: History) -> Records:
    """Of the new place."""
    whole = LocalDestination(str(history.new), "t")
    repository = next(history.new.glob("r*")).name
    key = next(history.machine.keys.glob("r*.key")).read_text()
    secret = secret_of(key.encode())
    return Records(opening.unlock(Below(whole, repository), bytes.fromhex(repository[1:]), secret))
