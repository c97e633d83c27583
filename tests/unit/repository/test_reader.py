"""What is read is hashed again: a place that holds another chunk gives nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.chunk.identity import Identity
from backupd.errors import FormatError
from backupd.repository.index_loading import load_index
from backupd.repository.reader import SegmentReader, worker_setup
from tests.support.small_repository import Node, SmallRepository, directory


def test_another_chunk_is_not_taken_for_the_one_that_is_due(tmp_path: Path) -> None:
    """Else an index that a thief of the key has changed puts one file's bytes into another, and no check tells."""
    small = SmallRepository(tmp_path / "place")
    small.add(directory(one=Node(b"one" * 100), two=Node(b"two" * 100)))
    repository = small.repository
    tables = load_index(repository, str(tmp_path / "index")).tables
    identity = Identity(repository.keyring.chunk_id_key)
    one, two = identity.chunk_id(b"one" * 100), identity.chunk_id(b"two" * 100)
    place = tables.find(one)
    assert place is not None
    segments = SegmentReader(repository.place, worker_setup(repository, str(small.place)))
    segment = segments.fetch(place.block_id, place.offset, place.stored_bytes)
    assert bytes(segments.chunk(segment, place.position, one)) == b"one" * 100
    with pytest.raises(FormatError, match="other bytes than its name says"):
        segments.chunk(segment, place.position, two)
    tables.close()
