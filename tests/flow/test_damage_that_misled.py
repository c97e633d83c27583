"""What the damage matrix found once, each as small as it gets: local tables, index objects, texts, snapshots by id."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backupd.cache.table_file import HEADER_BYTES, SUFFIX, read_header
from backupd.errors import DamageError
from backupd.model.orders import CheckOrder, KeyOrder, RestoreOrder, Selection, SnapshotListOrder
from tests.support import damaging
from tests.support.backing_up import Bench, run_of
from tests.support.compare import compare_trees
from tests.support.machine import Machine


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Twelve files, backed up once."""
    found = Bench(tmp_path)
    for number in range(12):
        found.write(f"d{number % 3}/f{number}", os.urandom(20_000))
    found.back_up()
    return found


def _other_machine(bench: Bench) -> Machine:
    """One that has the key and nothing else."""
    other = Machine(bench.above / "other")
    shutil.copytree(bench.machine.keys, other.keys)
    return other


@pytest.mark.parametrize("share", [0.15, 0.8])
def test_a_damaged_index_table_misleads_no_restore(bench: Bench, share: float) -> None:
    """Else a bad sector under /var/cache makes good backups look damaged, on the day they are needed."""
    for path in bench.machine.home.rglob("*.table"):
        damaging.zero(share, min(share + 0.2, 1.0))(path)
    assert bench.differences() == []


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_a_damaged_index_table_misleads_no_backup(bench: Bench, share: float) -> None:
    """Else the next backup ends in a defect of the program, or says that it is whole and is not."""
    for path in bench.machine.home.rglob("*.table"):
        damaging.zero(share, min(share + 0.2, 1.0))(path)
    bench.write("new", b"new")
    assert bench.back_up(no_cache=True).done.exit_code == 0
    shutil.rmtree(bench.machine.home / "cache")
    assert bench.differences() == []


def test_a_table_whose_numbers_lead_nowhere_is_made_anew_at_once(bench: Bench) -> None:
    """Else a restore, or a night's backup, ends there and has to be begun again by hand."""
    _send_astray(bench)
    assert bench.differences() == []
    _send_astray(bench)
    assert bench.back_up(no_cache=True).done.exit_code == 0
    assert bench.differences() == []


def _send_astray(bench: Bench) -> None:
    """Damage what leads from a chunk's prefix to its place, so that chunks are found and their places are not."""
    for path in bench.machine.home.rglob("*.table"):
        data = bytearray(path.read_bytes())
        shape = read_header(bytes(data[:HEADER_BYTES]), path.name.removesuffix(SUFFIX))
        assert shape is not None
        _, _, _, _, segments, *_ = shape.sections()
        data[segments.start : segments.end] = b"\xee" * (segments.end - segments.start)
        path.write_bytes(data)


def test_what_check_found_bad_in_the_index_the_next_backup_stores_again(bench: Bench) -> None:
    """Else all later backups of this host say that they are whole, and no other host can restore them."""
    (index,) = bench.place.glob("r*/index/*")
    damaging.flip(0.5)(index)
    assert bench.machine.run(CheckOrder(place=str(bench.place))).done.exit_code == 20
    assert bench.back_up().done.exit_code == 0
    target = bench.above / "target"
    order = RestoreOrder(place=str(bench.place), selection=Selection(), to=bytes(target))
    assert _other_machine(bench).run(order).done.exit_code == 0
    assert compare_trees(bench.source, target / str(bench.source)[1:]) == []


def test_a_wrong_digit_in_the_list_of_snapshots_seen_is_no_alarm(bench: Bench) -> None:
    """Else each backup ends with an alarm about a snapshot that never was, until somebody accepts it."""
    (seen,) = bench.machine.home.glob("state/backupd/seen/*")
    text = seen.read_bytes()
    at = text.index(b"/20") + 4
    seen.write_bytes(text[:at] + (b"1" if text[at : at + 1] == b"0" else b"0") + text[at + 1 :])
    assert bench.machine.run(SnapshotListOrder(place=str(bench.place))).done.exit_code == 0


def test_a_list_of_snapshots_seen_by_an_earlier_version_still_counts(bench: Bench) -> None:
    """Else after an update nobody notices that snapshots vanished."""
    (seen,) = bench.machine.home.glob("state/backupd/seen/*")
    seen.write_text("".join(line.split(" ")[0] + "\n" for line in seen.read_text().splitlines()))
    for path in bench.place.glob("r*/snapshots/*/*"):
        path.unlink()
    assert bench.machine.run(SnapshotListOrder(place=str(bench.place))).done.exit_code == 20


@pytest.mark.parametrize("twin", ["repository.json", "repository.json.2"])
def test_a_wrong_digit_in_one_text_locks_nobody_out(bench: Bench, twin: str) -> None:
    """Else one bit in a file with a whole twin makes the right key a wrong one."""
    (path,) = bench.place.glob(f"r*/{twin}")
    text = path.read_bytes()
    at = text.index(b'"keyring"') + 15
    path.write_bytes(text[:at] + (b"1" if text[at : at + 1] == b"0" else b"0") + text[at + 1 :])
    assert bench.differences() == []
    done = bench.machine.run(CheckOrder(place=str(bench.place))).done
    assert (done.exit_code, done.result["files_hit_count"]) == (20, 0)
    assert "differ" in done.result["problems"][0]["message"]


def test_a_damaged_snapshot_asked_for_by_id_is_damage(bench: Bench) -> None:
    """Else a script takes a backup that rotted for one that was never made."""
    snapshot = run_of(bench.back_up())["snapshot"]
    (path,) = bench.place.glob(f"r*/snapshots/*/*{snapshot[1:]}")
    damaging.flip(0.7)(path)
    selection = Selection(as_of=snapshot)
    order = RestoreOrder(place=str(bench.place), selection=selection, to=bytes(bench.above / "target"))
    with pytest.raises(DamageError, match="can't be read") as caught:
        bench.machine.run(order)
    assert caught.value.hint


def test_a_missing_keyring_of_another_key_is_found(bench: Bench) -> None:
    """Else the recovery key in the safe opens nothing any more, and nobody learns of it before the fire."""
    place = str(bench.place)
    bench.machine.run(KeyOrder(place=place, verb="add", label="in the safe"))
    (old,) = bench.place.glob("r*/keyring/*")
    bench.machine.run(KeyOrder(place=place, verb="rotate"))
    assert bench.machine.run(CheckOrder(place=place)).done.exit_code == 0
    old.unlink()
    done = bench.machine.run(CheckOrder(place=place)).done
    assert done.exit_code == 20
    assert old.name in done.result["problems"][0]["object"]
