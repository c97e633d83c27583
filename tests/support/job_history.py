"""Months of jobs in a daemon's catalog, as if it had run since: written with the catalog's own functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from backupd.catalog import definitions, jobs
from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.model.jobs import JobState, LogLine, ended_state
from backupd.model.sets import DestinationText, SetText

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
GIB = 1 << 30
_BATCH = 2000


@dataclass
class Copy:
    """A set at a destination, which grows."""

    stored: StoredSet
    destination: StoredDestination
    held_bytes: int
    free_bytes: int
    growth_bytes: int
    """A day."""
    source_bytes: int


@dataclass
class History:
    """Jobs of several sets, in the order in which they ran; of one seed always the same."""

    copies: Sequence[Copy]
    seed: int = 1
    uid: int = 0
    log_lines: int = 3
    """Of each job."""
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def jobs(self, now_ns: int, days: int, a_day: int = 1) -> Iterator[tuple[StoredJob, list[StoredRun]]]:
        """What ran in the days before now: mostly good; a check a week, a restore a month, some trouble."""
        sets = list({copy.stored.id: copy.stored for copy in self.copies}.values())
        for day in range(days, 0, -1):
            for turn in range(a_day):
                for stored in sets:
                    at_ns = now_ns - day * DAY_NS + turn * (DAY_NS // a_day) + self.random.randrange(20 * MINUTE_NS)
                    here = [copy for copy in self.copies if copy.stored is stored]
                    yield self._backup(stored, here, at_ns, 1 / a_day)
                    if turn == 0 and day % 7 == 3:
                        yield self._check(stored, here[0], at_ns + 90 * MINUTE_NS)
                    if turn == 0 and day % 29 == 11:
                        yield self._restore(stored, here[0], at_ns + 120 * MINUTE_NS)

    def put(self, state: Path, now_ns: int, days: int, a_day: int = 1) -> int:
        """Write them into the catalog of a daemon that does not run; how many runs that were."""
        database = Database(str(state))
        try:
            database.write(self._define).result()
            count, batch = 0, list[tuple[StoredJob, list[StoredRun]]]()
            for one in self.jobs(now_ns, days, a_day):
                batch.append(one)
                count += len(one[1])
                if len(batch) == _BATCH:
                    database.write(self._put, batch).result()
                    batch = []
            database.write(self._put, batch).result()
        finally:
            database.close()
        return count

    def _define(self, connection: Connection) -> None:
        for copy in self.copies:
            definitions.put_set(connection, copy.stored)
            definitions.put_destination(connection, copy.destination)
            definitions.put_repository(
                connection,
                StoredRepository(
                    set_id=copy.stored.id,
                    destination_id=copy.destination.id,
                    repository=f"r{copy.stored.id[1:]}",
                    stored_set_id=copy.stored.id,
                ),
            )

    def _put(self, connection: Connection, batch: Sequence[tuple[StoredJob, list[StoredRun]]]) -> None:
        for job, runs in batch:
            jobs.put_job(connection, job)
            for run in runs:
                jobs.put_run(connection, run)
            lines = [LogLine(n=1, time_ns=job.created_ns, severity="information", message="1. back up")]
            lines += [
                LogLine(n=n, time_ns=job.created_ns, severity="warning", message="unreadable", path=b"/home/a/x")
                for n in range(2, self.log_lines)
            ]
            lines.append(
                LogLine(
                    n=len(lines) + 1,
                    time_ns=job.finished_ns or job.created_ns,
                    severity="error" if job.error else "information",
                    message=f"ended with exit {job.exit_code}",
                )
            )
            jobs.add_log(connection, job.id, lines)

    def _new(self, kind: str, stored: StoredSet, at_ns: int) -> StoredJob:
        return StoredJob(
            id=f"j{self.random.getrandbits(128):032x}",
            kind=kind,
            state="queued",
            set_id=stored.id,
            set_name=stored.text.name,
            orders=b"",
            caller_uid=self.uid,
            created_ns=at_ns,
            schedule="nightly" if kind == "backup" else None,
        )

    def _backup(
        self, stored: StoredSet, here: Sequence[Copy], at_ns: int, share: float
    ) -> tuple[StoredJob, list[StoredRun]]:
        job, runs = self._new("backup", stored, at_ns), []
        if self.random.random() < 0.01:
            job.state = "missed"
            return job, []
        end_ns = at_ns
        for copy in here:
            exit_code = self.random.choices([0, 3, 5, 15], [90, 5, 3, 2])[0]
            begin_ns, end_ns = end_ns, end_ns + int(self.random.uniform(2, 9) * MINUTE_NS)
            facts = self._facts(copy, exit_code, share, job.id, begin_ns, end_ns)
            runs.append(self._run(job, copy, exit_code, facts, (begin_ns, end_ns)))
        return self._ended(job, runs, at_ns, end_ns), runs

    def _facts(
        self, copy: Copy, exit_code: int, share: float, job: str, begin_ns: int, end_ns: int
    ) -> dict[str, Any]:
        error = _error(exit_code)
        started = datetime.fromtimestamp(begin_ns // 10**9, UTC).isoformat()
        if exit_code not in (0, 3):
            return {"exit": exit_code, "error": error}
        stored_bytes = int(copy.growth_bytes * share * self.random.uniform(0.3, 1.9))
        copy.held_bytes += stored_bytes
        copy.free_bytes -= stored_bytes
        copy.source_bytes += stored_bytes
        plain = int(stored_bytes * self.random.uniform(1.4, 2.1))
        read = int(plain * self.random.uniform(1.1, 3.0))
        files = copy.source_bytes // 300_000
        new, changed, gone = (self.random.randrange(1, 400) for _ in range(3))
        problems = {"count": 0, "first": list[Any]()}
        if exit_code == 3:
            first = {"path": "/home/anna/.cache/x", "kind": "unreadable", "message": "Permission denied"}
            problems = {"count": 1, "first": [first]}
        return {
            "set": copy.stored.text.name,
            "job": job,
            "started": started,
            "seconds": (end_ns - begin_ns) / 1e9,
            "exit": exit_code,
            "error": error,
            "files": {
                "seen": files,
                "new": new,
                "changed": changed,
                "same": files - new - changed,
                "gone": gone,
                "left_out": 2,
                "attributes": changed // 5,
                "failed": problems["count"],
            },
            "problems": problems,
            "snapshot": f"s{self.random.getrandbits(128):032x}",
            "bytes": {
                "seen": copy.source_bytes,
                "read": read,
                "new": plain,
                "new_files": read // 2,
                "changed_files": read // 3,
                "attributes_files": read // 40,
                "gone_files": read // 9,
                "failed_files": 0,
            },
            "destinations": [
                {
                    "name": copy.destination.text.name,
                    "verdict": "good",
                    "stored_bytes": stored_bytes,
                    "held_bytes": copy.held_bytes,
                    "free_bytes": copy.free_bytes,
                    "error": None,
                }
            ],
        }

    def _check(self, stored: StoredSet, copy: Copy, at_ns: int) -> tuple[StoredJob, list[StoredRun]]:
        job, end_ns = self._new("check", stored, at_ns), at_ns + 8 * MINUTE_NS
        facts = {"snapshots": 30, "blocks": 900, "bytes_read": copy.held_bytes, "problems": 0, "exit": 0, "error": None}
        runs = [self._run(job, copy, 0, facts, (at_ns, end_ns))]
        return self._ended(job, runs, at_ns, end_ns), runs

    def _restore(self, stored: StoredSet, copy: Copy, at_ns: int) -> tuple[StoredJob, list[StoredRun]]:
        job, end_ns = self._new("restore", stored, at_ns), at_ns + 3 * MINUTE_NS
        facts = {
            "files": {"restored": 12, "same": 0, "skipped": 0, "failed": 0, "deleted": 0},
            "bytes": {"restored": 5 << 20, "fetched": 3 << 20},
            "exit": 0,
            "error": None,
        }
        runs = [self._run(job, copy, 0, facts, (at_ns, end_ns))]
        return self._ended(job, runs, at_ns, end_ns), runs

    def _run(
        self, job: StoredJob, copy: Copy, exit_code: int, facts: dict[str, Any], times_ns: tuple[int, int]
    ) -> StoredRun:
        return StoredRun(
            job_id=job.id,
            set_id=copy.stored.id,
            destination_id=copy.destination.id,
            destination_name=copy.destination.text.name,
            kind=job.kind,
            state=ended_state(exit_code),
            snapshot=facts.get("snapshot"),
            exit_code=exit_code,
            started_ns=times_ns[0],
            finished_ns=times_ns[1],
            facts=facts,
        )

    def _ended(self, job: StoredJob, runs: Sequence[StoredRun], at_ns: int, end_ns: int) -> StoredJob:
        job.exit_code = max((run.exit_code for run in runs), default=0)
        state: JobState = ended_state(job.exit_code)
        job.state, job.error = state, _error(job.exit_code)
        job.started_ns, job.finished_ns = at_ns, end_ns
        job.result = {"runs": [run.facts for run in runs][:1]} if job.kind == "backup" else {}
        return job


def copies(above: Path, names: Sequence[tuple[str, str]], *, free_bytes: int = 400 * GIB) -> list[Copy]:
    """Sets and destinations of these names, (set, destination) each; below a directory that need not be there."""
    sets: dict[str, StoredSet] = {}
    destinations: dict[str, StoredDestination] = {}
    for number, (name, at) in enumerate(names, 1):
        destinations.setdefault(
            at,
            StoredDestination(
                id=f"d{number:032x}",
                text=DestinationText(name=at, place=str(above / at)),
                file=None,
                created_ns=0,
            ),
        )
        to = [other for one, other in names if one == name]
        text = SetText(name=name, sources=[str(above / "src")], to=to)
        sets.setdefault(name, StoredSet(id=f"b{number:032x}", text=text, file=None, created_ns=0))
    return [
        Copy(sets[name], destinations[at], 20 * GIB, free_bytes, GIB // 2, 60 * GIB) for name, at in names
    ]


def _error(exit_code: int) -> dict[str, Any] | None:
    known = {
        3: ("source.left_out", "1 entry left out or flagged"),
        5: ("job.stopped", "stopped before its end"),
        15: ("destination.unreachable", "the server did not answer: timed out"),
    }
    if exit_code not in known:
        return None
    code, message = known[exit_code]
    return {"code": code, "message": message, "hint": "", "retryable": exit_code != 3, "context": {}}
