"""If this fails, a snapshot that may lack what was deleted stands in for one that is whole."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from backupd.cancel import Cancel
from backupd.errors import ConflictError
from backupd.operations.backup.session import Publishing, RunningSession, WriterIdentity
from backupd.operations.context import JobContext
from backupd.operations.places import open_place, writing
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.operations.writing_anew import WritingAnew
from backupd.repository.index_loading import load_index
from backupd.seal.header import ObjectKind
from backupd.settings import directories
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING
from backupd.snapshot.records import BlockList, Rewriting, Snapshot
from tests.support.asleep import Asleep
from tests.support.histories import History
from tests.support.migrating import listed, migrate_order


def test_who_was_ended_and_freed_under_right_before_its_commit_leaves_the_old_one_alone(tmp_path: Path) -> None:
    """Else the next run, or a policy, takes the one that stands there for as good as the old one."""
    history = History(tmp_path, 53)
    old = history.back_up({"a": 1000})
    environ, clock = history.bench.machine.environ, history.bench.clock
    context = JobContext(migrate_order(history), clock, Cancel(), environ, directories.find(environ), lambda _: None)
    with writing(context, open_place(context)) as place:
        records = Asleep(place.repository)
        (name,) = records.snapshot_names()
        at = SnapshotAt(name.name, records.snapshot(name.name))
        new_id = os.urandom(16)
        who = WriterIdentity(bytes(16), bytes(16), "boot", at.snapshot.set_id)

        def fill(_: Publishing, session: RunningSession) -> Snapshot:
            def pass_by() -> None:
                records.remove_session(session.id, records.sessions()[session.id])
                given = BlockList(1, [os.urandom(32)])
                records.put(ObjectKind.CANDIDATES, naming.gc_name(1, "candidates"), given)
                records.put(ObjectKind.DELETED, naming.gc_name(1, "deleted"), given)

            records.before = pass_by
            return msgspec.structs.replace(
                at.snapshot, id=new_id, rewriting=Rewriting(at.snapshot.id, clock.now_ns(), bytes(16), 0)
            )

        index = load_index(place.repository, str(tmp_path))
        try:
            anew = WritingAnew(context, msgspec.structs.replace(place, records=records), index, who, "ours")
            with pytest.raises(ConflictError, match="may lack"):
                anew.write(at, new_id, NOTHING, fill)
        finally:
            index.tables.close()
    assert [one["id"] for one in listed(history)] == [old]
    assert history.records().sessions() == {}
    history.check_all()
