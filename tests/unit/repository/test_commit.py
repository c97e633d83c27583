"""The one commit: a snapshot's name is created once, whoever else wants it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backupd.errors import ObjectExistsError
from backupd.repository.records import Records
from backupd.snapshot import naming
from tests.support.small_repository import Node, SmallRepository, directory


def test_a_name_that_another_took_is_no_commit(tmp_path: Path) -> None:
    """Else two hosts are both told that their backup stands, and one of them has none."""
    small = SmallRepository(tmp_path / "place")
    records = Records(small.repository)
    theirs = small.add(directory(file=Node(b"theirs")), day=0)
    name = naming.snapshot_name(theirs.set_id, theirs.started_ns, theirs.id)
    ours = msgspec.structs.replace(theirs, host_name="another")
    with pytest.raises(ObjectExistsError):
        records.commit(name, ours)
    assert records.snapshot(name) == theirs


def test_a_commit_whose_answer_was_lost_is_one(tmp_path: Path) -> None:
    """Else a network that swallows one answer makes a failed run of a good one."""
    small = SmallRepository(tmp_path / "place")
    records = Records(small.repository)
    ours = small.add(directory(file=Node(b"ours")), day=0)
    name = naming.snapshot_name(ours.set_id, ours.started_ns, ours.id)
    records.commit(name, ours)
    assert records.snapshot(name) == ours
