"""What is kept of a backup at a destination when its job goes on after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.catalog.database import Database
from backupd.catalog.jobs import StoredJob, StoredRun, put_backup, put_job, runs_of
from backupd.model.jobs import ended_state

_GOOD = (0, 3)


@pytest.mark.parametrize(("ends", "kept"), [((0, 75), 0), ((3, 1), 3), ((1, 0), 0), ((5, 75), 75), ((0, 3), 3)])
def test_a_good_run_stays_what_it_was(tmp_path: Path, ends: tuple[int, int], kept: int) -> None:
    """A condition that is not met any more, or a snapshot that can't be made, is no news of what is stored already."""
    database = Database(str(tmp_path))
    job = StoredJob(
        id="j" + "1" * 32, kind="backup", state="running", set_id=None, set_name=None, orders=b"", caller_uid=0,
        created_ns=1,
    )  # fmt: skip
    database.write(lambda connection: put_job(connection, job)).result()
    for at, code in enumerate(ends, 1):
        run = StoredRun(
            job_id=job.id, set_id="b" + "1" * 32, destination_id="d" + "1" * 32, destination_name="nas", kind="backup",
            state=ended_state(code), snapshot=None, exit_code=code, started_ns=at, finished_ns=at, facts={},
        )  # fmt: skip
        database.write(put_backup, run, _GOOD).result()
    (found,) = database.read(runs_of, job.id).result()
    assert found.exit_code == kept
