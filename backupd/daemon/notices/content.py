"""What a notice says of a job, of a set that is overdue, of a day; pure. All texts are one line each and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from backupd.catalog.jobs import StoredJob
from backupd.clock import to_datetime
from backupd.model.notices import (
    DigestLine,
    KeyUse,
    NoticeCommand,
    NoticeContent,
    NoticeDestination,
    NoticeError,
    NoticeEvent,
    needs_look,
)
from backupd.model.status import CopyStatus, SetStatus
from backupd.model.striking import strike
from backupd.rules.names import NAME_LIMIT, short
from backupd.rules.notice_rules import shown
from backupd.sizes import count, format_seconds

_MOST_TEXT, MOST_TITLE = 600, 150
_MOST_LINES = 20
_MOST_SETS = 200
TOLD_KINDS = ("backup", "check", "replicate", "free", "purge")
"""Of jobs; who restores waits for it."""
_EVENTS: Mapping[str, NoticeEvent] = {
    "completed": "success",
    "warning": "warning",
    "interrupted": "warning",
    "interrupted_with_errors": "failure",
    "failed": "failure",
    "missed": "missed",
}
_COUNTED: Mapping[NoticeEvent, str] = {"success": "good", "warning": "warned", "failure": "failed", "missed": "missed"}
_SAID = {
    "completed": "is done",
    "warning": "is done, with warnings",
    "interrupted": "was interrupted",
    "interrupted_with_errors": "was interrupted, with errors",
    "failed": "failed",
    "missed": "was missed",
    "running": "has begun",
}
_TOLD = {"completed": "good", "warning": "with warnings", "missed": "missed", "running": "begun"}
_DAMAGE = 20
_FACTS = ("files", "bytes", "fewer_files")
_KEY_USES = {
    "show": ("key shown", "was shown the key"),
    "sheet": ("key sheet printed", "printed the sheet with the key"),
    "add": ("key added", "added a key"),
    "remove": ("key removed", "removed a key"),
    "password": ("password changed", "changed the password"),
    "rotate": ("keys replaced", "replaced the keys"),
    "credentials": ("login changed", "changed the login"),
}
"""For a title and for a sentence."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where notices come from."""

    host: str
    zone: tzinfo


def event_of(job: StoredJob) -> NoticeEvent | None:
    """What the end of a job is; None: nobody is told."""
    return _EVENTS.get(job.state) if job.kind in TOLD_KINDS else None


def of_job(
    job: StoredJob, event: NoticeEvent, place: Place, now_ns: int, stands: SetStatus | None = None
) -> NoticeContent:
    """Of a job that begins, has ended or was missed. stands: how its set does; None: that is not told."""
    state = "running" if event == "start" else job.state
    run = _run(job)
    name = as_name(job.set_name or "-")
    error = _error(job.error) if event != "start" else None
    kind = {"check": "check", "replicate": "replication", "free": "freeing"}.get(job.kind, job.kind)
    told = "interrupted" if "interrupted" in state else _TOLD.get(state, state)
    summary = f"The {kind} of {name} on {place.host} {_SAID.get(state, state)}"
    if event == "missed":
        summary = f"A run of {name} on {place.host} was due {time_of(job.created_ns, place)} and never began"
    summary += f": {error.message}" if error is not None else "."
    problems = run.get("problems")
    return NoticeContent(
        id=f"{job.id}-{'start' if event == 'start' else 'end'}",
        event=event,
        host=place.host,
        time=time_of(now_ns, place),
        title=one_line(f"{name}: {kind} {told} ({place.host})", MOST_TITLE),
        summary=one_line(summary),
        set=job.set_name and name,
        job=job.id,
        kind=job.kind,
        state=state,
        started=time_of(job.started_ns, place) if job.started_ns is not None else None,
        finished=time_of(job.finished_ns, place) if job.finished_ns is not None and event != "start" else None,
        exit=job.exit_code if event != "start" else None,
        snapshot=_word(run.get("snapshot")),
        facts={part: run[part] for part in _FACTS if isinstance(run.get(part), dict)} | _kinds(problems),
        destinations=_with_last_good(_destinations(run), event, job, stands),
        error=error,
        problem_count=_count(problems.get("count")) if isinstance(problems, dict) else 0,
        warnings=_lines(job.warnings),
        commands=[] if event == "start" else _commands(job, name),
    )


def of_overdue(
    one: SetStatus, copies: Sequence[CopyStatus], identity: str, place: Place, now_ns: int
) -> NoticeContent:
    """Of a set that has no good snapshot of an age that it allows, at some of its destinations."""
    name = as_name(one.set)
    names = ", ".join(copy.destination for copy in copies)
    commands = [
        NoticeCommand(purpose="See how it stands", command=f"bkctl status {name}"),
        NoticeCommand(purpose="Run it now", command=f"bkctl backup {name}"),
    ]
    if one.underway is not None:
        word = f"bkctl job show {short(one.underway.job)}"
        commands.insert(1, NoticeCommand(purpose="A job of it is under way", command=word))
    return NoticeContent(
        id=identity,
        event="overdue",
        host=place.host,
        time=time_of(now_ns, place),
        title=one_line(f"{name}: overdue ({place.host})", MOST_TITLE),
        summary=one_line(f"{name} on {place.host} has no backup that is new enough on {names}."),
        set=name,
        destinations=[_stands(copy) for copy in copies][:_MOST_LINES],
        commands=commands,
    )


def of_digest(
    jobs: Iterable[tuple[str, str, int]],
    sets: Sequence[SetStatus],
    identity: str,
    place: Place,
    times_ns: tuple[int, int],
) -> NoticeContent:
    """Of what happened between two times. jobs: set's id, state and how many of its jobs ended so."""
    counted: dict[str, dict[str, int]] = {one.id: {} for one in sets}
    for set_id, state, number in jobs:
        kind = _COUNTED.get(_EVENTS[state]) if state in _EVENTS else None
        if set_id in counted and kind is not None:
            counted[set_id][kind] = counted[set_id].get(kind, 0) + number
    lines = [
        DigestLine(
            set=as_name(one.set),
            **counted[one.id],
            destinations=[_stands(copy) for copy in one.copies][:_MOST_LINES],
        )
        for one in sets
    ]
    lines.sort(key=lambda line: not needs_look(line))
    bad = [line for line in lines if needs_look(line)]
    good = sum(line.good + line.warned for line in lines)
    runs = sum(sum(counts.values()) for counts in counted.values())
    told = _stand(len(bad), len(lines))
    good_runs = f"{good} of {count(runs, 'run')} {'was' if runs == 1 else 'were'} good"
    since, until = (minute_of(one, place) for one in times_ns)
    commands = [NoticeCommand(purpose="See how all sets stand", command="bkctl status")]
    commands += [
        NoticeCommand(purpose=f"See what went wrong with {line.set}", command=f"bkctl job list {line.set} --since 24h")
        for line in bad[:3]
    ]
    return NoticeContent(
        id=identity,
        event="digest",
        host=place.host,
        time=time_of(times_ns[1], place),
        title=one_line(f"Backups of {place.host}: {told}", MOST_TITLE),
        summary=f"From {since} to {until}: {good_runs}; {told}.",
        started=time_of(times_ns[0], place),
        finished=time_of(times_ns[1], place),
        digest=lines[:_MOST_SETS],
        commands=commands,
    )


def of_key(use: KeyUse, identity: str, place: Place, now_ns: int) -> NoticeContent:
    """Of a key that somebody was shown or changed; none of it stands in what is told."""
    title, said = _KEY_USES[use.verb]
    name = as_name(use.set_name) if use.set_name is not None else None
    where = f"the repository of {name}" if name is not None else "a repository"
    where += f" at {as_name(use.destination)}" if use.destination is not None else ""
    commands = _after_key(use, name) if name is not None else []
    if use.verb == "credentials" and use.destination is not None:
        name = as_name(use.destination)
        where = f"the destination {name}"
        commands = [
            NoticeCommand(purpose="See what it is now", command=f"bkctl destination show {name}"),
            NoticeCommand(purpose="Try it", command=f"bkctl destination test {name}"),
        ]
    slot = f" {short(use.slot)}" * bool(use.slot) + f" ({use.label})" * bool(use.label)
    user = one_line(use.user, 64)
    summary = f"{user} {said}{slot} of {where} on {place.host}."
    if not use.is_whole:
        title += "?"
        summary = f"bkctl key {use.verb} of {user} for {where} on {place.host} broke off; it may be done all the same."
    return NoticeContent(
        id=identity,
        event="key",
        host=place.host,
        time=time_of(now_ns, place),
        title=one_line(f"{name or 'repository'}: {title} ({place.host})", MOST_TITLE),
        summary=one_line(summary),
        set=name if use.verb != "credentials" else None,
        user=user,
        commands=commands,
    )


def of_test(name: str, identity: str, place: Place, now_ns: int) -> NoticeContent:
    """Of `notice test`."""
    return NoticeContent(
        id=identity,
        event="test",
        host=place.host,
        time=time_of(now_ns, place),
        title=f"Test of the notice {name} ({place.host})",
        summary=f"The notice {name} of backupd on {place.host} reaches you. Nothing happened; somebody tried it.",
        commands=[NoticeCommand(purpose="See all notices", command="bkctl notice list")],
    )


def encoded(content: NoticeContent) -> str:
    """As the outbox keeps it, and as webhooks get it."""
    return msgspec.json.encode(content).decode()


def _stands(copy: CopyStatus) -> NoticeDestination:
    detail = copy.reason or _last_good(copy)
    return NoticeDestination(
        name=as_name(copy.destination), verdict=copy.verdict, detail=one_line(detail), is_of_run=False
    )


def _last_good(copy: CopyStatus) -> str:
    return f"last good {format_seconds(max(copy.age_seconds, 0))} ago" if copy.age_seconds is not None else ""


def _run(job: StoredJob) -> dict[str, Any]:
    runs = (job.result or {}).get("runs")
    found = runs[0] if isinstance(runs, list) and runs else {}
    return found if isinstance(found, dict) else {}


def _destinations(run: Mapping[str, Any]) -> list[NoticeDestination]:
    found: list[NoticeDestination] = []
    entries = run.get("destinations")
    for entry in entries if isinstance(entries, list) else []:
        error = entry.get("error") if isinstance(entry.get("error"), dict) else {}
        found.append(
            NoticeDestination(
                name=as_name(str(entry.get("name"))),
                verdict=one_line(str(entry.get("verdict")), 64),
                detail=one_line(str((error or {}).get("message") or "")),
            )
        )
    return found[:_MOST_LINES]


def _with_last_good(
    found: list[NoticeDestination], event: NoticeEvent, job: StoredJob, stands: SetStatus | None
) -> list[NoticeDestination]:
    """Of what went wrong also how the set stands at all its destinations; where the run never got to, that alone."""
    if stands is None or job.kind != "backup":
        return found
    told = {one.name: one for one in found}
    made: list[NoticeDestination] = []
    for copy in stands.copies[:_MOST_LINES]:
        name = as_name(copy.destination)
        age = _last_good(copy)
        one = told.pop(name, None)
        if one is None and event == "missed":
            one = NoticeDestination(name=name, verdict="missed")
        if one is None:
            one, parts = _stands(copy), ["this run did not get there", copy.reason or age or "no good backup yet"]
        else:
            parts = [one.detail, age or "no good backup yet"]
        made.append(msgspec.structs.replace(one, detail=one_line("; ".join(part for part in parts if part))))
    return [*made, *told.values()][:_MOST_LINES]


def _error(error: Mapping[str, Any] | None) -> NoticeError | None:
    if not error:
        return None
    return NoticeError(
        code=one_line(str(error.get("code") or ""), 64),
        message=one_line(str(error.get("message") or "no message")),
        hint=one_line(str(error.get("hint") or "")),
    )


def _commands(job: StoredJob, name: str) -> list[NoticeCommand]:
    found: list[NoticeCommand] = []
    if job.state != "missed":
        found.append(NoticeCommand(purpose="See what it said", command=f"bkctl job log {short(job.id)}"))
    if job.set_name is None:
        return found
    found.append(NoticeCommand(purpose="See how the set stands", command=f"bkctl status {name}"))
    decisions = (job.result or {}).get("decisions")
    named = [one.get("command") for one in decisions if isinstance(one, dict)] if isinstance(decisions, list) else []
    if any(named):
        command = next(one for one in named if one)
        found.append(NoticeCommand(purpose="Give up what is lost, once you have looked", command=as_name(str(command))))
    elif job.exit_code == _DAMAGE:
        found.append(NoticeCommand(purpose="Heal what is damaged", command=f"bkctl check {name} --repair"))
    elif job.kind == "backup" and job.state not in ("completed", "warning"):
        found.append(NoticeCommand(purpose="Run it again", command=f"bkctl backup {name}"))
    return found


def _after_key(use: KeyUse, name: str) -> list[NoticeCommand]:
    """As docs/operations.md has it for a key that somebody else knows."""
    found = [NoticeCommand(purpose="See what opens it now", command=f"bkctl key list {name}")]
    if use.verb not in ("show", "sheet", "add") or not use.slot:
        return found
    away = "If nobody was to add it: take it away"
    if use.verb != "add":
        away = "Then take the old one away"
        purpose = "If nobody was to see it: make another key"
        found.append(NoticeCommand(purpose=purpose, command=f"bkctl key add {name}"))
    found.append(NoticeCommand(purpose=away, command=f"bkctl key remove {as_name(short(use.slot))} {name}"))
    purpose = "Then new keys for all that is written from now on"
    return [*found, NoticeCommand(purpose=purpose, command=f"bkctl key rotate {name}")]


def _lines(texts: Sequence[str]) -> list[str]:
    kept = [one_line(text) for text in texts[:_MOST_LINES]]
    return kept + [f"and {len(texts) - _MOST_LINES} more"] * (len(texts) > _MOST_LINES)


def one_line(text: str, most: int = _MOST_TEXT) -> str:
    """Of a text that comes from anywhere: one line, cut."""
    return shown(str(strike(text[: most * 4])), most)


def as_name(text: str) -> str:
    """A name as it is: commands have it, too."""
    return shown(text, NAME_LIMIT)


def _kinds(problems: object) -> dict[str, Any]:
    """How many problems there are of each kind, and how many the set's rules pass over."""
    if not isinstance(problems, dict):
        return {}
    found = {name: problems.get(name) for name in ("kinds", "tolerated")}
    return {f"problem_{name}": told for name, told in found.items() if isinstance(told, dict) and told}


def _word(value: object) -> str | None:
    return one_line(value, 64) if isinstance(value, str) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def time_of(time_ns: int, place: Place) -> str:
    """A time as RFC 3339 in the zone of the place."""
    moment: datetime = to_datetime(time_ns).astimezone(place.zone)
    return moment.isoformat(timespec="seconds")


def minute_of(time_ns: int, place: Place) -> str:
    """A time of the zone of the place, as sentences have it."""
    return time_of(time_ns, place)[:16].replace("T", " ")


def _stand(bad: int, all_of_them: int) -> str:
    """How sets stand, in words."""
    if not all_of_them:
        return "there is no set"
    if bad:
        return f"{bad} of {count(all_of_them, 'set')} {'needs' if bad == 1 else 'need'} a look"
    return "the one set is well" if all_of_them == 1 else f"all {all_of_them} sets are well"
