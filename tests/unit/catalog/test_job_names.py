"""Names of files in the daemon's catalog: what was deleted from the backups is not named there for years."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from backupd.catalog import job_names, jobs
from backupd.catalog.database import Connection, Database
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.model.jobs import LogLine

_SECRET, _LATIN = b"/home/anna/secret", b"/home/anna/caf\xe9"


def _result() -> dict[str, Any]:
    latin = base64.b64encode(_LATIN).decode()
    first = [
        {"path": "/home/anna/secret/below", "kind": "unreadable", "message": "x"},
        {"path": "/home/anna/secrets", "kind": "unreadable", "message": "x"},
        {"path": "/home/anna/caf\\xe9", "path_b64": latin, "kind": "unreadable", "message": "x"},
    ]
    return {"runs": [{"problems": {"count": 3, "first": first}, "restore_one_command": "bkctl restore …", "exit": 3}]}


def _fill(connection: Connection) -> None:
    for job, set_id in (("j1", "b1"), ("j2", "b2")):
        values: dict[str, Any] = {"set_id": set_id, "set_name": set_id, "orders": b"", "caller_uid": 0}
        jobs.put_job(
            connection,
            StoredJob(id=job, kind="backup", state="warning", created_ns=1, result=_result(), **values),
        )
        jobs.put_run(
            connection,
            StoredRun(
                job_id=job, set_id=set_id, destination_id="d1", destination_name="x", kind="backup", state="warning",
                snapshot=None, exit_code=3, started_ns=1, finished_ns=2, facts=_result()["runs"][0],
            ),
        )  # fmt: skip
        paths = [None, _SECRET, _SECRET + b"/below", _SECRET + b"s", _LATIN]
        lines = [LogLine(n=n, time_ns=1, severity="warning", message="m", path=p) for n, p in enumerate(paths, 1)]
        jobs.add_log(connection, job, lines)


def _after(tmp_path: Path, paths: list[bytes]) -> tuple[list[str], list[bytes | None], list[Any], list[Any]]:
    database = Database(str(tmp_path))
    try:
        database.write(_fill).result()
        found = database.write(job_names.forget, "b1", paths).result()
        logged = [line.path for line in database.read(jobs.log_lines, "j1", 0, 100).result()]
        assert len(database.read(jobs.log_lines, "j2", 0, 100).result()) == 5
        (job,) = database.read(jobs.find, "j1").result()
        (run,) = database.read(jobs.runs_of, "j1").result()
        (other,) = database.read(jobs.find, "j2").result()
        assert other.result == _result()
        (told,) = (job.result or {})["runs"]
        assert told["restore_one_command"] is None
        assert told["problems"]["count"] == 3
        return found, logged, told["problems"]["first"], run.facts["problems"]["first"]
    finally:
        database.close()


def test_of_a_purged_set_no_name_is_left(tmp_path: Path) -> None:
    assert _after(tmp_path, []) == (["j1"], [None], [], [])


def test_of_purged_paths_those_go_and_what_only_begins_alike_stays(tmp_path: Path) -> None:
    found, logged, first, of_run = _after(tmp_path, [_SECRET, _LATIN])
    assert (found, logged) == (["j1"], [None, _SECRET + b"s"])
    assert [one["path"] for one in first] == [one["path"] for one in of_run] == ["/home/anna/secrets"]
