"""Where a database of SQLite is written: what else lies in its directory, and what one may do there."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from backupd.operations.streams.filling import _Sqlite
from backupd.store_errors import StreamError
from backupd.target.placing import temporary_name
from tests.support.ordinary_user import directory_of_user, run_as_user


@pytest.fixture
def dump(tmp_path: Path) -> bytes:
    """A database with one row."""
    with sqlite3.connect(tmp_path / "dump") as database:
        database.execute("create table t(a)")
        database.execute("insert into t values (7)")
    database.close()
    return (tmp_path / "dump").read_bytes()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_directory_that_may_not_be_listed_gets_its_database(dump: bytes, is_there: bool) -> None:
    """Else what a killed restore may have left there, and nobody sees, keeps it from being restored."""
    with directory_of_user() as above:
        folder = above / "in"

        def fill() -> None:
            folder.mkdir()
            (folder / os.fsdecode(temporary_name())).write_bytes(b"of another")
            if is_there:
                (folder / "back").touch()
            folder.chmod(0o300)
            _Sqlite(str(folder / "back")).fill(iter([dump]))
            folder.chmod(0o700)

        run_as_user(fill)
        assert _rows(folder / "back") == [(7,)]
        assert len(list(folder.iterdir())) == 2


def test_a_directory_that_may_not_be_written_to_is_told(dump: bytes) -> None:
    with directory_of_user() as folder:

        def fill() -> None:
            folder.chmod(0o500)
            with pytest.raises(StreamError, match="Permission denied"):
                _Sqlite(str(folder / "back")).fill(iter([dump]))
            folder.chmod(0o700)

        run_as_user(fill)
        assert list(folder.iterdir()) == []


def test_what_a_killed_restore_left_is_taken_away(tmp_path: Path, dump: bytes) -> None:
    """Else a directory fills up with parts of databases."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(temporary_name())).write_bytes(b"of another")
    _Sqlite(str(folder / "back")).fill(iter([dump]))
    assert [path.name for path in folder.iterdir()] == ["back"]
    assert _rows(folder / "back") == [(7,)]


def _rows(path: Path) -> list[tuple[int]]:
    database = sqlite3.connect(path)
    try:
        return database.execute("select a from t").fetchall()
    finally:
        database.close()
