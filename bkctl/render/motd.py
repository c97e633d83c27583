"""How the sets stand in a line or two, for the message at log-in."""

from __future__ import annotations

from backupd.model.status import SetStatus, StatusReport
from backupd.sizes import count
from bkctl.render.status import ago

_MOST_NAMED = 3


def motd_lines(report: StatusReport) -> list[str]:
    """One line where all is well, else what is wrong first, with the command that tells more."""
    enabled = [one for one in report.sets if one.is_enabled]
    copies = [(one, copy) for one in enabled for copy in one.copies]
    if not copies:
        return ["Backups: none. Nothing is backed up here: bkctl set create NAME --source PATH --to DIRECTORY"]
    damaged = [f"{one.set} on {copy.destination}" for one, copy in copies if copy.verdict == "damaged"]
    overdue = [f"{one.set} on {copy.destination}" for one, copy in copies if copy.verdict == "overdue"]
    never = [f"{one.set} on {copy.destination}" for one, copy in copies if copy.snapshot is None]
    wrong = [f"{word} {_named(names)}" for word, names in (("DAMAGED:", damaged), ("OVERDUE:", overdue)) if names]
    if not wrong and never:
        wrong.append(f"never run: {_named(never)}")
    if wrong:
        return [f"Backups: {'; '.join(wrong)}", "  bkctl status says more"]
    ages = [copy.age_seconds for _, copy in copies if copy.age_seconds is not None]
    worst = f", the oldest of {ago(max(ages))} ago" if ages else ""
    return [f"Backups: {count(len(enabled), 'set')} good{worst}{_next(enabled, report.now_ns)}."]


def _named(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _next(sets: list[SetStatus], now_ns: int) -> str:
    coming = [one.next_ns for one in sets if one.next_ns is not None]
    return f"; next in {ago((min(coming) - now_ns) // 1_000_000_000)}" if coming else "; none runs by itself"
