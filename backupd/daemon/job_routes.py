"""The API's verbs on jobs: begun, listed, followed, paused, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import get_args

import msgspec

from backupd.catalog import jobs as rows
from backupd.catalog.definitions import StoredSet
from backupd.catalog.jobs import JobFilter, StoredJob
from backupd.daemon.definitions import Definitions
from backupd.daemon.gate import ACTORS, ADMINS, EVERYONE, RESTORERS, RUNNERS, WATCHERS, caller_of, check
from backupd.daemon.outcome import Outcome
from backupd.daemon.owners import left_out, nothing_runs
from backupd.daemon.place_finding import find_home, set_of
from backupd.daemon.requests import BackupRequest, JobRequest
from backupd.daemon.route import Call, Route
from backupd.daemon.web_server import web
from backupd.errors import (
    BusyError,
    ConflictError,
    DaemonUnreachableError,
    UsageError,
)
from backupd.model.api import (
    Change,
    Ending,
    FilesPage,
    JobList,
    LogPage,
    Nothing,
    Reply,
    SkippedSet,
    StartBackup,
    Started,
    StartRestore,
)
from backupd.model.events import Done, Failed, FilesUnderWay
from backupd.model.files import FileStateName
from backupd.model.jobs import ENDED, TRANSITIONS, JobView
from backupd.rules import names
from backupd.rules.definition_rules import check_migrating
from backupd.store_errors import OtherOwnerError

_PAGE = 50
_MOST_A_PAGE = 1000
_MOST_NAME = 512
"""Characters of HOST:SET."""


async def start_backup(call: Call) -> Started:
    """Queue a run of each set."""
    wanted: StartBackup = call.body
    known, jobs = call.services.definitions, call.services.jobs
    if wanted.all == bool(wanted.sets):
        raise UsageError("name sets, or all of them", hint="bkctl backup SET..., or bkctl backup --all")
    named = [one for one in known.sets if known.owners.runs(one)] if wanted.all else [known.set(w) for w in wanted.sets]
    stored = list({one.id: one for one in named}.values())
    if not (wanted.dry_run or wanted.estimate):
        _refuse_others(known, stored)
    left = left_out(known.sets, known.owners) if wanted.all else []
    if not stored:
        raise nothing_runs(left, known.owners.name)
    requests = [(one, _backup_request(call, one, wanted)) for one in stored]
    if wanted.if_running == "fail":
        # Before any is queued: the call does all of it or nothing.
        _refuse_busy(call, stored)
    started: list[JobView] = []
    skipped: list[SkippedSet] = []
    for one, request in requests:
        busy = jobs.is_busy(one.id)
        if busy is not None and wanted.if_running == "skip":
            skipped.append(SkippedSet(set=one.text.name, job=busy.stored.id))
        elif busy is not None and wanted.if_running == "join":
            started.append(view(busy.stored, call))
        else:
            made = await jobs.add(request, set_id=one.id, set_name=one.text.name, uid=call.peer.uid)
            started.append(view(made.stored, call))
    return Started(jobs=started, skipped=skipped, left_out=left)


def _refuse_others(known: Definitions, wanted: Sequence[StoredSet]) -> None:
    """Raises OtherOwnerError, with what is left to run where several were named."""
    own = [one.text.name for one in wanted if known.owners.is_own(one)]
    try:
        for one in wanted:
            known.owners.refuse_others(one, "run")
    except OtherOwnerError as error:
        if own:
            error.hint += f". Nothing was begun; the others by: bkctl backup {' '.join(own)}"
        raise


def _refuse_busy(call: Call, wanted: Sequence[StoredSet]) -> None:
    for one in wanted:
        busy = call.services.jobs.is_busy(one.id)
        if busy is not None:
            raise BusyError(
                f"job {busy.stored.id[:9]} of {one.text.name} is under way",
                hint="--if-running join follows it, wait queues another, skip passes over",
                context={"job": busy.stored.id, "set": one.text.name},
            )


def _backup_request(call: Call, stored: StoredSet, wanted: StartBackup) -> JobRequest:
    known = call.services.definitions
    to = [known.destination(word) for word in wanted.to]
    for one in to:
        if one.text.name not in stored.text.to:
            raise ConflictError(
                f"{stored.text.name} is not stored in {one.text.name}",
                hint=f"bkctl set edit {stored.text.name} --add-to {one.text.name}",
            )
    if wanted.migrate:
        check_migrating(stored.text)
    backup = BackupRequest(
        to=[one.id for one in to],
        tags=wanted.tags,
        stop_after_seconds=wanted.stop_after_seconds,
        dry_run=wanted.dry_run or wanted.estimate,
        estimate=wanted.estimate,
        retention=wanted.retention,
        migrate=wanted.migrate,
        upload_rate=wanted.upload_rate,
        download_rate=wanted.download_rate,
    )
    return JobRequest(kind="backup", backup=backup)


async def start_restore(call: Call) -> Started:
    """Queue a restore, with the caller's rights."""
    order = call.body.order
    set_name = order.selection.set_name
    if len(set_name or "") > _MOST_NAME:
        raise UsageError("no set has so long a name", hint="bkctl set list shows what there is")
    caller = caller_of(call.peer)
    known = call.services.definitions
    place, word = await find_home(call, order.place, set_name)
    selection = msgspec.structs.replace(order.selection, set_name=word)
    order = msgspec.structs.replace(order, place=place, selection=selection, caller=caller, streams=[])
    stored = set_of(known, set_name)
    made = await call.services.jobs.add(
        JobRequest(kind="restore", restore=order),
        set_id=stored.id if stored is not None else None,
        set_name=stored.text.name if stored is not None else set_name,
        uid=call.peer.uid,
    )
    return Started(jobs=[view(made.stored, call)])


async def list_jobs(call: Call) -> JobList:
    """Jobs, newest first; one's own, unless one's role is to watch."""
    query = call.request.query
    set_id = call.services.definitions.set(query["set"]).id if "set" in query else None
    before: tuple[int, str] | None = None
    if "after" in query:
        created, _, job_id = query["after"].partition("-")
        if not names.is_id(job_id, "j"):
            raise UsageError("after is no end of a page", hint="give what `next` of the page before says")
        before = (number_of(created, "after"), job_id)
    limit = limit_of(call)
    wanted = JobFilter(
        set_id=set_id,
        states=_states(query.get("status", "")),
        since_ns=_since_ns(call) if "since_seconds" in query else None,
        before=before,
        caller_uid=only_own(call),
        limit=limit + 1,
    )
    found = await asyncio.wrap_future(call.services.database.read(rows.listed, wanted))
    page = found[:limit]
    await call.services.gate.learn_logins(one.caller_uid for one in page)
    more = f"{page[-1].created_ns}-{page[-1].id}" if len(found) > limit and page else None
    return JobList(jobs=[view(_live(call, one), call) for one in page], next=more)


async def show_job(call: Call) -> JobView:
    """One job."""
    stored = await find_job(call)
    await call.services.gate.learn_logins([stored.caller_uid])
    return view(stored, call)


async def follow_job(call: Call) -> web.StreamResponse:
    """A job's events as JSON lines, from now to its end; the last one is its last word.

    Raises DaemonUnreachableError while the daemon stops and the job waits for the next one.
    """
    stored = await find_job(call)
    if stored.id not in call.services.jobs.live and stored.state not in ENDED:
        raise DaemonUnreachableError("backupd is being stopped", hint="the job goes on when it runs again")
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(call.request)
    job = call.services.jobs.live.get(stored.id)
    if job is None:
        await response.write(msgspec.json.encode(_last_word(stored)) + b"\n")
        return response
    follower = job.follow()
    try:
        while (event := await follower.next()) is not None:
            await response.write(msgspec.json.encode(event) + b"\n")
    finally:
        job.unfollow(follower)
    return response


async def show_log(call: Call) -> LogPage:
    """A page of a job's log."""
    stored = await find_job(call)
    after = number_of(call.request.query.get("after", "0"), "after")
    limit = limit_of(call)
    if "last" in call.request.query:
        length = await asyncio.wrap_future(call.services.database.read(rows.log_length, stored.id))
        after = max(after, length - number_of(call.request.query["last"], "last"))
    lines = await asyncio.wrap_future(call.services.database.read(rows.log_lines, stored.id, after, limit))
    return LogPage(lines=lines, next=lines[-1].n if len(lines) == limit else None)


async def show_files(call: Call) -> FilesPage:
    """A page of the states of a backup's files."""
    stored = await find_job(call)
    query = call.request.query
    after, limit = number_of(query.get("after", "0"), "after"), limit_of(call)
    wanted = _file_states(query.get("states", ""))
    part = await asyncio.to_thread(call.services.files.read, stored.id, after, wanted, limit)
    live = call.services.jobs.live.get(stored.id)
    now = live.files if live is not None else FilesUnderWay()
    return FilesPage(
        files=part.files,
        running=now.running if "running" in wanted else [],
        waiting=now.waiting if "waiting" in wanted else [],
        more_waiting=now.more if "waiting" in wanted else 0,
        not_kept=part.not_kept,
        next=part.after,
        is_end=part.is_end,
    )


async def cancel_job(call: Call) -> Change:
    """End a job; what it stored stays."""
    stored = await find_job(call, is_changing=True)
    return Change(changed=await call.services.jobs.cancel(stored.id, call.body.signal))


async def pause_job(call: Call) -> Change:
    """Have a job wait."""
    stored = await find_job(call, is_changing=True)
    return Change(changed=await call.services.jobs.pause(stored.id, is_paused=True))


async def resume_job(call: Call) -> Change:
    """Have a paused job go on."""
    stored = await find_job(call, is_changing=True)
    return Change(changed=await call.services.jobs.pause(stored.id, is_paused=False))


async def answer_job(call: Call) -> Change:
    """Answer what a job asks."""
    stored = await find_job(call, is_changing=True)
    await call.services.jobs.answer(stored.id, call.body.ask, call.body.text)
    return Change(changed=True)


async def ask_state(call: Call) -> Change:
    """Have a job say at once where it stands."""
    stored = await find_job(call)
    await call.services.jobs.ask_state(stored.id)
    return Change(changed=False)


def view(stored: StoredJob, call: Call) -> JobView:
    """A job as the API shows it."""
    shown = rows.view(stored, call.services.gate.login(stored.caller_uid))
    job = call.services.jobs.live.get(stored.id)
    if job is not None:
        shown = msgspec.structs.replace(shown, waits_for=job.waits_for, progress=job.progress_json())
    return shown


def _live(call: Call, stored: StoredJob) -> StoredJob:
    job = call.services.jobs.live.get(stored.id)
    return job.stored if job is not None else stored


def _last_word(stored: StoredJob) -> Done | Failed:
    outcome = Outcome(
        exit_code=stored.exit_code or 0, result=stored.result, error=stored.error, warnings=stored.warnings
    )
    return outcome.last_word()


async def find_job(call: Call, *, is_changing: bool = False) -> StoredJob:
    """The job of the path. Raises JobNotFoundError, also for another user's where the caller sees own ones alone."""
    stored = await call.services.jobs.find(call.path["job"], only_own(call))
    if is_changing and stored.caller_uid != call.peer.uid:
        check(call.peer, ADMINS if stored.kind == "restore" else RUNNERS)
    return stored


def only_own(call: Call) -> int | None:
    """The caller's uid where he sees his own jobs alone."""
    return None if call.peer.roles & set(WATCHERS) else call.peer.uid


def _since_ns(call: Call) -> int:
    seconds = number_of(call.request.query["since_seconds"], "since_seconds")
    return max(0, call.services.clock.now_ns() - seconds * 1_000_000_000)


def _states(text: str) -> list[str]:
    words = [word for word in text.split(",") if word]
    unknown = next((word for word in words if word not in TRANSITIONS), None)
    if unknown is not None:
        raise UsageError(f"'{unknown}' is no state of a job", hint=f"one of {', '.join(TRANSITIONS)}")
    return words


def _file_states(text: str) -> list[FileStateName]:
    known = get_args(FileStateName)
    words = [word for word in text.split(",") if word]
    unknown = next((word for word in words if word not in known), None)
    if unknown is not None:
        raise UsageError(f"'{unknown}' is no state of a file", hint=f"one of {', '.join(known)}")
    return [state for state in known if not words or state in words]


def limit_of(call: Call) -> int:
    """How many are wanted at most. Raises UsageError."""
    limit = number_of(call.request.query.get("limit", str(_PAGE)), "limit")
    if not 1 <= limit <= _MOST_A_PAGE:
        raise UsageError(f"limit is {limit}", hint=f"1 to {_MOST_A_PAGE}")
    return limit


def number_of(text: str, name: str) -> int:
    """The number that a parameter gives. Raises UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < 1 << 63):
        raise UsageError(f"{name} is no number that fits", hint="digits only, below 2^63")
    return int(text)


_ONE = "/v1/jobs/{job}"

ROUTES = [
    Route("POST", "/v1/backups", "backup", RUNNERS, StartBackup, Started, start_backup, "Run sets."),
    Route("POST", "/v1/restores", "restore", RESTORERS, StartRestore, Started, start_restore, "Restore."),
    Route(
        "GET",
        "/v1/jobs",
        "job list",
        EVERYONE,
        None,
        JobList,
        list_jobs,
        "List jobs.",
        ("set", "status", "since_seconds", "after", "limit"),
    ),
    Route("GET", _ONE, "job show", EVERYONE, None, JobView, show_job, "Show a job."),
    Route("GET", f"{_ONE}/events", "job follow", EVERYONE, None, None, follow_job, "Follow a job."),
    Route(
        "GET",
        f"{_ONE}/log",
        "job log",
        EVERYONE,
        None,
        LogPage,
        show_log,
        "Show a log.",
        ("after", "last", "limit"),
    ),
    Route(
        "GET",
        f"{_ONE}/files",
        "job files",
        ADMINS,
        None,
        FilesPage,
        show_files,
        "Show the states of a backup's files.",
        ("after", "states", "limit"),
    ),
    Route("POST", f"{_ONE}/cancel", "job cancel", ACTORS, Ending, Change, cancel_job, "End a job."),
    Route("POST", f"{_ONE}/pause", "job pause", ACTORS, Nothing, Change, pause_job, "Have a job wait."),
    Route("POST", f"{_ONE}/resume", "job resume", ACTORS, Nothing, Change, resume_job, "Have a job go on."),
    Route("POST", f"{_ONE}/answer", "job answer", ACTORS, Reply, Change, answer_job, "Answer a job's question."),
    Route("POST", f"{_ONE}/state", "job state", EVERYONE, Nothing, Change, ask_state, "Ask where a job stands."),
]
