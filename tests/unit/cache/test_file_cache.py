"""If these fail, a run vouches for files by a torn cache, reads all again for nothing, or fills the disk by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.cache.file_cache import CachedDirectory, FileCacheWriter, Row, adopt_part, open_cache
from backupd.errors import DamagedCacheError

OPTIONS = bytes(range(16))
ROOT = bytes(range(32))


def _write(writer: FileCacheWriter, path: bytes) -> CachedDirectory:
    rows = [Row(b"name", bytes(56), path)]
    directory = CachedDirectory(bytes(32), [writer.add_piece(b"name", bytes(16), rows)], 1, 2, False)
    writer.add_directory(path, directory)
    return directory


def _make(path: Path, checkpoints: int, each: int) -> tuple[FileCacheWriter, dict[bytes, CachedDirectory], list[int]]:
    writer = FileCacheWriter(str(path), OPTIONS, {"damage/one"})
    written: dict[bytes, CachedDirectory] = {}
    lengths: list[int] = []
    for number in range(checkpoints):
        for at in range(each):
            name = b"/%d/%d" % (number, at)
            written[name] = _write(writer, name)
        lengths.append(writer.checkpoint(iter([(b"/open%d" % number, CachedDirectory(b"", [], 0, 0, True))]), ROOT))
    return writer, written, lengths


def test_all_that_was_finished_between_checkpoints_is_found(tmp_path: Path) -> None:
    writer, written, _ = _make(tmp_path / "cache", 5, 3)
    written[b"/last"] = _write(writer, b"/last")
    writer.finish(ROOT)
    cache = open_cache(str(tmp_path / "cache"))
    assert cache is not None
    assert (cache.options, cache.root, cache.damage) == (OPTIONS, ROOT, {"damage/one"})
    for name, directory in written.items():
        found = cache.directory(name)
        assert found == directory
        assert cache.rows(directory.pieces[0])[0].entry == name
    assert cache.directory(b"/open4") is None
    cache.close()


def test_a_cut_cache_holds_what_its_checkpoint_held(tmp_path: Path) -> None:
    """The run was killed: what was written after the checkpoint belongs to no snapshot."""
    path = tmp_path / "cache"
    writer, written, lengths = _make(path, 3, 2)
    _write(writer, b"/after")
    writer.checkpoint(iter(()), ROOT)
    writer.keep_part()
    assert adopt_part(str(path), lengths[1])
    cache = open_cache(str(path))
    assert cache is not None
    known = {name for name in written if cache.directory(name)}
    assert known == {name for name in written if name[1:2] in b"01"}
    assert cache.directory(b"/open1") is not None
    assert cache.directory(b"/open0") is None
    assert cache.directory(b"/after") is None
    cache.close()


def test_checkpoints_do_not_repeat_what_those_before_them_said(tmp_path: Path) -> None:
    few, _, _ = _make(tmp_path / "few", 1, 400)
    many, _, _ = _make(tmp_path / "many", 200, 2)
    few.finish(ROOT)
    many.finish(ROOT)
    assert os.path.getsize(tmp_path / "many") < 2 * os.path.getsize(tmp_path / "few")


@pytest.mark.parametrize("place", range(20))
def test_a_cache_with_a_damaged_byte_gives_nothing_wrong(tmp_path: Path, place: int) -> None:
    path = tmp_path / "cache"
    writer, written, _ = _make(path, 3, 4)
    writer.finish(ROOT)
    data = bytearray(path.read_bytes())
    # The options in the header tell only which trees are taken over whole.
    at = 64 + (len(data) - 65) * place // 19
    data[at] ^= 1
    path.write_bytes(data)
    cache = open_cache(str(path))
    if cache is None:
        return
    for name, directory in written.items():
        assert cache.directory(name) == directory
        try:
            assert cache.rows(directory.pieces[0])[0].entry == name
        except DamagedCacheError:
            continue
    cache.close()
