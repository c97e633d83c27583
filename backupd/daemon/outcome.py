"""How a job ended: one destination's last word, or several put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backupd.errors import BackupError, SomeDestinationsError, StoppedError
from backupd.model.events import Done, Failed
from backupd.model.orders import Struct

_GOOD = (0, 3)
_STOPPED = (5, 130, 143)
_SKIPPED = 75


class Outcome(Struct, frozen=True, kw_only=True):
    """What the catalog keeps of a job's end and its followers hear."""

    exit_code: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: list[str] = []

    @classmethod
    def of(cls, error: BackupError) -> Outcome:
        """The end of a job that failed with an error."""
        return cls(exit_code=error.exit_code, error=fields(error))

    @classmethod
    def interrupted(cls, message: str, exit_code: int = StoppedError.exit_code) -> Outcome:
        """The end of a job that somebody or something stopped."""
        error = StoppedError(message, hint="what was stored stays; the next run goes on from it")
        return cls(exit_code=exit_code, error=fields(error))

    @classmethod
    def said(cls, last: Done | Failed) -> Outcome:
        """What a job process said last."""
        return cls(exit_code=last.exit_code, result=last.result, error=last.error, warnings=last.warnings)

    @property
    def was_stopped(self) -> bool:
        """Whether it ended before its work was done."""
        return self.exit_code in _STOPPED

    @property
    def problem_count(self) -> int:
        """Entries that went wrong, as far as the result tells."""
        runs = (self.result or {}).get("runs") or []
        return sum(run.get("problems", {}).get("count", 0) for run in runs)

    @property
    def sentence(self) -> str:
        """For the log."""
        message = (self.error or {}).get("message", "")
        return f"ended with exit {self.exit_code}" + (f": {message}" if message else "")

    def last_word(self) -> Done | Failed:
        """As followers hear it."""
        if self.result is not None:
            return Done(exit_code=self.exit_code, result=self.result, warnings=self.warnings, error=self.error)
        return Failed(exit_code=self.exit_code, error=self.error or {}, warnings=self.warnings)


def fields(error: BackupError) -> dict[str, Any]:
    """An error as JSON output shows it."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "context": error.context,
    }


def joined(named: Sequence[tuple[str, Outcome]]) -> Outcome:
    """One backup's outcome of those at each destination, by name in order; all of them on one run of one set.

    Good on all: 0 or 3. Good on some: 4, with the first error. Good on none: the first error and its code. What was
    skipped because the set lets its destination be absent does not count.
    """
    if len(named) == 1:
        return named[0][1]
    counted = [(name, one) for name, one in named if one.exit_code != _SKIPPED] or list(named)
    good = [one for _, one in counted if one.exit_code in _GOOD]
    bad = [(name, one) for name, one in counted if one.exit_code not in _GOOD]
    warnings = list(dict.fromkeys(warning for _, one in named for warning in one.warnings))
    runs = [run for one in [*good, *(o for _, o in bad)] for run in (one.result or {}).get("runs") or []][:1]
    destinations = [entry for name, one in named for entry in _destinations(name, one)]
    result = {**((good or [named[0][1]])[0].result or {}), "runs": [{**runs[0], "destinations": destinations}]} if (
        runs
    ) else None
    if not bad:
        exit_code, error = max(one.exit_code for one in good), next((o.error for o in good if o.error), None)
    elif good:
        name, worst = bad[0]
        message = f"stored on {len(good)} of {len(counted)} destinations; {name}: {(worst.error or {}).get('message')}"
        failed = SomeDestinationsError(message, hint=(worst.error or {}).get("hint", ""))
        exit_code, error = failed.exit_code, fields(failed)
    else:
        exit_code, error = bad[0][1].exit_code, bad[0][1].error
    if result is not None:
        result["runs"][0]["exit"] = exit_code
    return Outcome(exit_code=exit_code, result=result, error=error, warnings=warnings)


def _destinations(name: str, one: Outcome) -> list[dict[str, Any]]:
    runs = (one.result or {}).get("runs") or []
    found = [entry for run in runs for entry in run.get("destinations") or []]
    verdict = "skipped" if one.exit_code == _SKIPPED else "failed"
    return found or [{"name": name, "verdict": verdict, "stored_bytes": 0, "error": one.error}]
