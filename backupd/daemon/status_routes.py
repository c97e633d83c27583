"""The API's verbs of monitoring: how the sets stand, as a report and as metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backupd.catalog import jobs as rows
from backupd.catalog.database import Connection
from backupd.catalog.definitions import StoredRepository, StoredSet
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import account, deciding, growth, metrics, quotas, status
from backupd.daemon.coming_runs import ComingRuns
from backupd.daemon.gate import WATCHERS
from backupd.daemon.jobs import Jobs
from backupd.daemon.live_job import LiveJob
from backupd.daemon.requests import JobRequest
from backupd.daemon.route import Call, Route
from backupd.daemon.services import Services
from backupd.daemon.web_server import web
from backupd.errors import BackupError, UsageError
from backupd.model.sets import SetText
from backupd.model.status import KeyState, StatusReport, Underway
from backupd.settings import directories
from backupd.settings.keys import KeyStore
from backupd.store_errors import KeyDirectoryError
from backupd.wire.malformed import MALFORMED

_LOOKED_BACK = 20
"""Jobs of a set among which one that was no dry run is looked for."""


async def show_status(call: Call) -> StatusReport:
    """How the sets stand at each of their destinations."""
    return await report_of_query(call)


async def show_metrics(call: Call) -> web.Response:
    """The same for Prometheus."""
    return web.Response(text=metrics.render(await report_of_query(call)), content_type=metrics.CONTENT_TYPE)


async def report_of_query(call: Call) -> StatusReport:
    """The report of the sets that a request asks for."""
    query = call.request.query
    words = [word for word in query.get("sets", "").split(",") if word]
    return await report_of(call.services, words, _seconds(query.get("max_age_seconds")))


async def report_of(
    services: Services, words: Sequence[str] = (), max_age_seconds: int | None = None
) -> StatusReport:
    """How sets stand. words: names or ids; empty: all. max_age_seconds: in place of what the sets say.

    Raises SetNotFoundError, AmbiguousNameError, StateError.
    """
    known = services.definitions
    sets = [known.set(word) for word in words] if words else list(known.sets)
    now_ns, ids = services.clock.now_ns(), [one.id for one in sets]
    runs, ended, discarded = await asyncio.wrap_future(services.database.read(_rows, ids))
    growths = await asyncio.wrap_future(services.database.read(growth.read, now_ns))
    keys, troubles = await asyncio.to_thread(key_states, services.environment, sets, list(known.repositories))
    facts = status.Facts(
        sets=sets,
        destinations=list(known.destinations),
        runs=runs,
        ended=ended,
        underway=underway_of(services.jobs),
        keys=keys,
        held=quotas.held_everywhere(runs, known.repositories, known.destinations),
        account=account.use(known.account_quota, known.sets, runs, known.destinations),
        warnings=[
            *services.warnings,
            *services.notices.warnings,
            *services.continuous.warnings,
            *services.scheduler.ahead.warnings(sets),
            *known.owners.warnings(known.sets),
            *filter(None, [services.metrics_port.problem]),
            *("; ".join(filter(None, [one.message, one.mend])) for one in troubles),
        ],
        coming={one.id: coming for one in sets if (coming := coming_of(services.scheduler.ahead, one)) is not None},
        seedings=known.seedings,
        repositories=known.repositories,
        discarded=discarded,
        growths=growths,
        owners={one.id: known.owners.view(one) for one in sets},
    )
    return status.report(facts, now_ns, max_age_seconds)


def _rows(
    connection: Connection, set_ids: Sequence[str]
) -> tuple[list[StoredRun], dict[str, StoredJob], deciding.Discarded]:
    ended: dict[str, StoredJob] = {}
    for set_id in set_ids:
        found = rows.last_ended(connection, set_id, "backup", 1)
        if found and _is_dry(found[0]):
            found = rows.last_ended(connection, set_id, "backup", _LOOKED_BACK)
        real = next((job for job in found if not _is_dry(job)), None)
        if real is not None:
            ended[set_id] = real
    runs = rows.last_runs(connection)
    return runs, ended, deciding.discarded(connection, runs)


def _is_dry(job: StoredJob) -> bool:
    try:
        request = JobRequest.restored(job.orders)
    except MALFORMED:
        return False
    return request.backup is not None and request.backup.dry_run


class KeyTrouble(NamedTuple):
    """A key file that can't be read, or that all of them can't."""

    message: str
    mend: str
    """Empty: that is to be taken from the key sheet."""


def key_states(
    environment: Mapping[str, str], sets: Sequence[StoredSet], repositories: Sequence[StoredRepository]
) -> tuple[dict[str, KeyState], list[KeyTrouble]]:
    """Of each set's repository, and which key files can't be read. Reads files."""
    store = KeyStore(directories.find(environment).data)
    found: dict[str, KeyState] = {}
    troubles: list[KeyTrouble] = []
    for one in sets:
        names = {row.repository for row in repositories if row.set_id == one.id}
        for name in sorted(names):
            try:
                kept = store.load(name)
            except KeyDirectoryError as error:
                found[one.id] = _unkept(one.text)
                troubles += [KeyTrouble(error.message, error.hint)] if found[one.id] == "missing" else []
                continue
            except BackupError as error:
                troubles.append(KeyTrouble(f"{one.text.name}: {error.message}", ""))
                found[one.id] = "missing"
                continue
            if kept is not None:
                found[one.id] = "proved" if kept.proved else "unproved"
            else:
                found[one.id] = _unkept(one.text)
    return found, list(dict.fromkeys(troubles))


def _unkept(text: SetText) -> KeyState:
    return "missing" if text.encryption in ("default", "custom") and text.password is None else "unneeded"


def coming_of(ahead: ComingRuns, stored: StoredSet) -> status.Coming | None:
    """When a set runs by itself; None: it does not."""
    found, gap = ahead.next_of(stored), ahead.longest_gap(stored)
    if found is None:
        return None
    return status.Coming(
        next_ns=found[0], schedule=found[1], gap_seconds=int(gap.total_seconds()) if gap is not None else None
    )


def underway_of(jobs: Jobs) -> dict[str, Underway]:
    """By set id: the job that runs, else the one that waits; backups before others."""
    found: dict[str, Underway] = {}
    for job in sorted(jobs.live.values(), key=_rank, reverse=True):
        if job.stored.set_id is not None:
            found[job.stored.set_id] = Underway(
                job=job.stored.id,
                kind=job.request.kind,
                state=job.stored.state,
                share=_share(job),
            )
    return found


def _rank(job: LiveJob) -> tuple[bool, bool]:
    return (job.stored.kind != "backup", job.stored.state == "queued")


def _share(job: LiveJob) -> float | None:
    if job.progress is None or not job.progress.bytes_total:
        return None
    return min(1.0, job.progress.bytes_done / job.progress.bytes_total)


def _seconds(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError("max_age_seconds is no number", hint="give whole seconds")
    return int(text) if text is not None else None


_QUERY = ("sets", "max_age_seconds")

ROUTES = [
    Route("GET", "/v1/status", "status show", WATCHERS, None, StatusReport, show_status, "How sets stand.", _QUERY),
    Route("GET", "/v1/metrics", "status metrics", WATCHERS, None, None, show_metrics, "For Prometheus.", _QUERY),
]
