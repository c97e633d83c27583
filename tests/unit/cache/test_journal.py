"""The journal: what it forgets is stored twice, what it keeps for ever fills the state directory."""

from __future__ import annotations

from pathlib import Path

from backupd.cache.journal import (
    Journal,
    JournalBlock,
    JournalCheckpoint,
    JournalPublished,
    JournalSession,
    read_journal,
)

SESSION = JournalSession(bytes(16), "snapshots/b/1", "/cache")


def _block(number: int, chunks: int = 2) -> JournalBlock:
    return JournalBlock(number.to_bytes(32, "big"), 1000, 1, [(0, 500, 900, bytes(32 * chunks))])


def test_what_is_not_published_is_found_again(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    journal = Journal(path, SESSION)
    for number in range(4):
        journal.add(_block(number))
    journal.add(JournalPublished([_block(1).block_id, _block(2).block_id]))
    journal.add(JournalCheckpoint(3, 4096))
    journal.close(is_ended=False)
    state = read_journal(path)
    assert state is not None
    assert (state.session, state.checkpoint) == (SESSION, JournalCheckpoint(3, 4096))
    assert state.unpublished == [_block(0), _block(3)]


def test_a_torn_tail_costs_its_record_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path), SESSION)
    journal.add(_block(1))
    whole = path.stat().st_size
    journal.add(_block(2))
    journal.close(is_ended=False)
    data = path.read_bytes()
    for end in range(whole, len(data)):
        path.write_bytes(data[:end])
        state = read_journal(str(path))
        assert state is not None
        assert state.unpublished == [_block(1)]


def test_what_is_published_does_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path), SESSION)
    journal.add(_block(0))
    journal.add(JournalCheckpoint(7, 70))
    largest = 0
    for number in range(1, 25):
        journal.add(_block(number, 60_000))
        journal.add(JournalPublished([_block(number).block_id]))
        largest = max(largest, path.stat().st_size)
    journal.close(is_ended=False)
    assert largest < 22 << 20
    state = read_journal(str(path))
    assert state is not None
    assert (state.unpublished, state.checkpoint) == ([_block(0)], JournalCheckpoint(7, 70))
    Journal(str(path), SESSION).close(is_ended=True)
    assert not path.exists()
