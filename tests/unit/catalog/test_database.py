"""The catalog's file: migrated after a copy, never by an older program, and alive on a full disk."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from backupd.catalog.database import Connection, Database
from backupd.catalog.migrations import STEPS
from backupd.catalog.reserve import RESERVE_BYTES
from backupd.errors import BackupError, NewerVersionError, StateFullError
from tests.support.mounting import enlarge, tmpfs

_MORE = "CREATE TABLE more (n INTEGER) STRICT; INSERT INTO more SELECT COUNT(*) FROM facts;"


def put_fact(connection: Connection, key: str, value: str = "v") -> None:
    connection.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", (key, value))


def facts(connection: Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM facts ORDER BY key")]


def version(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


def test_every_version_is_brought_to_the_newest_with_its_rows(tmp_path: Path) -> None:
    """Else an update of the program loses sets and history."""
    for number in range(1, len(STEPS) + 1):
        state = tmp_path / str(number)
        state.mkdir()
        old = Database(str(state), STEPS[:number])
        old.write(put_fact, "kept").result()
        old.close()
        new = Database(str(state))
        assert new.read(facts).result() == ["kept"]
        new.close()
        assert version(state / "catalog.sqlite") == len(STEPS)
        copies = [path.name for path in state.glob("catalog.sqlite.v*")]
        assert copies == ([f"catalog.sqlite.v{number}"] if number < len(STEPS) else [])


def test_it_is_copied_before_it_migrates_and_the_copy_works(tmp_path: Path) -> None:
    """Who must go back to the older program puts the copy in place and has what was there."""
    database = Database(str(tmp_path))
    database.write(put_fact, "before").result()
    database.close()
    newer = Database(str(tmp_path), (*STEPS, _MORE))
    newer.write(put_fact, "after").result()
    newer.close()
    with pytest.raises(NewerVersionError) as refused:
        Database(str(tmp_path))
    copy = tmp_path / f"catalog.sqlite.v{len(STEPS)}"
    assert refused.value.exit_code == 18
    assert str(copy) in refused.value.hint
    assert refused.value.context == {"copy": str(copy)}
    assert os.stat(copy).st_mode & 0o777 == 0o600, "it holds names of files"
    copy.rename(tmp_path / "catalog.sqlite")
    old = Database(str(tmp_path))
    assert old.read(facts).result() == ["before"]
    old.close()


def test_without_a_copy_none_is_named(tmp_path: Path) -> None:
    """A hint at a file that is not there sends people searching."""
    Database(str(tmp_path), (*STEPS, _MORE)).close()
    with pytest.raises(NewerVersionError) as refused:
        Database(str(tmp_path))
    assert "put back" not in refused.value.hint


def test_a_step_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    Database(str(tmp_path)).close()
    with pytest.raises(BackupError):
        Database(str(tmp_path), (*STEPS, "CREATE TABLE one (n INTEGER); CREATE TABLE one (n INTEGER);"))
    assert version(tmp_path / "catalog.sqlite") == len(STEPS)
    Database(str(tmp_path)).close()


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"no catalog at all" * 1000)
    with pytest.raises(BackupError, match="damaged") as refused:
        Database(str(tmp_path))
    assert "move it away" in refused.value.hint


def test_a_damaged_page_says_what_to_do(tmp_path: Path) -> None:
    """After a disk has lost a page of it, who restarts the daemon must not be left with SQLite's words."""
    Database(str(tmp_path)).close()
    path = tmp_path / "catalog.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(255 - byte for byte in whole[100:]))
    with pytest.raises(BackupError, match="damaged") as refused:
        Database(str(tmp_path))
    assert "move it away" in refused.value.hint


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    database = Database(str(tmp_path))

    def half(connection: Connection) -> None:
        put_fact(connection, "half")
        connection.execute("INSERT INTO nothing VALUES (1)")

    with pytest.raises(BackupError):
        database.write(half).result()
    assert database.read(facts).result() == []
    database.close()


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.needs("mount", "umount")
def test_a_full_disk_refuses_what_is_new_and_records_what_ends(tmp_path: Path) -> None:
    """Else nobody can cancel, free or even see what happened once /var is full."""
    with tmpfs(tmp_path / "state", "120m") as state:
        database = Database(str(state))
        assert (state / "reserve").stat().st_size == RESERVE_BYTES
        (state / "filler").write_bytes(bytes(os.statvfs(state).f_bavail * os.statvfs(state).f_frsize))
        value = "x" * 100_000
        with pytest.raises(StateFullError) as refused:
            database.write(put_fact, "new", value).result()
        assert refused.value.exit_code == 16
        assert "free some space" in refused.value.hint
        database.write_always(put_fact, "ended", value).result()
        assert not (state / "reserve").exists()
        with pytest.raises(StateFullError):
            database.write(put_fact, "small").result()
        assert database.read(facts).result() == ["ended"]
        assert not database.keep_reserve(), "there is no room for it yet"
        database.close()
        # The program may also be started on such a disk.
        database = Database(str(state))
        (state / "filler").unlink()
        enlarge(state, "300m")
        assert database.keep_reserve()
        assert (state / "reserve").stat().st_size == RESERVE_BYTES
        database.write(put_fact, "small").result()
        assert database.read(facts).result() == ["ended", "small"]
        database.close()
