"""How each set stands at each of its destinations: from rows of the catalog to a report; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.catalog.jobs import StoredJob, StoredRun
from backupd.daemon import area_figures, deciding, growth, quotas
from backupd.daemon.run_records import traffic_of
from backupd.daemon.seeding import Seedings
from backupd.errors import AttentionError, DamageError, NotFoundError
from backupd.model.api import OwnerView
from backupd.model.decisions import GivenUp
from backupd.model.quotas import AccountUse
from backupd.model.sets import SetText
from backupd.model.status import (
    CopyStatus,
    Coverage,
    Grade,
    KeyState,
    RunFact,
    SetStatus,
    StatusReport,
    Underway,
    Verdict,
)
from backupd.model.structs import Struct
from backupd.rules.pool_rules import places_of
from backupd.sizes import format_seconds, parse_duration

_GOOD = (0, 3)
_DAMAGE = DamageError.exit_code
_UNSAID = (5, 11, 75, 130, 143)
"""Runs that were stopped, kept out or skipped say nothing about what is stored."""
_INTERVALS = 2
_FUTURE_SECONDS = 3600
"""A snapshot so far ahead of the clock proves nothing: it would look fresh for ever."""


class Coming(Struct, frozen=True, kw_only=True):
    """When a set runs by itself."""

    next_ns: int | None
    schedule: str | None
    gap_seconds: int | None
    """The longest time between two runs; None: there are no two."""


class Facts(Struct, frozen=True, kw_only=True):
    """All that a report is made of."""

    sets: Sequence[StoredSet]
    """Those asked for."""
    destinations: Sequence[StoredDestination]
    runs: Sequence[StoredRun]
    """The newest one of each set, destination, kind and exit code."""
    ended: Mapping[str, StoredJob]
    """Set id -> its newest backup job that has ended."""
    underway: Mapping[str, Underway]
    """Set id -> its job that waits or runs."""
    keys: Mapping[str, KeyState]
    """By set id."""
    held: Mapping[str, int] = {}
    """Destination id -> bytes that all known sets take there, where it has a quota."""
    account: AccountUse | None = None
    warnings: Sequence[str] = ()
    coming: Mapping[str, Coming] = {}
    """By set id; what is not in it does not run by itself."""
    seedings: Seedings = {}
    repositories: Sequence[StoredRepository] = ()
    discarded: deciding.Discarded = frozenset()
    growths: growth.Growths = {}
    owners: Mapping[str, OwnerView] = {}
    """By set id; what is not in it is this machine's."""


def report(facts: Facts, now_ns: int, max_age_seconds: int | None = None) -> StatusReport:
    """The report. max_age_seconds: `--max-age`, in place of what the sets say."""
    by_name = {one.text.name: one for one in facts.destinations}
    sets = [_set_status(one, by_name, facts, now_ns, max_age_seconds) for one in facts.sets]
    check_exit, check_message = _check(sets)
    return StatusReport(
        now_ns=now_ns,
        sets=sets,
        warnings=list(facts.warnings),
        check_exit=check_exit,
        check_message=check_message,
        account=facts.account,
    )


def _set_status(
    stored: StoredSet,
    destinations: Mapping[str, StoredDestination],
    facts: Facts,
    now_ns: int,
    max_age_seconds: int | None,
) -> SetStatus:
    text, owner = stored.text, facts.owners.get(stored.id)
    is_enabled = text.enabled and (owner is None or owner.is_here)
    coming = facts.coming.get(stored.id)
    limit = max_age_seconds if max_age_seconds is not None else _own_limit(text, coming)
    runs = [run for run in facts.runs if run.set_id == stored.id]
    copies = [
        _copy(stored, destinations[name], runs, now_ns, (limit, is_enabled), facts)
        for name in text.to
        if name in destinations
    ]
    ended = facts.ended.get(stored.id)
    grade = Grade(
        automatic=coming is not None or bool(text.continuous),
        versioned=any(copy.snapshot is not None for copy in copies),
        verified=bool(copies) and all(copy.verified_ns is not None for copy in copies),
        restored=any(run.kind == "restore" and run.exit_code in _GOOD for run in runs),
        off_site=any(_is_off_site(destinations[copy.destination], destinations) for copy in copies),
    )
    return SetStatus(
        set=text.name,
        id=stored.id,
        is_enabled=is_enabled,
        max_age=text.max_age,
        max_age_seconds=limit,
        underway=facts.underway.get(stored.id),
        next_ns=coming.next_ns if coming is not None else None,
        is_continuous=bool(text.continuous) and is_enabled,
        next_schedule=coming.schedule if coming is not None else None,
        last_run=_fact_of_job(ended) if ended is not None else None,
        key=facts.keys.get(stored.id, "unmade"),
        grade=grade,
        copies=copies,
        owner=owner.name if owner is not None and not owner.is_here else None,
    )


def _own_limit(text: SetText, coming: Coming | None) -> int | None:
    """How old the newest good snapshot may be: as the set says, else two intervals of its schedules."""
    if text.max_age is not None:
        return parse_duration(text.max_age)
    if coming is None or coming.gap_seconds is None:
        return None
    return _INTERVALS * coming.gap_seconds


def _is_off_site(destination: StoredDestination, destinations: Mapping[str, StoredDestination]) -> bool:
    """Whether it is a store elsewhere; a pool where one of its members is."""
    texts = {name: one.text for name, one in destinations.items()}
    return any(not place.startswith("/") for place in places_of(destination.text, texts))


def _copy(
    stored: StoredSet,
    destination: StoredDestination,
    runs: Sequence[StoredRun],
    now_ns: int,
    asked: tuple[int | None, bool],
    facts: Facts,
) -> CopyStatus:
    """asked: how old its newest snapshot may be, and whether anything is asked of it at all."""
    here = sorted((run for run in runs if run.destination_id == destination.id), key=lambda run: run.finished_ns)
    backups = [run for run in here if run.kind == "backup"]
    # What was purged is no backup any more.
    emptied_ns = max((run.finished_ns for run in here if run.facts.get("is_emptied")), default=0)
    standing = [run for run in backups if run.snapshot and run.finished_ns > emptied_ns]
    good = next((run for run in reversed(standing) if run.exit_code in _GOOD), None)
    verified = next((run for run in reversed(here) if run.kind == "check" and run.exit_code == 0), None)
    snapshot_ns = _began_ns(good) if good is not None else None
    age = (now_ns - snapshot_ns) // 1_000_000_000 if snapshot_ns is not None else None
    verdict, reason = _judge(age, asked[0], _damage(here), is_enabled=asked[1])
    newest = next((entry for run in reversed(backups) for entry in _places(run) if "free_bytes" in entry), {})
    grown = facts.growths.get((stored.id, destination.id))
    seeding = facts.seedings.get(destination.id)
    waiting = deciding.undecided(here, facts.discarded)
    stored_bytes = next((told for told in map(quotas.told_bytes, reversed(backups)) if told is not None), None)
    return CopyStatus(
        destination=destination.text.name,
        place=destination.text.place,
        verdict=verdict,
        reason=reason,
        snapshot=good.snapshot if good is not None else None,
        snapshot_ns=snapshot_ns,
        age_seconds=age,
        last_run=_fact_of_run(backups[-1]) if backups else None,
        verified_ns=verified.finished_ns if verified is not None else None,
        verified_bytes=verified is not None and bool(verified.facts.get("crc")),
        coverage=_coverage(here),
        needs_decision=waiting.job_id if waiting is not None else None,
        given_up=_given_up([run for run in here if run.finished_ns > emptied_ns]),
        stored_bytes=stored_bytes,
        free_bytes=newest.get("free_bytes"),
        files=area_figures.seen(good, "files") if good is not None else None,
        source_bytes=area_figures.seen(good, "bytes") if good is not None else None,
        areas=area_figures.newest(
            facts.runs,
            facts.repositories,
            stored,
            destination,
            good.snapshot if good is not None else None,
            emptied_ns,
        ),
        locked_until=(newest.get("locked") or {}).get("until"),
        locks_error=(newest.get("locks_error") or {}).get("message"),
        quotas=quotas.uses(stored, destination, stored_bytes, facts.held),
        traffic=traffic_of(backups[-1]) if backups else None,
        growth_bytes_per_day=grown.bytes_a_day if grown is not None else None,
        full_at_ns=growth.full_at(facts.growths, facts.repositories, destination),
        seeding_ns=seeding.since_ns if seeding is not None and stored.id in seeding.sets else None,
    )


def _coverage(here: Sequence[StoredRun]) -> Coverage | None:
    """As the newest check told it."""
    told = next((run.facts["coverage"] for run in reversed(here) if "coverage" in run.facts), None)
    try:
        return msgspec.convert(told, Coverage) if told is not None else None
    except msgspec.ValidationError:
        return None


def _given_up(here: Sequence[StoredRun]) -> GivenUp | None:
    """As the newest check told it."""
    told = next((run.facts["given_up"] for run in reversed(here) if _has_told(run)), None)
    try:
        return msgspec.convert(told, GivenUp) if told is not None else None
    except msgspec.ValidationError:
        return None


def _has_told(run: StoredRun) -> bool:
    """Whether it looked at the set at all."""
    return "given_up" in run.facts and run.exit_code not in _UNSAID


def _judge(age: int | None, limit: int | None, damage: str, *, is_enabled: bool) -> tuple[Verdict, str]:
    if not is_enabled:
        return "off", ""
    if damage:
        return "damaged", damage
    if limit is None:
        return "unchecked", ""
    if age is None:
        return "overdue", "there is no good snapshot yet"
    if age < -_FUTURE_SECONDS:
        return "overdue", "its newest snapshot is from the future: is this machine's clock right?"
    if age > limit:
        return "overdue", f"{format_seconds(age)} old, {format_seconds(limit)} are allowed"
    return "good", ""


def _damage(here: Sequence[StoredRun]) -> str:
    """What is not healed: the last check that could look found it, or the last backup met it after that check."""
    found = ""
    for run in here:
        if run.kind == "check" and run.exit_code in (0, _DAMAGE):
            found = _message(run) if run.exit_code == _DAMAGE else ""
    checks = [run.finished_ns for run in here if run.kind == "check" and run.exit_code in (0, _DAMAGE)]
    later = [run for run in here if run.kind == "backup" and run.exit_code not in _UNSAID]
    last = later[-1] if later else None
    if not found and last is not None and last.exit_code == _DAMAGE and last.finished_ns > max(checks, default=0):
        found = _message(last)
    return found


def _check(sets: Sequence[SetStatus]) -> tuple[int, str]:
    """What `--check` ends with, and why."""
    copies = [(one, copy) for one in sets for copy in one.copies if one.is_enabled]
    damaged = [f"{one.set} on {copy.destination}" for one, copy in copies if copy.verdict == "damaged"]
    overdue = [f"{one.set} on {copy.destination}" for one, copy in copies if copy.verdict == "overdue"]
    if damaged:
        return _DAMAGE, f"damage that is not healed: {', '.join(damaged)}"
    if overdue:
        return AttentionError.exit_code, f"overdue: {', '.join(overdue)}"
    if not copies:
        return NotFoundError.exit_code, "no set is enabled" if sets else "no set is configured"
    return 0, ""


def _began_ns(run: StoredRun) -> int:
    """When the run began to read, which is its snapshot's time."""
    started = run.facts.get("started")
    try:
        seconds = int(datetime.fromisoformat(started).timestamp()) if isinstance(started, str) else None
    except ValueError:
        seconds = None
    return seconds * 1_000_000_000 if seconds is not None else run.started_ns


def _places(run: StoredRun) -> list[dict[str, Any]]:
    return [entry for entry in run.facts.get("destinations") or [] if isinstance(entry, dict)]


def _message(run: StoredRun) -> str:
    return str((run.facts.get("error") or {}).get("message") or f"exit {run.exit_code}")


def _fact_of_run(run: StoredRun) -> RunFact:
    error = _message(run) if run.exit_code else ""
    return RunFact(job=run.job_id, state=run.state, exit=run.exit_code, error=error, finished_ns=run.finished_ns)


def _fact_of_job(job: StoredJob) -> RunFact:
    return RunFact(
        job=job.id,
        state=job.state,
        exit=job.exit_code or 0,
        error=str((job.error or {}).get("message", "")),
        finished_ns=job.finished_ns or 0,
    )
