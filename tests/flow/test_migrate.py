"""Migration: what is stored is stored once more where it is not as its set wants it now; no snapshot loses anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backupd.errors import DamageError, StoppedError, UsageError
from backupd.index.layout import BlockRow
from backupd.model.orders import CheckOrder, KeyOrder
from backupd.model.quotas import SpaceLimits
from backupd.model.store_access import NO_ACCESS
from backupd.repository.block_facts import BlockFacts, FactsReader
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_loading import epoch_of
from backupd.repository.reader import worker_setup
from backupd.sizes import MIB
from backupd.store_errors import QuotaError
from tests.support.backing_up import counts, read_bytes, run_of
from tests.support.damaging import flip
from tests.support.histories import History
from tests.support.migrating import StopsAt, migrate, migrate_as_told, migrate_here


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(tmp_path, 29)


def _rotate(history: History) -> None:
    bench = history.bench
    bench.machine.run(KeyOrder(place=str(bench.place), verb="rotate"), bench.clock)


def _sealings(history: History) -> set[tuple[str, int, bool]]:
    """(epoch, level, whether it is plain) of all segments that lie there."""
    records = history.records()
    setup = worker_setup(records.repository, str(history.bench.place), NO_ACCESS)
    rows = [BlockRow(block_id, size, 1) for block_id, size in list_blocks(records.place).items()]
    facts: dict[bytes, BlockFacts] = {}
    FactsReader(records.place, setup, lambda: None).read(rows, facts)
    assert len(facts) == len(rows)
    return {(one.epoch, one.level, one.is_plain) for found in facts.values() for one in found.sealings}


def _epochs_of(history: History, folder: str) -> set[str]:
    """Under which epochs objects are sealed."""
    repository = history.records().repository
    names = [info.name.removeprefix(f"{folder}/") for info in repository.place.list(f"{folder}/")]
    return {epoch_of(repository, name).text for name in names}


def test_after_a_rotation_nothing_is_left_that_the_old_key_opens(history: History) -> None:
    """Else who has an old key reads on what was stored before it leaked."""
    history.back_up({"old": 3 * MIB, "d/old": 40_000})
    history.back_up({"more": 2 * MIB})
    _rotate(history)
    history.back_up({"new": MIB})
    new = history.records().repository.keyring.current.name.text
    said = migrate(history, dry_run=True)
    assert 5.2 * MIB > said["planned"]["bytes"] == said["planned"]["reasons"]["epoch"] > 5 * MIB
    done = migrate(history)
    assert done["planned"] == said["planned"]
    assert done["migrated"]["bytes"] == said["planned"]["bytes"]
    assert done["left"]["blocks"] == done["lost_chunks"] == 0
    assert len({epoch for epoch, _, _ in _sealings(history)}) == 2
    history.check_all()
    freed = history.free()
    assert freed["deleted"]["bytes"] == said["planned"]["bytes"]
    assert {epoch for epoch, _, _ in _sealings(history)} == {new}
    history.bench.clock.ahead_seconds += 8 * 86_400
    history.free()
    assert _epochs_of(history, "index") == {new}
    history.check_all()
    again = migrate(history)
    assert again["planned"]["blocks"] == again["stored_bytes"] == 0


def test_the_next_run_builds_on_what_was_stored_anew(history: History) -> None:
    """Else each migration costs a full backup."""
    history.back_up({"old": 3 * MIB, "d/old": 40_000})
    _rotate(history)
    migrate(history)
    for _ in range(2):
        before = history.bench.stored_bytes()
        snapshot = history.bench.back_up()
        history.note(run_of(snapshot)["snapshot"])
        assert read_bytes(snapshot) == 0
        assert history.bench.stored_bytes() - before < 3000
        history.free()
    history.check_all()


def test_what_is_compressed_less_than_the_set_wants_is_compressed_anew(history: History) -> None:
    bench = history.bench
    text = b"".join(b"%d lines of a log, %d\n" % (number, number * number) for number in range(60_000))
    bench.write("text", text)
    bench.write("random", history.random.randbytes(MIB))
    history.note(run_of(bench.back_up(compression="none"))["snapshot"])
    before = bench.stored_bytes()
    assert migrate(history, compression="none")["planned"]["blocks"] == 0
    assert migrate(history, compression="best")["planned"]["reasons"].keys() == {"compression"}
    history.free()
    assert bench.stored_bytes() < before - 0.7 * len(text)
    history.check_all()
    # What does not shrink is not tried again, and nothing is made larger.
    for level in ("best", "normal", "fast", "none"):
        assert migrate(history, compression=level)["planned"]["blocks"] == 0


def test_files_are_cut_and_named_as_the_set_wants_now(history: History) -> None:
    """Else a chunk size or a scope that was chosen late never holds for files that do not change."""
    bench = history.bench
    history.back_up({"large": 2 * MIB, "d/small": 30_000})
    for options in (
        {"chunk_size_bytes": 64 << 10},
        {"chunk_size_bytes": 64 << 10, "deduplication": "repository"},
        {"deduplication": "path"},
    ):
        kept = bench.back_up(**options)
        assert read_bytes(kept) == 0
        history.note(run_of(kept)["snapshot"])
        said = run_of(bench.back_up(**options, migrate=True, dry_run=True))
        files = 1 if "deduplication" not in options else 2
        assert said["migrate"]["files"] == files
        assert said["migrate"]["bytes"] == (2 * MIB if files == 1 else 2 * MIB + 30_000)
        done = bench.back_up(**options, migrate=True)
        history.note(run_of(done)["snapshot"])
        assert run_of(done)["migrate"] == said["migrate"]
        assert read_bytes(done) == said["migrate"]["bytes"]
        assert run_of(done)["bytes"]["new"] >= 2 * MIB
        again = bench.back_up(**options, migrate=True)
        history.note(run_of(again)["snapshot"])
        assert read_bytes(again) == run_of(again)["migrate"]["files"] == 0
        assert counts(again)["same"] == 2
    history.check_all()


def test_without_deduplication_it_is_refused(history: History) -> None:
    with pytest.raises(UsageError, match="without deduplication"):
        history.bench.back_up(deduplication="off", migrate=True)


class _Hit:
    """A history whose oldest data block is damaged in one of its segments, after keys were rotated."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.first = history.back_up({f"hit/{number}": 100_000 for number in range(40)})
        (self.block,) = [path for path in self.blocks() if path.stat().st_size > MIB]
        history.back_up({"other": 2 * MIB})
        _rotate(history)
        flip(0.5)(self.block)

    def blocks(self) -> list[Path]:
        """Files of all blocks."""
        return list(self.history.bench.place.glob("r*/blocks/*/*"))


def test_what_is_damaged_is_told_and_stays_and_all_else_goes_on(history: History) -> None:
    """Else damage is sealed anew as if it were whole, or one bad sector keeps all the rest under the old key."""
    hit = _Hit(history)
    done = migrate_as_told(history)
    assert (done.exit_code, done.error and done.error["code"]) == (20, "damage.found")
    assert done.result is not None
    assert done.result["lost_chunks"] > 0
    assert (done.result["left"]["blocks"], hit.block.exists()) == (1, True)
    assert done.result["migrated"]["bytes"] > 2 * MIB
    # The good segments beside it were stored anew, too.
    assert done.result["stored_bytes"] > 2.7 * MIB
    again = migrate_as_told(history)
    assert (again.exit_code, again.result and again.result["planned"]["blocks"]) == (20, 1)
    assert again.result is not None
    assert again.result["stored_bytes"] == 0
    # Known as damage, it is stored again by the next run, though no file changed.
    history.note(run_of(history.bench.back_up(no_cache=True))["snapshot"])
    done = migrate_as_told(history)
    assert (done.exit_code, done.result and done.result["left"]["blocks"]) == (0, 0)
    history.free()
    assert not hit.block.exists()
    history.check_all()


def test_where_the_new_copy_is_lost_the_old_one_stays(history: History) -> None:
    """Else who migrates to a failing disk loses what was whole before."""
    history.back_up({"a": 3 * MIB, "b": 40_000})
    old = {path: path.read_bytes() for path in history.bench.place.glob("r*/blocks/*/*")}
    _rotate(history)
    migrate(history)
    for path in history.bench.place.glob("r*/blocks/*/*"):
        if path not in old:
            flip(0.5)(path)
    history.bench.machine.run(CheckOrder(place=str(history.bench.place), crc=True), history.bench.clock)
    history.free()
    assert history.bench.differences() == []
    # What was retired and is needed again is stored anew once more.
    assert migrate(history)["migrated"]["blocks"] > 0
    history.free()
    assert {epoch for epoch, _, _ in _sealings(history)} == {history.records().repository.keyring.current.name.text}
    history.check_all()


_CHECKS = 5
"""So often it is asked whether to stop while a segment or two is carried."""


def test_a_run_that_is_stopped_goes_on_from_there(history: History) -> None:
    """Else a migration that takes longer than a night never ends."""
    bench = history.bench
    history.back_up({f"{number}": 3 * MIB for number in range(4)})
    _rotate(history)
    cancel = StopsAt()

    def hear(step: str) -> None:
        cancel.checks_left = _CHECKS if step.startswith("store anew") else None

    before = bench.stored_bytes()
    with pytest.raises(StoppedError):
        migrate_here(history, hear, cancel)
    stored = bench.stored_bytes() - before
    assert 0 < stored < 11 * MIB
    rest = migrate(history)
    assert rest["left"]["blocks"] == 0
    assert rest["stored_bytes"] + stored < 12.3 * MIB
    history.free()
    history.check_all()


def test_no_room_is_told_and_nothing_is_removed(history: History) -> None:
    history.back_up({"a": 3 * MIB})
    before = sorted(history.bench.place.glob("r*/blocks/*/*"))
    _rotate(history)
    space = SpaceLimits(set_name="docs", destination="usb", set_quota_bytes=4 * MIB)
    with pytest.raises(QuotaError) as caught:
        migrate(history, space=space)
    assert caught.value.exit_code == 16
    history.free()
    assert set(before) <= {*history.bench.place.glob("r*/blocks/*/*")}
    history.check_all()
    assert migrate(history)["left"]["blocks"] == 0


def test_a_part_of_the_index_that_cant_be_read_ends_it(history: History) -> None:
    """Else what only that part names is neither stored anew nor told."""
    history.back_up({"a": 300_000})
    _rotate(history)
    shutil.rmtree(history.bench.machine.environ["XDG_CACHE_HOME"])
    (path,) = history.bench.place.glob("r*/index/*")
    flip(0.5)(path)
    with pytest.raises(DamageError, match="damaged|authentication"):
        migrate(history)
