"""How the sets stand: a table for people, JSON, and the one line of a Nagios plugin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from backupd.model.jobs import JobKind
from backupd.model.quotas import AccountUse
from backupd.model.status import CopyStatus, Coverage, Grade, QuotaUse, RunFact, SetStatus, StatusReport, Underway
from backupd.sizes import count, format_bytes, parse_duration
from bkctl.render import areas, forecast
from bkctl.render.given_up import given_up_text, ways_to_see
from bkctl.render.table import table
from bkctl.render.times import rfc3339
from bkctl.text import clip, moment

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
"""Exit codes of a Nagios plugin."""

_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_MOST_NAMES = 4
_NAME_CELLS = 20
_QUOTA_PERCENT = (95, 80)
_SOME_EXIT = 4
"""Good at some destinations, not at all of them."""
_STOPPED = ("failed", "interrupted", "interrupted_with_errors")
_UNITS = ((604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "min"))


def document(report: StatusReport) -> dict[str, Any]:
    """The report as JSON output shows it."""
    return {
        "time": rfc3339(report.now_ns),
        "sets": [_set_document(one) for one in report.sets],
        "next": None,
        "settings_warnings": report.warnings,
        "account": _fields(report.account) if report.account is not None else None,
    }


def status_lines(report: StatusReport) -> list[str]:
    """A table that is read in five seconds, then what asks for a hand, then the sum."""
    if not report.sets:
        return [
            *(f"Settings: {text}" for text in report.warnings),
            "Nothing is backed up: there is no set. Make one: bkctl set create NAME --source PATH --to DIRECTORY",
        ]
    rows = [_row(one, copy, report.now_ns) for one in report.sets for copy in one.copies]
    lines = table(["SET", "DESTINATION", "LAST GOOD", "LIMIT", "NEXT", "VERIFIED", "STATE"], rows)
    notes = [*(f"Settings: {text}" for text in report.warnings)]
    enabled = [one for one in report.sets if one.is_enabled]
    notes += [line for one in enabled for line in _notes(one)]
    notes += [line for one in enabled for copy in one.copies for line in _coverage_lines(one, copy)]
    notes += [*_account_lines(report.account), *_quota_lines(enabled), *_shared_lines(enabled), *_grade_lines(enabled)]
    notes += [*forecast.lines(enabled, report.now_ns), *areas.lines(enabled, report.now_ns, ago)]
    return [*lines, *([""] if notes else []), *notes, "", _sum_line(report)]


def nagios(report: StatusReport) -> tuple[int, str]:
    """Exit code and line, with performance data: for each copy its age in seconds and the limit."""
    copies = [(one, copy) for one in report.sets if one.is_enabled for copy in one.copies]
    level, text = OK, _counted(copies)
    failed = [one for one in report.sets if one.is_enabled and one.last_run and _did_not_end_well(one.last_run)]
    if report.check_exit:
        level, text = CRITICAL, report.check_message
    elif failed:
        fact = failed[0].last_run
        level, text = WARNING, f"last run of {_names(failed)} did not end well: {fact.error if fact else ''}"
    elif report.warnings:
        level, text = WARNING, f"settings: {report.warnings[0]}"
    data = [
        f"'{one.set}@{copy.destination}'={max(0, copy.age_seconds)}s;;{_limit(one)};0"
        for one, copy in copies
        if copy.age_seconds is not None
    ]
    counts = {name: sum(copy.verdict == name for _, copy in copies) for name in ("overdue", "damaged")}
    data += [f"{name}={number};;0;0" for name, number in counts.items()]
    return level, f"{nagios_line(level, text)} | {' '.join(data)}"


def _did_not_end_well(run: RunFact) -> bool:
    return run.state in _STOPPED or run.exit == _SOME_EXIT


def nagios_line(level: int, text: str) -> str:
    """One line; what would end it or begin the performance data is taken out."""
    return f"BACKUPD {_WORDS[level]} - {' '.join(text.replace('|', '/').split())}"


def ago(seconds: int) -> str:
    """As `40 s`, `12 min`, `3 h`, `2 d`: the largest unit that fits twice, else the one below."""
    for unit, name in _UNITS:
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{max(0, seconds)} s"


def _row(one: SetStatus, copy: CopyStatus, now_ns: int) -> list[str]:
    verified = (now_ns - copy.verified_ns) // 1_000_000_000 if copy.verified_ns is not None else None
    state = copy.verdict.upper() if copy.verdict in ("overdue", "damaged") else _unalarming(copy)
    if one.owner is not None:
        state = f"of {clip(one.owner, _NAME_CELLS)}"
    if copy.seeding_ns is not None:
        state += f", seeding since {ago((now_ns - copy.seeding_ns) // 1_000_000_000)}"
    if one.underway is not None and one.is_enabled:
        state += f", {_doing(one.underway)}"
    return [
        clip(one.set, _NAME_CELLS),
        clip(copy.destination, _NAME_CELLS),
        ago(copy.age_seconds) + " ago" if copy.age_seconds is not None else "never",
        _limit_text(one),
        _next_text(one, now_ns),
        ago(verified) + " ago" if verified is not None else "never",
        state,
    ]


def _unalarming(copy: CopyStatus) -> str:
    """The verdict; where no age is asked of it, first that there is nothing there, and why."""
    run = copy.last_run
    if copy.verdict != "unchecked" or copy.snapshot is not None:
        return copy.verdict
    if run is None:
        return "never backed up"
    return run.state.replace("_", " ") if run.exit else "nothing stored"


def _next_text(one: SetStatus, now_ns: int) -> str:
    if one.is_continuous:
        return "on change"
    if one.next_ns is None:
        return "by hand" if one.is_enabled else "-"
    return f"in {ago((one.next_ns - now_ns) // 1_000_000_000)}" if one.next_ns > now_ns else "now"


_VERBS: dict[JobKind, str] = {
    "backup": "running",
    "check": "checking",
    "restore": "restoring",
    "replicate": "copying",
    "free": "freeing",
    "purge": "purging",
}


def _doing(underway: Underway) -> str:
    verb = _VERBS[underway.kind]
    if underway.state in ("queued", "paused"):
        return underway.state
    return verb + (f" {underway.share:.0%}" if underway.share is not None else "")


def _notes(one: SetStatus) -> list[str]:
    notes = [
        f"{one.set} on {copy.destination}: {copy.verdict}: {copy.reason}"
        for copy in one.copies
        if copy.verdict in ("overdue", "damaged")
    ]
    notes += [
        f"{one.set} on {copy.destination}: locked until {moment(copy.locked_until)} at least"
        for copy in one.copies
        if copy.locked_until is not None
    ]
    notes += [
        f"{one.set} on {copy.destination}: {copy.locks_error}"
        for copy in one.copies
        if copy.locks_error is not None
    ]
    for copy in one.copies:
        if copy.needs_decision is not None:
            job = copy.needs_decision[:9]
            notes += [
                f"{one.set} on {copy.destination}: needs a decision: what the last check would give up as lost",
                f"  give it up: bkctl check --apply {job}; leave it: bkctl check --discard {job}",
            ]
        if copy.given_up is not None:
            lost = given_up_text(msgspec.to_builtins(copy.given_up))
            notes += [f"{one.set} on {copy.destination}: given up as lost: {lost}"]
            notes += [ways_to_see(one.set, copy.destination)]
    seeded = [copy.destination for copy in one.copies if copy.seeding_ns is not None]
    notes += [f"{one.set}: when its copy has arrived: bkctl destination adopt {name}" for name in seeded]
    run = one.last_run
    if run is not None and run.exit == _SOME_EXIT:
        notes += [f"{one.set}: last run did not reach all destinations: {run.error}", f"  bkctl job log {run.job[:9]}"]
    elif run is not None and run.state in _STOPPED:
        notes += [f"{one.set}: last run {run.state.replace('_', ' ')}: {run.error}", f"  bkctl job log {run.job[:9]}"]
    elif not notes and any(copy.verdict == "unchecked" and copy.snapshot is None for copy in one.copies):
        notes.append(f"{one.set}: not stored everywhere yet: bkctl backup {one.set}")
    return notes


def _coverage_lines(one: SetStatus, copy: CopyStatus) -> Iterator[str]:
    covered = copy.coverage
    if covered is not None and covered.verified_bytes:
        share = covered.verified_bytes / max(1, covered.total_bytes)
        oldest = f"the oldest read {covered.oldest[:10]}" if covered.oldest is not None else (
            f"{format_bytes(covered.never_bytes)} never read"
        )
        within = f"in the last {count(covered.days, 'day')}"
        yield f"{one.set} on {copy.destination}: {share:.0%} verified {within}, {oldest}"


def _quota_lines(sets: Sequence[SetStatus]) -> list[str]:
    """Each quota once; those of which 80 or 95 % are used, or all, say so first."""
    found: dict[str, QuotaUse] = {}
    for one in sets:
        for copy in one.copies:
            for use in copy.quotas:
                found[f"{one.set} on {copy.destination}" if use.of == "set" else copy.destination] = use
    return [_quota_line(whose, use) for whose, use in found.items()]


def _account_lines(use: AccountUse | None) -> list[str]:
    """The account's quota, and which sets it does not know of yet."""
    if use is None:
        return []
    more = f"  counted by their next runs: {_listed(use.uncounted)}"
    return [_quota_line("the account", use), *([more] if use.uncounted else [])]


def _quota_line(whose: str, use: AccountUse | QuotaUse) -> str:
    percent = 100 * use.used_bytes // use.quota_bytes
    mark = next((f"over {level} %: " for level in _QUOTA_PERCENT if percent >= level), "")
    used, quota, left = map(format_bytes, (use.used_bytes, use.quota_bytes, use.left_bytes))
    text = f"{used} of {quota} used, {left} left"
    return f"Quota of {whose}: {'reached: ' if not use.left_bytes else mark}{text}"


def _shared_lines(sets: Sequence[SetStatus]) -> list[str]:
    """What many sets may have in common: a line for all of them, the command for the first."""
    lines: list[str] = []
    unchecked = [one for one in sets if any(copy.verdict == "unchecked" for copy in one.copies)]
    unproved = [one for one in sets if one.key == "unproved"]
    missing = [one for one in sets if one.key == "missing"]
    if unchecked:
        lines.append(f"Age unchecked: {_names(unchecked)}")
        by_hand = next((one.set for one in unchecked if not one.is_continuous), None)
        if by_hand is not None:
            lines.append(f"  have it run by itself: bkctl schedule add {by_hand} --daily 02:00")
        lines.append(f"  or say how old is too old: bkctl set edit {unchecked[0].set} --max-age 26h")
    if missing:
        lines.append(f"Key not kept here: {_names(missing)}; no run can write. bkctl doctor says more")
    if unproved:
        lines.append(f"Key never proved: {_names(unproved)}")
        lines.append(f"  print it, keep it apart: bkctl key sheet {unproved[0].set}")
        lines.append(f"  then type it in from the paper: bkctl key prove {unproved[0].set}")
    return lines


def _grade_lines(sets: Sequence[SetStatus]) -> list[str]:
    stored = [one for one in sets if one.grade.versioned]
    lacking = {
        "Not automatic": [one for one in stored if not one.grade.automatic],
        "No off-site copy": [one for one in stored if not one.grade.off_site],
        "Never verified": [one for one in stored if not one.grade.verified],
        "Never restored": [one for one in stored if not one.grade.restored],
    }
    return [f"{what}: {_names(found)}" for what, found in lacking.items() if found]


def _sum_line(report: StatusReport) -> str:
    copies = [(one, copy) for one in report.sets if one.is_enabled for copy in one.copies]
    others = sum(one.owner is not None for one in report.sets)
    off = sum(not one.is_enabled for one in report.sets) - others
    rest = (f"; {count(off, 'set')} off" if off else "") + (f"; {others} of other machines" if others else "")
    return f"{_counted(copies)}{rest}."


def _counted(copies: Sequence[tuple[SetStatus, CopyStatus]]) -> str:
    words = ("damaged", "overdue", "unchecked", "good")
    counts = {word: sum(copy.verdict == word for _, copy in copies) for word in words}
    told = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    sets = len({one.id for one, _ in copies})
    return f"{count(sets, 'set')}, {count(len(copies), 'copy', 'copies')}" + (f": {told}" if told else "")


def _names(sets: Sequence[SetStatus]) -> str:
    return _listed([one.set for one in sets])


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _limit_text(one: SetStatus) -> str:
    """As the set says it; as `--max-age` says it where that stands in its place."""
    if one.max_age is not None and parse_duration(one.max_age) == one.max_age_seconds:
        return one.max_age
    return ago(one.max_age_seconds) if one.max_age_seconds is not None else "-"


def _limit(one: SetStatus) -> str:
    return str(one.max_age_seconds) if one.max_age_seconds is not None else ""


def _set_document(one: SetStatus) -> dict[str, Any]:
    return {
        "set": one.set,
        "id": one.id,
        "enabled": one.is_enabled,
        "max_age": one.max_age,
        "max_age_seconds": one.max_age_seconds,
        "underway": _underway_document(one.underway),
        "next_run": {"begins": rfc3339(one.next_ns), "schedule": one.next_schedule} if one.next_ns else None,
        "last_run": _run_document(one.last_run),
        "key": one.key,
        "grade": _fields(one.grade),
        "destinations": [_copy_document(copy) for copy in one.copies],
        "owner": one.owner,
    }


def _fields(value: AccountUse | Coverage | Grade | QuotaUse) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _copy_document(copy: CopyStatus) -> dict[str, Any]:
    return {
        "destination": copy.destination,
        "place": copy.place,
        "verdict": copy.verdict,
        "reason": copy.reason or None,
        "snapshot": copy.snapshot,
        "time": rfc3339(copy.snapshot_ns) if copy.snapshot_ns is not None else None,
        "age_seconds": copy.age_seconds,
        "last_run": _run_document(copy.last_run),
        "verified": rfc3339(copy.verified_ns) if copy.verified_ns is not None else None,
        "verified_bytes": copy.verified_bytes,
        "coverage": _fields(copy.coverage) if copy.coverage is not None else None,
        "needs_decision": copy.needs_decision,
        "given_up": msgspec.to_builtins(copy.given_up),
        "stored_bytes": copy.stored_bytes,
        "free_bytes": copy.free_bytes,
        "files": copy.files,
        "source_bytes": copy.source_bytes,
        "areas": areas.document(copy.areas),
        "locked_until": copy.locked_until,
        "locks_error": copy.locks_error,
        "quotas": [_fields(use) for use in copy.quotas],
        **forecast.fields(copy),
        "seeding": rfc3339(copy.seeding_ns) if copy.seeding_ns is not None else None,
        "traffic": msgspec.to_builtins(copy.traffic),
    }


def _run_document(fact: RunFact | None) -> dict[str, Any] | None:
    if fact is None:
        return None
    return {
        "job": fact.job,
        "state": fact.state,
        "exit": fact.exit,
        "error": fact.error or None,
        "finished": rfc3339(fact.finished_ns),
    }


def _underway_document(underway: Underway | None) -> dict[str, Any] | None:
    if underway is None:
        return None
    return {"job": underway.job, "kind": underway.kind, "state": underway.state, "share": underway.share}
