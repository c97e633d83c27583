"""If these fail, index objects are made one and with that the only good place of a chunk is forgotten."""

from __future__ import annotations

import os
from pathlib import Path

from backupd.block.layout import DATA
from backupd.cache.index_tables import IndexTables
from backupd.index.layout import BlockContents, Frame
from backupd.repository.index_loading import LoadedIndex, load_index, mark_absent, merge_levels, publish
from backupd.repository.records import Records
from backupd.snapshot.records import Damage
from tests.support.small_repository import START_NS, SmallRepository

SHARED, LONE = bytes([7]) * 32, bytes([9]) * 32


def _block(ids: bytes) -> BlockContents:
    return BlockContents(os.urandom(32), 10_000, DATA, [Frame(80, 5_000, 6_000, ids)])


def _load(records: Records, directory: Path) -> LoadedIndex:
    index = load_index(records.repository, str(directory))
    mark_absent(index.tables, records)
    return index


def _publish(records: Records, blocks: list[BlockContents], directory: Path) -> None:
    tables = IndexTables(str(directory))
    for block in blocks:
        publish(records.repository, tables, [block], 0)
    tables.close()


def test_a_chunk_stored_again_after_damage_survives_the_merge(tmp_path: Path) -> None:
    """The order in which a place lists its index objects must not decide which place is kept."""
    records = Records(SmallRepository(tmp_path / "place").repository)
    bad = [_block(SHARED + LONE + os.urandom(32)) for _ in range(6)]
    partly = _block(os.urandom(32) + SHARED)
    good = _block(os.urandom(32) + SHARED)
    _publish(records, [*bad, partly, good], tmp_path / "writer")
    places: list[tuple[bytes, bytes | None]] = [(block.block_id, None) for block in bad]
    records.report_damage(Damage(START_NS, bytes(16), [*places, (partly.block_id, SHARED)]))
    index = _load(records, tmp_path / "one")
    assert len(merge_levels(records, index)) == 1
    for again in (index, _load(records, tmp_path / "two")):
        assert len(again.tables.names()) == 1
        place = again.tables.find(SHARED)
        assert place is not None, "the good place is forgotten: no restore finds the chunk"
        assert (place.block_id, place.position) == (good.block_id, 1)
        # A bad place is better than none: it may be read after all.
        assert again.tables.find(LONE) is None
        assert again.tables.find(LONE, trying=True) is not None
        assert bytes(again.tables.has_many(partly.frames[0].ids[:32])) == b"\1"
