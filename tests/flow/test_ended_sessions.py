"""A writer that others took for dead finds out whenever it wakes, though what they said of it is gone by then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backupd import durable_io
from backupd.errors import ConflictError
from backupd.model.orders import CheckOrder
from backupd.operations.backup.ending import end_dead_session
from backupd.operations.backup.session import RunningSession, WriterIdentity
from backupd.repository.index_loading import load_index
from backupd.repository.records import Records
from backupd.seal.header import ObjectKind
from backupd.settings import directories
from backupd.settings.lock import SetLock
from backupd.snapshot import naming
from backupd.snapshot.naming import SnapshotName
from backupd.snapshot.records import BlockList, Checkpoint, Drop
from tests.support import damaging
from tests.support.asleep import Asleep
from tests.support.histories import History

_SET = "source"


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    history = History(tmp_path, 67)
    history.back_up({"a": 1000})
    return history


class Writer:
    """Of another host: announced, and asleep. It relies on nothing: what it does is asked here, not what that costs."""

    def __init__(self, history: History) -> None:
        self.records, self.now_ns = Asleep(history.records().repository), history.bench.clock.now_ns()
        first, *_ = self.records.snapshot_names()
        who = WriterIdentity(bytes(16), os.urandom(16), "boot", bytes.fromhex(first.set_id[1:]))
        self.session = RunningSession(os.urandom(16), self.records, who, [], self.now_ns)
        self.session.post(self.now_ns)
        folder = history.bench.above / f"index-{os.urandom(4).hex()}"
        folder.mkdir()
        tables = load_index(self.records.repository, str(folder)).tables
        self.session.begin_honouring(tables, self.records.gc_state(), self.now_ns)
        self._content = self.records.snapshot(first.name)

    def post(self) -> int:
        """Announce again."""
        return self.session.post(self.now_ns)

    def check_point(self) -> int:
        """Announce what a partial snapshot can be made of: of it all is there."""
        content = self._content
        return self.session.post(self.now_ns, Checkpoint(content.root, 1, 1000), content)

    def commit(self) -> None:
        """Under its own name, what the first snapshot holds."""
        self.session.commit(self._content, self.now_ns)


def _end(records: Records, writer: Writer) -> None:
    """As after six hours of silence; the drop record then rots, and somebody does without it."""
    end_dead_session(records, writer.session.id, writer.session.name, writer.now_ns, bytes(16), is_own=False)
    (stand_in,) = [one for one in records.readable_void_names()[0] if records.place.size(one) is not None]
    records.place.delete(stand_in)
    for info in records.place.list("gc/"):
        if info.name.startswith("gc/drop-"):
            records.place.delete(info.name)


def _repair(history: History, **more: Any) -> list[str]:
    order = CheckOrder(place=str(history.bench.place), repair=True, **more)
    result = history.bench.machine.run(order, history.bench.clock).result
    return [one["object"] for one in result["healed_objects"]]


@pytest.mark.parametrize("posts", [1, 2, 3])
def test_who_was_ended_in_mid_run_announces_nothing_more(history: History, posts: int) -> None:
    """Else it goes by its own fresh announcement, and commits what was deleted while it slept."""
    writer, other = Writer(history), history.records()
    for _ in range(posts - 1):
        writer.post()
    assert len(other.sessions()[writer.session.id]) == min(posts, 2)
    _end(other, writer)
    with pytest.raises(ConflictError, match="took this one for dead"):
        writer.post()
    assert other.sessions() == {}, "nobody waits for it"
    with pytest.raises(ConflictError, match="took this one for dead"):
        writer.commit()
    assert len(other.listed_snapshot_names()) == 1


def test_who_ended_it_may_stop_in_the_middle(history: History) -> None:
    """The older announcement goes first: the newer one alone says nothing."""
    writer, other = Writer(history), history.records()
    writer.post()
    writer.post()
    older, _ = other.sessions()[writer.session.id]
    other.remove_session(writer.session.id, [older])
    with pytest.raises(ConflictError, match="took this one for dead"):
        writer.commit()


def test_an_announcement_of_who_was_ended_right_before_it_is_taken_back(history: History) -> None:
    """It says nothing, but who finds it would make a partial snapshot of what it relies on."""
    writer, other = Writer(history), history.records()
    writer.post()
    writer.records.before = lambda: _end(other, writer)
    with pytest.raises(ConflictError, match="took this one for dead"):
        writer.post()
    assert other.sessions() == {}


@pytest.mark.parametrize("is_own", [False, True])
def test_what_a_writer_announced_after_its_end_makes_no_snapshot(history: History, is_own: bool) -> None:
    """What it names may be deleted by then, and one that was killed right there takes nothing back."""
    writer, other = Writer(history), history.records()
    writer.check_point()
    writer.check_point()
    ended = (writer.session.id, writer.session.name, writer.now_ns, bytes(16))

    def end() -> None:
        # What was made of it was dropped, and nobody knows any more that it was.
        assert end_dead_session(other, *ended, is_own=False) == writer.session.name
        other.place.delete(writer.session.name)

    writer.records.before, writer.records.after = end, _die
    with pytest.raises(_KilledError):
        writer.post()
    assert len(other.sessions()[writer.session.id]) == 1
    assert end_dead_session(other, *ended, is_own=is_own) is None
    assert writer.session.name in other.void_names()
    assert other.sessions() == {}
    assert len(other.snapshot_names()) == 1


class _KilledError(Exception):
    pass


def _die() -> None:
    raise _KilledError


def test_where_listings_lag_a_writer_stays_announced_until_its_snapshot_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a cleaner whose two days are over just then sees neither, and deletes what the snapshot needs."""
    _lag(monkeypatch)
    history = History(tmp_path, 71)
    history.back_up({"a": 1000})
    records = history.records()
    ((first, numbers),) = records.sessions().items()
    assert numbers[0] == 1, "no older one goes either, for newer ones may not be listed"
    history.back_up({"b": 1000})
    (second,) = records.sessions()
    assert second != first, "the next run forgets the one before"
    unlisted = _Unlisted(records.repository)
    name = unlisted.readable_session(second, unlisted.sessions()[second])
    assert name is not None
    end_dead_session(unlisted, second, name.snapshot_name, 1, bytes(16))
    assert second in records.sessions()
    history.free(confirmed=records.repository.text_id[:9])
    assert records.sessions() == {}
    history.check_all()


class _Unlisted(Records):
    """Snapshots are not listed yet."""

    def listed_snapshot_names(self) -> list[SnapshotName]:
        """None."""
        return []


def test_a_wrong_answer_about_a_name_replaces_no_snapshot(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where of two creators of a name both succeed, the draft would stand where the complete snapshot stood."""
    writer, other = Writer(history), history.records()
    writer.check_point()
    writer.commit()
    created: list[str] = []
    monkeypatch.setattr(other.place, "size", lambda _: None)
    monkeypatch.setattr(other, "commit", lambda name, _: created.append(name))
    end_dead_session(other, writer.session.id, writer.session.name, writer.now_ns, bytes(16))
    assert (created, other.sessions(), other.void_names()) == ([], {}, set())


def test_where_listings_lag_a_run_that_has_committed_holds_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what it was based on stays for ever while a purge holds the lock of the set, and the purge ends well."""
    _lag(monkeypatch)
    history = History(tmp_path, 73)
    first = history.back_up({"a": 3_000_000})
    history.remove("a")
    history.back_up({"b": 1000})
    history.drop(first)
    records = history.records()
    (name, *_) = records.snapshot_names()
    lock = SetLock(directories.find(history.bench.machine.environ).state, name.set_id)
    lock.acquire(history.bench.clock)
    with lock:
        found = history.free(confirmed=records.repository.text_id[:9])
    assert [one["what"] for one in found["waiting"]] == ["store"], "what only the first one held is to go"
    assert records.sessions() == {}
    history.check_all()


def _lag(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(durable_io, "publish_new", refused)


def _give_free(records: Records) -> None:
    """As another cleaner, which finds nobody announced; what the list names does not matter to who finds it."""
    given = BlockList(1, [os.urandom(32)])
    records.put(ObjectKind.CANDIDATES, naming.gc_name(1, "candidates"), given)
    records.put(ObjectKind.DELETED, naming.gc_name(1, "deleted"), given)


def test_who_was_ended_right_before_its_commit_and_freed_under_is_not_told_as_good(history: History) -> None:
    """What it relied on may be deleted. Others may have gone by its snapshot meanwhile: that stays."""
    writer, other = Writer(history), history.records()

    def pass_by() -> None:
        _end(other, writer)
        _give_free(other)

    writer.records.before = pass_by
    with pytest.raises(ConflictError, match="may lack"):
        writer.commit()
    assert writer.session.name in {one.name for one in other.snapshot_names()}


def test_who_is_forgotten_right_after_its_commit_has_committed(history: History) -> None:
    """A cleaner does so with each whose name is taken; and while it frees nothing, nothing can lack."""
    writer, other = Writer(history), history.records()
    numbers = other.sessions()[writer.session.id]
    writer.records.after = lambda: other.remove_session(writer.session.id, numbers)
    writer.commit()
    assert writer.session.name in {one.name for one in other.snapshot_names()}


def test_a_drop_record_that_came_meanwhile_and_cant_be_read_may_be_its_own(history: History) -> None:
    """Else a run is told as good whose snapshot is void for ever; one that was bad before fails no run for good."""
    writer, other = Writer(history), history.records()
    name = other.drop(Drop([writer.session.name], 1, bytes(16), "ended"))
    (path,) = history.bench.place.glob(f"r*/{name}")
    damaging.flip(0.5)(path)
    with pytest.raises(ConflictError, match="drop record"):
        writer.commit()
    writer = Writer(history)
    writer.commit()
    assert other.place.size(writer.session.name) is not None


@pytest.mark.parametrize("is_gone", [False, True])
def test_bases_are_looked_for_by_one_listing(history: History, monkeypatch: pytest.MonkeyPatch, is_gone: bool) -> None:
    """A migration has hundreds of them, and each was a request; one that is not listed may stand all the same."""
    history.back_up({"b": 1000})
    writer = Writer(history)
    first, second = (one.name for one in writer.records.snapshot_names())
    writer.session.relied = [first, second]
    asked: list[str] = []
    size = writer.records.place.size

    def ask(name: str) -> int | None:
        asked.append(name)
        return size(name)

    monkeypatch.setattr(writer.records.place, "size", ask)
    if is_gone:
        writer.records.place.delete(second)
        with pytest.raises(ConflictError, match="goes on from is gone"):
            writer.commit()
    else:
        writer.commit()
    assert [name for name in asked if name in (first, second)] == [second] * is_gone


def test_no_drop_record_is_done_without_while_a_run_is_announced(history: History) -> None:
    """It may have ended that very run, which finds that by the record alone."""
    first = history.back_up({"b": 1000})
    history.drop(first)
    (path,) = history.bench.place.glob("r*/gc/drop-*")
    damaging.flip(0.5)(path)
    history.back_up({"c": 1000})
    writer = Writer(history)
    assert _repair(history, confirmed=_SET, accept_rollback=True) == []
    assert path.exists()
    writer.session.end()
    assert len(_repair(history, confirmed=_SET)) == 1
    assert not path.exists()


def test_where_listings_lag_a_drop_record_is_done_without_beside_runs_that_have_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stays announced there until the next one, so that record could never be done without."""
    _lag(monkeypatch)
    history = History(tmp_path, 79)
    history.back_up({"a": 1000})
    history.drop(history.back_up({"b": 1000}))
    (path,) = history.bench.place.glob("r*/gc/drop-*")
    damaging.flip(0.5)(path)
    history.back_up({"c": 1000})
    assert history.records().sessions()
    assert len(_repair(history, confirmed=_SET, accept_rollback=True)) == 1
    assert not path.exists()
