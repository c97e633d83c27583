"""Local files that their disk does not give, or does not let go of: a cache is then none, a journal is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.cache.file_cache import adopt_part, open_cache
from backupd.cache.index_tables import IndexTables
from backupd.cache.journal import read_journal
from backupd.cache.table_file import remove_table, table_path
from backupd.errors import BackupError
from backupd.settings.writer_mark import WriterMark


def test_a_cache_that_cant_be_opened_is_none(tmp_path: Path) -> None:
    """Else a bad sector in what can always be made again ends every backup of the set with a traceback."""
    (tmp_path / "cache").symlink_to("cache")
    (tmp_path / "part.part").mkdir()
    assert open_cache(str(tmp_path / "cache")) is None
    assert not adopt_part(str(tmp_path / "part"), 100)


def test_what_must_be_known_is_told(tmp_path: Path) -> None:
    """Else it is a traceback, and nobody knows which disk to look at."""
    (tmp_path / "journal").mkdir()
    with pytest.raises(BackupError) as found:
        read_journal(str(tmp_path / "journal"))
    assert "journal" in found.value.message
    Path(table_path(str(tmp_path), "one")).mkdir()
    with pytest.raises(BackupError):
        remove_table(str(tmp_path), "one")
    (tmp_path / "one.doubted").mkdir()
    with pytest.raises(BackupError):
        IndexTables(str(tmp_path)).trust("one")


def test_a_dead_writers_mark_that_stays_ends_nothing(tmp_path: Path) -> None:
    """It is removed by the next writer; what this one came to do is done all the same."""
    with WriterMark(str(tmp_path), "place", "living") as mark:
        (tmp_path / "writers" / "place-dead").mkdir()
        mark.forget("dead")
    assert (tmp_path / "writers" / "place-dead").is_dir()
