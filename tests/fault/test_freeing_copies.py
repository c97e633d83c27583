"""A chunk that lies in several blocks while space is freed: no step of anybody's makes the last good copy go."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd import durable_io
from backupd.errors import ConflictError
from backupd.index.layout import IndexContents
from backupd.index.merge import merge_all
from backupd.operations.backup.ending import end_dead_session
from backupd.operations.backup.session import RunningSession, WriterIdentity
from backupd.operations.freeing import sessions
from backupd.repository import index_loading
from backupd.rules import space_plan
from backupd.snapshot import naming
from backupd.snapshot.records import Checkpoint, Drop, Snapshot
from tests.fault.conftest import Faults
from tests.fault.test_freeing_races import Host, Sleeper, Stage, memory_above
from tests.support.faulty_store import Fault
from tests.support.histories import History

pytestmark = pytest.mark.usefixtures("quick_workers")
place_in_memory = memory_above


def _twice(above: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, Host, Host, bytes]:
    """Two hosts have stored one file at once: what it holds lies in two blocks."""
    # As if blocks were full: nothing is put together.
    monkeypatch.setattr(space_plan, "LEAST_SMALL", 1000)
    stage = Stage(above, Random(faults.seed))
    one = stage.host("one")
    one.back_up()
    two = stage.host("two")
    shared = stage.random.randbytes(50_000)
    for host in (one, two):
        (host.source / "shared").write_bytes(shared)
        (host.source / "own").write_bytes(stage.random.randbytes(300_000))
    stage.place.set_faults(Fault("hold", "put"))
    sleeper = Sleeper(stage.place, two.back_up)
    assert sleeper.was_held
    one.back_up()
    assert sleeper.wake() is None
    stage.place.set_faults()
    return stage, one, two, shared


def _index_objects(stage: Stage) -> int:
    return len([path for path in stage.place.objects.rglob("index/*") if path.is_file()])


def _fill_up(stage: Stage, host: Host, count: int) -> None:
    while _index_objects(stage) < count:
        (host.source / "filler").write_bytes(stage.random.randbytes(1000))
        host.back_up()


def test_a_merge_that_ends_late_forgets_no_copy(
    above: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the merged index names the copy that a cleaner has just deleted, and the other one is found by nobody."""
    stage, one, two, _ = _twice(above, faults, monkeypatch)
    (one.source / "own").unlink()
    _fill_up(stage, one, 8)
    one.drop(20)
    (two.source / "more").write_bytes(stage.random.randbytes(1000))
    freed: list[dict[str, Any]] = []
    begun: list[bool] = []

    def late(*given: Any) -> list[IndexContents]:
        if not begun:
            # The freeing merges, too.
            begun.append(True)
            freed.append(one.free())
        return merge_all(*given)

    monkeypatch.setattr(index_loading, "merge_all", late)
    two.back_up()
    assert freed
    assert freed[0]["deleted"]["blocks"]
    stage.check_all()


def test_a_copy_that_a_writer_keeps_stays_in_the_index(
    above: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a merge names the other copy alone, which the cleaner deletes, for the writer keeps this one."""
    stage, one, two, shared = _twice(above, faults, monkeypatch)
    three = stage.host("three")
    for host in (one, two):
        (host.source / "shared").unlink()
    _fill_up(stage, one, 6)
    (three.source / "shared").write_bytes(shared)
    real = RunningSession.commit
    done: list[bool] = []

    def commit(session: RunningSession, snapshot: Snapshot, now_ns: int) -> None:
        if not done:
            done.append(True)
            _fill_up(stage, one, 8)
            (two.source / "more").write_bytes(stage.random.randbytes(1000))
            two.back_up()
            one.drop(20)
            one.free()
            session.post_where_awaited(now_ns)
            one.free()
        real(session, snapshot, now_ns)

    monkeypatch.setattr(RunningSession, "commit", commit)
    three.back_up()
    assert done
    stage.check_all()


def test_a_writer_that_wakes_up_is_not_dropped(above: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its snapshot is told as good, and made void by who took it for dead at that very moment."""
    stage = Stage(above, Random(faults.seed))
    one = stage.host("one")
    one.edit()
    one.back_up()
    two = stage.host("two")
    two.edit()
    two.back_up()
    two.edit()
    stage.place.set_faults(Fault("hold", "put", "snapshots/"))
    sleeper = Sleeper(stage.place, two.back_up)
    assert sleeper.was_held
    for size in (90_000, 2000):
        (one.source / "own").write_bytes(stage.random.randbytes(size))
        one.back_up()
    one.drop(20)
    assert one.free()["waiting"]
    monkeypatch.setattr(sessions, "SILENT_SECONDS", 0.01)
    one.free()
    # Its put arrives after its name was taken: it is told that another run took it for dead.
    assert sleeper.wake() is not None
    stage.check_all()


def test_a_run_whose_base_went_meanwhile_is_not_told_as_good(above: Path, faults: Faults) -> None:
    """What it took over from that one unasked may be deleted: no root reached it any more."""
    stage = Stage(above, Random(faults.seed))
    one = stage.host("one")
    one.edit()
    one.back_up()
    (base,) = (path for path in stage.place.objects.rglob("snapshots/*/*") if path.is_file())
    one.edit()
    stage.place.set_faults(Fault("hold", "put", "snapshots/"))
    sleeper = Sleeper(stage.place, one.back_up)
    assert sleeper.was_held
    base.unlink()
    error = sleeper.wake()
    assert isinstance(error, ConflictError)
    assert "goes on from is gone" in str(error)


def test_a_block_that_was_cut_short_is_no_copy(above: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the whole one of two copies goes, for the other one counts as good as well."""
    stage, one, _, _ = _twice(above, faults, monkeypatch)
    blocks = sorted(
        (path for path in stage.place.objects.rglob("blocks/*/*") if path.stat().st_size > 300_000),
        key=lambda path: path.stat().st_mtime_ns,
    )
    spoiled = blocks[stage.random.randrange(2)]
    whole = spoiled.read_bytes()
    spoiled.write_bytes(whole[: stage.random.choice([0, 1000])])
    one.free()
    assert all(path.exists() for path in blocks)
    spoiled.write_bytes(whole)
    stage.check_all()


def test_announcements_carry_the_last_checkpoint(tmp_path: Path) -> None:
    """Else a run that is killed long after its checkpoint leaves nothing, and all it had stored is freed."""
    history = History(tmp_path, 3)
    first = history.back_up({"a": 1000})
    records = history.records()
    (name,) = records.snapshot_names()
    draft = records.snapshot(name.name)
    assert naming.snapshot_id_text(draft.id) == first
    session = RunningSession(bytes(15) + b"\1", records, WriterIdentity(bytes(16), bytes(16), "", draft.set_id), [], 1)
    session.post(1, Checkpoint(draft.root, 1, 1000), draft)
    for now_ns in range(2, 6):
        session.post(now_ns)
    assert end_dead_session(records, session.id, session.name, 9, bytes(16)) == session.name


def test_where_names_are_not_exact_a_second_look_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the second freeing of a day deletes what a host relies on whose announcement is not shown yet."""

    def refused(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(durable_io, "publish_new", refused)
    history = History(tmp_path, 2)
    first = history.back_up({"a": 300_000})
    history.back_up({"a": 300_000})
    history.drop(first)
    confirmed = history.records().repository.text_id[:9]
    for jump in (0, 49 * 3600):
        # Whoever sets the clock has not waited.
        history.bench.clock.ahead_seconds += jump
        freed = history.free(confirmed=confirmed)
        assert freed["deleted"]["blocks"] == 0
        assert [one["what"] for one in freed["waiting"]] == ["store"]


def test_what_counts_for_nothing_goes_though_nothing_is_freed(tmp_path: Path) -> None:
    """Else the object of a dropped snapshot lies there for ever, where a kill came right after the record."""
    history = History(tmp_path, 3)
    history.back_up({"a": 300_000})
    history.back_up({})
    history.free()
    records = history.records()
    name = min(one.name for one in records.listed_snapshot_names())
    records.drop(Drop([name], history.bench.clock.now_ns(), bytes(16), "killed here"))
    history.free()
    history.free()
    assert name not in {one.name for one in history.records().listed_snapshot_names()}
