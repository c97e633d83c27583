"""If these fail, known chunks are stored again, unknown ones pass for stored (data lost), or damage goes on serving."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.cache import table_file
from backupd.cache.index_table import Place, open_table
from backupd.cache.index_tables import IndexTables
from backupd.cache.table_file import make_table, remove_table, table_path
from backupd.errors import StateError
from backupd.index.layout import BlockContents, Frame, IndexContents
from backupd.index.writer import tabulate
from tests.support.indexes import ids_of, make_block, make_ids, split_ids

BLOCKS = [make_block(1, [300, 1, 64], 0), make_block(2, [5], 365, content=2), make_block(3, [], 0)]
UNKNOWN = make_ids(10_000, 400)


def places_of(blocks: list[BlockContents]) -> list[Place]:
    return [
        Place(block.block_id, frame.offset, frame.stored_bytes, frame.plain_bytes, position)
        for block in blocks
        for frame in block.frames
        for position in range(len(frame.ids) // 32)
    ]


def make_tables(directory: Path, **contents: IndexContents) -> IndexTables:
    tables = IndexTables(str(directory))
    for name, content in contents.items():
        tables.build(name, content)
    return tables


def test_every_chunk_is_found_and_no_other(tmp_path: Path) -> None:
    tables = make_tables(tmp_path, one=tabulate(BLOCKS, ["gone"], 4))
    known = ids_of(BLOCKS)
    assert tables.find_many(known) == places_of(BLOCKS)
    assert tables.find_many(UNKNOWN) == [None] * 400
    assert tables.has_many(UNKNOWN[:64] + known + UNKNOWN[:32]) == bytearray([0, 0] + [1] * 370 + [0])
    assert tables.has_many(b"") == bytearray()
    assert tables.find(known[:32]) == places_of(BLOCKS)[0]
    assert dict(tables.entries()) == dict(zip(split_ids(known), places_of(BLOCKS), strict=True))
    assert [chunk_id for chunk_id, _ in tables.entries()] == sorted(split_ids(known))
    assert [(row.block_id, row.size_bytes, row.content) for row in tables.blocks()] == [
        (block.block_id, block.size_bytes, block.content) for block in BLOCKS
    ]
    (table,) = tables.tables()
    assert (len(tables), table.replaces, table.generation, table.is_sound()) == (370, ["gone"], 4, True)
    tables.close()


def test_ids_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    """A false hit would be a chunk that is never stored."""
    ids = [b"same 8 b" + bytes(23) + bytes([number]) for number in range(200)]
    ids += [bytes(31) + b"\1", b"\xff" * 31 + b"\0"]
    blocks = [BlockContents(b"b" * 32, 1000, 1, [Frame(80, 500, 900, b"".join(ids))])]
    tables = make_tables(tmp_path, one=tabulate(blocks, [], 0))
    assert tables.find_many(b"".join(ids)) == places_of(blocks)
    alike = [b"same 8 b" + bytes(22) + b"\1\1", bytes(32), b"\xff" * 32]
    assert tables.has_many(b"".join(alike)) == bytearray(3)


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 129, 40_000])
def test_tables_of_every_size(tmp_path: Path, count: int) -> None:
    blocks = [make_block(1, [count], 0)]
    tables = make_tables(tmp_path, one=tabulate(blocks, [], 0))
    assert tables.find_many(ids_of(blocks)) == places_of(blocks)
    assert not any(tables.has_many(UNKNOWN)[: 400 if count < 10_000 else 0])
    assert len(tables) == count


def test_gaps_where_a_chunk_lies_elsewhere_too(tmp_path: Path) -> None:
    """Segments whose chunks are all known from others stand in the table without a chunk."""
    blocks = [make_block(1, [4], 0), make_block(2, [2, 4, 3], 0)]
    tables = make_tables(tmp_path, one=tabulate(blocks, [], 0))
    expected = {
        chunk_id: place
        for chunk_id, place in reversed(list(zip(split_ids(ids_of(blocks)), places_of(blocks), strict=True)))
    }
    assert dict(tables.entries()) == expected


def test_what_is_damaged_counts_as_absent_but_is_still_tried(tmp_path: Path) -> None:
    old, new = make_block(1, [10], 0), make_block(2, [4], 3)
    tables = make_tables(tmp_path, old=tabulate([old], [], 0), new=tabulate([new], [], 0))
    ids = make_ids(0, 10)
    assert [place and place.block_id for place in tables.find_many(ids)] == (
        [old.block_id] * 3 + [new.block_id] * 4 + [old.block_id] * 3
    )
    tables.absent_blocks = {old.block_id}
    assert tables.has_many(ids) == bytearray([0, 0, 0, 1, 1, 1, 1, 0, 0, 0])
    assert tables.find(ids[:32]) is None
    assert tables.find_many(ids, trying=True)[0] == places_of([old])[0]
    tables.absent_blocks = {new.block_id}
    assert tables.has_many(ids) == bytearray([1] * 10), "another readable place serves"
    assert tables.find_many(ids)[3] == places_of([old])[3]
    assert [place.block_id for place in tables.places(ids[96:128])] == [old.block_id, new.block_id]
    tables.absent_blocks = set()
    tables.absent_places = {old.block_id + ids[:32], new.block_id + ids[96:128], old.block_id + ids[96:128]}
    assert tables.has_many(ids) == bytearray([0, 1, 1, 0] + [1] * 6)


def test_a_large_table_is_made_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made column by column; else what large repositories hold is not found, or found where it is not."""
    for number, blocks in enumerate([[], BLOCKS, [make_block(4, [7] * 300 + [0], 5), *BLOCKS]]):
        for name, least in (("small", 50_000), ("large", 0)):
            monkeypatch.setattr(table_file, "_COLUMNS_FROM_CHUNKS", least)
            make_table(str(tmp_path / f"{name} {number}"), "one", tabulate(blocks, ["gone"], 4))
        small, large = ((tmp_path / f"{name} {number}" / "one.table").read_bytes() for name in ("small", "large"))
        assert small == large


def test_a_kept_table_is_used_again(tmp_path: Path) -> None:
    make_tables(tmp_path / "made", one=tabulate(BLOCKS, [], 0)).close()
    tables = IndexTables(str(tmp_path / "made"))
    assert tables.load("one")
    assert tables.has_many(ids_of(BLOCKS)) == bytearray([1] * 370)
    assert not tables.load("two")
    assert tables.names() == ["one"]
    assert os.stat(tmp_path / "made" / "one.table").st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["truncated", "longer", "header", "empty", "renamed", "notes"])
def test_an_odd_table_is_made_anew(tmp_path: Path, damage: str) -> None:
    make_table(str(tmp_path), "one", tabulate(BLOCKS, ["gone"], 4))
    path = Path(table_path(str(tmp_path), "one"))
    data = path.read_bytes()
    at = data.rindex(b"gone") - 2
    broken = {
        "truncated": data[:-1],
        "longer": data + b"\0",
        "header": data[:9] + b"\xff" + data[10:],
        "empty": b"",
        "renamed": data,
        "notes": data[:at] + b"\xc1" + data[at + 1 :],
    }[damage]
    name = "other" if damage == "renamed" else "one"
    Path(table_path(str(tmp_path), name)).write_bytes(broken)
    assert open_table(str(tmp_path), name) is None
    tables = make_tables(tmp_path, **{name: tabulate(BLOCKS, [], 0)})
    assert tables.has_many(ids_of(BLOCKS)) == bytearray([1] * 370)


def test_a_table_that_its_disk_does_not_give_is_made_anew(tmp_path: Path) -> None:
    """Else one bad sector in a cache, which can always be made again, ends every backup of this host."""
    # What the kernel says of either is an error of opening or of reading.
    os.symlink("loop.table", tmp_path / "loop.table")
    (tmp_path / "directory.table").mkdir()
    assert open_table(str(tmp_path), "loop") is None
    assert open_table(str(tmp_path), "directory") is None


def test_a_bit_that_rotted_is_seen(tmp_path: Path) -> None:
    make_table(str(tmp_path), "one", tabulate(BLOCKS, [], 0))
    path = Path(table_path(str(tmp_path), "one"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    table = open_table(str(tmp_path), "one")
    assert table is not None
    assert not table.is_sound()
    table.close()


def test_tables_of_gone_index_objects_are_removed(tmp_path: Path) -> None:
    tables = make_tables(tmp_path, one=tabulate(BLOCKS, [], 0), two=tabulate([make_block(9, [5], 900)], [], 0))
    (tmp_path / "unrelated").touch()
    tables.keep_only({"two"})
    assert tables.names() == ["two"]
    assert sorted(os.listdir(tmp_path)) == ["two.table", "unrelated"]
    assert not any(tables.has_many(ids_of(BLOCKS)))
    IndexTables(str(tmp_path / "none")).keep_only(set())


@pytest.mark.platform("linux")
def test_a_table_whose_disk_fails_is_no_defect_of_the_program(tmp_path: Path) -> None:
    """Else a user whose cache disk dies during a run is asked to report a defect, and not told which disk it is."""
    tables = make_tables(tmp_path, one=tabulate(BLOCKS, [], 0))
    path = table_path(str(tmp_path), "one")
    other = os.open(tmp_path, os.O_RDONLY)
    for name in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{name}") == os.path.realpath(path):
            # Reading a directory fails, as reading from a dead disk does.
            os.dup2(other, int(name))
    os.close(other)
    with pytest.raises(StateError, match=path):
        tables.has_many(ids_of(BLOCKS))
    tables.close()


def test_a_table_that_can_not_be_removed_is_told_by_an_error_of_its_own(tmp_path: Path) -> None:
    """Else a run whose snapshot stands, or a freeing that gave its space back, ends as a defect of the program."""
    path = Path(table_path(str(tmp_path), "00" * 16))
    path.mkdir(parents=True)
    with pytest.raises(StateError, match=path.name):
        remove_table(str(tmp_path), "00" * 16)
    name = "11" * 16
    (tmp_path / f"{name}.doubted").mkdir()
    with pytest.raises(StateError, match=name):
        IndexTables(str(tmp_path)).trust(name)
