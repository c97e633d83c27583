"""What became of the commands around a run, beside what became of the run; as functions of a connection."""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.catalog.database import Connection
from backupd.catalog.jobs import StoredJob, StoredRun, put_job, runs_of

_COLUMNS = ", ".join(StoredRun.__struct_fields__)


def note(
    connection: Connection, job_id: str, commands: list[dict[str, Any]], warned: tuple[int, dict[str, Any]] | None
) -> None:
    """Note them with what the job came to at each destination.

    warned: exit code and error of a run that is good but for them, where one of them failed.
    """
    for run in runs_of(connection, job_id):
        facts = {**run.facts, "commands": commands}
        changed = msgspec.structs.replace(run, facts=facts)
        if warned is not None and (run.exit_code == 0 or _code(facts.get("error")) == warned[1]["code"]):
            code, error = warned
            facts |= {"exit": code, "error": error}
            changed = msgspec.structs.replace(run, facts=facts, exit_code=code, state="warning")
        _replace(connection, run, changed)


def note_end(
    connection: Connection, job: StoredJob, commands: list[dict[str, Any]], warned: tuple[int, dict[str, Any]] | None
) -> None:
    """The same of a job that has ended already, with the job."""
    put_job(connection, job)
    note(connection, job.id, commands, warned)


def _replace(connection: Connection, run: StoredRun, changed: StoredRun) -> None:
    values = (changed.state, changed.exit_code, _json(changed.facts))
    key = (run.job_id, run.destination_id)
    connection.execute(
        "UPDATE runs SET state = ?, exit_code = ?, facts = ? WHERE job_id = ? AND destination_id = ?", (*values, *key)
    )
    (is_newest,) = connection.execute(
        "SELECT COUNT(*) FROM newest_runs WHERE job_id = ? AND destination_id = ?", key
    ).fetchone()
    if not is_newest:
        return
    connection.execute("DELETE FROM newest_runs WHERE job_id = ? AND destination_id = ?", key)
    # The row of its former end goes back to the run that had it before.
    for code in {run.exit_code, changed.exit_code}:
        connection.execute(
            f"INSERT OR REPLACE INTO newest_runs ({_COLUMNS}) SELECT {_COLUMNS} FROM runs"
            " WHERE set_id = ? AND destination_id = ? AND kind = ? AND exit_code = ?"
            " ORDER BY finished_ns DESC LIMIT 1",
            (run.set_id, run.destination_id, run.kind, code),
        )


def _code(error: object) -> object:
    return error.get("code") if isinstance(error, dict) else None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8", "backslashreplace")
