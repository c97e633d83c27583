"""If this fails, whoever ends a session that another has just finished drops a snapshot that was reported as good."""

from __future__ import annotations

import os
from pathlib import Path

from backupd.operations.backup.ending import end_dead_session
from backupd.operations.backup.session import RunningSession, WriterIdentity
from backupd.repository.records import Records
from backupd.snapshot.records import Checkpoint, Snapshot
from tests.support.small_repository import START_NS, SmallRepository, directory


class _Late(Records):
    """Sees the place as it was a moment before the writer committed."""

    def commit(self, name: str, snapshot: Snapshot) -> None:
        Records(self.repository).commit(name, self.complete)
        super().commit(name, snapshot)

    complete: Snapshot


def test_a_snapshot_that_was_committed_meanwhile_is_not_dropped(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    draft = small.add(directory(), is_complete=False)
    records = _Late(small.repository)
    records.complete = small.add(directory(), day=1)
    who = WriterIdentity(bytes(16), bytes(16), "boot", draft.set_id)
    session = RunningSession(os.urandom(16), records, who, [], START_NS)
    session.post(START_NS, Checkpoint(draft.root, 0, 0), draft)
    end_dead_session(records, session.id, session.name, START_NS, bytes(16))
    assert session.name not in records.readable_void_names()[0]
    assert records.snapshot(session.name).is_complete
