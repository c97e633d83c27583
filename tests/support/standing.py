"""How sets stand, made by hand."""

from __future__ import annotations

from backupd.model.status import CopyStatus, Grade, SetStatus, Verdict

_HOUR_SECONDS = 3600
_GRADE = Grade(automatic=True, versioned=True, verified=True, restored=True, off_site=True)


def a_copy(name: str, verdict: Verdict, age_hours: int | None = None, reason: str = "") -> CopyStatus:
    age = age_hours * _HOUR_SECONDS if age_hours is not None else None
    return CopyStatus(destination=name, place=f"/{name}", verdict=verdict, reason=reason, age_seconds=age)


def a_set(*copies: CopyStatus, name: str = "home", identity: str = "b1") -> SetStatus:
    return SetStatus(
        set=name,
        id=identity,
        is_enabled=True,
        max_age=None,
        max_age_seconds=None,
        underway=None,
        next_ns=None,
        next_schedule=None,
        last_run=None,
        key="proved",
        grade=_GRADE,
        copies=list(copies),
    )
