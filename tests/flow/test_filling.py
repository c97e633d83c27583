"""A database of SQLite that is filled: on the disk under its name when that is told, and never over another."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupd.model.streams import StreamOrder, StreamText
from backupd.operations.streams.filling import Filling
from backupd.store_errors import DatabaseInUseError
from backupd.target.placing import lock_temporary
from tests.support.disk_trace import record
from tests.support.filling import filling_below


@pytest.fixture
def dump(tmp_path: Path) -> bytes:
    path = tmp_path / "dump"
    with sqlite3.connect(path) as database:
        database.execute("create table item(id integer primary key)")
    database.close()
    return path.read_bytes()


def _filling(folder: Path, path: Path) -> Filling:
    order = StreamOrder(text=StreamText(name="data", sqlite="/live.db"))
    return filling_below(folder, order, str(path))[0]


def test_a_database_is_on_the_disk_under_its_name_when_it_is_filled(dump: bytes, tmp_path: Path) -> None:
    """Else a power cut after the restore takes it away, and the dump may be gone by then."""
    folder = tmp_path / "back"
    folder.mkdir()
    path = folder / "live.db"
    filling = _filling(tmp_path, path)

    def fill() -> int:
        filling.fill(iter([dump]))
        return 0

    trace = record([folder], fill)
    assert trace.exit_code == 0
    last = [one for one in trace.steps if one.kind not in ("create", "write") and not one.path.endswith("-journal")]
    assert [one.kind for one in last] == ["sync", "link", "unlink", "sync_directory"]
    assert last[-1].path == str(folder)
    assert path.read_bytes() == dump


def test_an_empty_file_gives_way_and_a_database_does_not(dump: bytes, tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    path.touch()
    _filling(tmp_path, path).fill(iter([dump]))
    assert path.read_bytes() == dump
    path.unlink()

    def pieces() -> Iterator[bytes]:
        yield dump
        path.write_bytes(b"of somebody else")

    with pytest.raises(DatabaseInUseError):
        _filling(tmp_path, path).fill(pieces())
    assert path.read_bytes() == b"of somebody else"
    assert [one.name for one in tmp_path.glob("live.db*")] == ["live.db"]


def test_what_a_killed_restore_had_begun_is_taken_away_by_the_next(dump: bytes, tmp_path: Path) -> None:
    path, precious = tmp_path / "live.db", tmp_path / "live.db.part"
    precious.write_bytes(b"of somebody else")
    child = os.fork()
    if child == 0:

        def pieces() -> Iterator[bytes]:
            yield dump[:100]
            os.kill(os.getpid(), signal.SIGKILL)

        _filling(tmp_path, path).fill(pieces())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = list(tmp_path.glob(".bkrestore-*"))
    assert len(left) == 1
    link = tmp_path / ".bkrestore-00112233445566aa"
    link.symlink_to(precious)
    living = tmp_path / ".bkrestore-00112233445566bb"
    with living.open("wb") as held:
        lock_temporary(held.fileno())
        _filling(tmp_path, path).fill(iter([dump]))
    assert path.read_bytes() == dump
    assert precious.read_bytes() == b"of somebody else", "a link is not followed, and nothing else has its name"
    assert list(tmp_path.glob(".bkrestore-*")) == [living], "who still writes is left alone"
