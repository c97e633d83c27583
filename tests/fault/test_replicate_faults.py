"""A replication that is killed, that finds no room, whose new place loses what it was given."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.errors import DestinationFullError
from backupd.model.orders import ReplicateOrder
from tests.fault.conftest import Faults
from tests.support.compare import compare_trees
from tests.support.faulty_store import Fault, FaultyPlace, Kind
from tests.support.full_disk import Filled, Tmpfs
from tests.support.ledger import SLACK_BYTES
from tests.support.mounting import tmpfs
from tests.support.replicating import History
from tests.support.running import Run, show

_BLOCK = 32 << 20
_USUAL_KILLS, _FEW_KILLS = 5, 2
"""Of the campaigns, and of this one where nobody asks for more."""

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]


@pytest.fixture
def history(tmp_path: Path, faults: Faults) -> History:
    """Of a seed that is printed."""
    return History(tmp_path, faults.random())


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Filled, None, None]:
    """A small file system where the copy is to lie."""
    made = Tmpfs(tmp_path / "disk")
    made.path.mkdir()
    made.make()
    yield Filled(made.path, made)
    made.remove()


def test_killed_at_any_moment_it_goes_on(history: History, faults: Faults) -> None:
    """Else a long line that breaks each night never gets the history across, or fills the new place with halves."""
    history.begin((400 if faults.is_full else 40) << 20)
    made = [history.back_up(chunk_size_bytes=1 << 16)]
    history.write("second", (200 if faults.is_full else 36) << 20)
    made.append(history.back_up(chunk_size_bytes=1 << 16))
    words = ("destination", "replicate", "--from", history.old, "--to", history.new, "--no-daemon")
    kills = faults.kills if faults.is_full or faults.kills > _USUAL_KILLS else _FEW_KILLS
    used = 0
    for _ in range(kills * 3):
        if used == kills:
            break
        run = Run(history.machine, *words)
        wanted = history.random.randrange(_BLOCK * 3)
        # By what lies there, and a little by chance: a moment by the clock would be another one on each machine.
        run.wait_until(lambda wanted=wanted: history.block_bytes(history.new) >= wanted)  # type: ignore[misc]
        run.wait_until(lambda: False, history.random.uniform(0.0, 0.1))
        used += run.is_running
        run.kill()
        run.end()
    assert used, "every run was at its end before it was killed"
    last = Run(history.machine, *words).end()
    assert last["exit"] == 0, show(last)
    assert last["result"]["snapshots"]["failed"] == 0
    history.check_copy(made)
    stored = history.block_bytes(history.new) / history.block_bytes(history.old)
    assert stored <= 1.1 + SLACK_BYTES / history.block_bytes(history.old), stored
    assert not list(history.new.glob("r*/sessions/*/*"))
    assert not list(history.new.glob("r*/tmp/*"))
    print(f"{used} kills, stored {stored:.3f}")  # noqa: T201 - for docs/reliability.md


@pytest.mark.root
def test_a_full_new_place_is_told_and_goes_on_with_room(history: History, disk: Filled) -> None:
    """Else it ends with half a snapshot that is listed, or blames the place that is well."""
    history.new = disk.folder / "copy"
    made = history.live(2)
    disk.fill(2 << 20)
    with pytest.raises(DestinationFullError) as full:
        history.replicate()
    assert full.value.context["destination"] == str(history.new)
    assert history.snapshots() == {}
    disk.make_room()
    assert history.replicate()["snapshots"]["copied"] == 2
    assert history.block_bytes(history.new) <= 1.1 * history.block_bytes(history.old)
    history.check_copy(made)


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        ("cut", 1),
        ("lie", 1000),
        pytest.param("tear", 9, marks=pytest.mark.nightly),
        pytest.param("lie", 1, marks=pytest.mark.nightly),
    ],
)
def test_a_new_place_that_loses_a_block_has_no_snapshot(
    history: History, tmp_path: Path, kind: Kind, times: int
) -> None:
    """What the store said it has is counted and measured before the commit; what is missing goes again, once."""
    made = history.live(2)
    with tmpfs(tmp_path / "memory", "64m") as memory:
        faulty = FaultyPlace(memory)
        words = ("destination", "replicate", "--from", history.old, "--to", faulty.address, "--retry-for", "1s")
        assert history.machine.bkctl(*words, "--latest").returncode == 0
        history.change(2)
        made.append(history.back_up())
        faulty.set_faults(Fault(kind, "put", "blocks/", times=times))
        struck = history.machine.json(*words)
        assert faulty.struck()
        faulty.set_faults()
        if times == 1:
            assert (struck["exit"], struck["error"]["code"]) == (3, "destination.stored_again"), struck
        else:
            assert struck["exit"] == 15, struck
            assert struck["error"]["context"]["destination"] == faulty.address
            struck = history.machine.json(*words)
            assert struck["exit"] == 0, struck
        assert struck["result"]["snapshots"]["there"] + struck["result"]["snapshots"]["copied"] == 3
        shutil.rmtree(history.old)
        checked = history.machine.json("check", "--crc", "--from", faulty.address)
        assert checked["result"]["files_hit"] == [], checked
        back = ("restore", "docs", "--from", faulty.address, "--to", tmp_path / "out")
        assert history.machine.bkctl(*back).returncode == 0
        assert compare_trees(history.states[made[-1]], tmp_path / "out" / str(history.source)[1:]) == []


def test_nothing_to_copy(history: History) -> None:
    """A place without a snapshot is no error, and nothing is made at the new one."""
    history.back_up()
    for path in history.old.glob("r*/snapshots/*/*"):
        path.unlink()
    shutil.rmtree(history.machine.home / "state")
    done = history.run(ReplicateOrder(place=str(history.old), to=str(history.new))).done
    assert (done.exit_code, done.result["snapshots"]["copied"]) == (0, 0)
    assert not history.new.exists()
