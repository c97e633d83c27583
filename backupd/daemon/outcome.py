"""How a job ended: one destination's last word, or several put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.catalog.jobs import StoredRun
from backupd.errors import BackupError, SomeDestinationsError, StoppedError
from backupd.model.events import Done, Failed
from backupd.model.structs import Struct
from backupd.model.traffic import Traffic
from backupd.store_errors import DestinationAbsentError

GOOD = (0, 3)
_BY_SIGNAL = (130, 143)
_STOPPED = (5, *_BY_SIGNAL)
_SKIPPED = 75
_MOST_CHARACTERS = 8192
"""Of a message that is kept: it may quote what a caller wrote, and that may be of MiBs."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What the catalog keeps of a job's end and its followers hear."""

    exit_code: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: list[str] = []
    traffic: list[Traffic] = []
    """Without a result: what each place of the order cost, in its order, where the job told it."""

    @classmethod
    def of(cls, error: BackupError) -> Outcome:
        """The end of a job that failed with an error."""
        return cls(exit_code=error.exit_code, error=fields(error))

    @classmethod
    def interrupted(cls, message: str) -> Outcome:
        """The end of a job that somebody or something stopped."""
        return cls.of(StoppedError(message, hint="what was stored stays; the next run goes on from it"))

    @classmethod
    def said(cls, last: Done | Failed) -> Outcome:
        """What a job process said last."""
        error = _bounded(last.error) if last.error is not None else None
        traffic = last.traffic if isinstance(last, Failed) else []
        return cls(
            exit_code=last.exit_code, result=last.result, error=error, warnings=last.warnings, traffic=traffic
        )

    @classmethod
    def of_run(cls, run: StoredRun) -> Outcome:
        """What a run at one destination came to, as it was kept."""
        return cls(exit_code=run.exit_code, result={"runs": [run.facts]}, error=run.facts.get("error"))

    def stopped(self, message: str) -> Outcome:
        """The same, but 5 where it says that a signal ended it: who follows the job got none (CLI.md, exit codes)."""
        if self.exit_code not in _BY_SIGNAL:
            return self
        told = Outcome.interrupted(message)
        runs = [{**run, "exit": told.exit_code} for run in (self.result or {}).get("runs") or []]
        result = {**self.result, "runs": runs} if self.result is not None and runs else self.result
        return msgspec.structs.replace(self, exit_code=told.exit_code, result=result, error=told.error)

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
        return Failed(
            exit_code=self.exit_code, error=self.error or {}, warnings=self.warnings, traffic=self.traffic
        )


def fields(error: BackupError) -> dict[str, Any]:
    """An error as JSON output shows it."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "context": error.context,
    }


def _bounded(error: dict[str, Any]) -> dict[str, Any]:
    """An error of a size that can be kept for good; what it is about goes first."""
    if len(msgspec.json.encode(error)) <= _MOST_CHARACTERS:
        return error
    short = {name: str(error.get(name) or "")[: _MOST_CHARACTERS // 4] for name in ("code", "message", "hint")}
    return {**error, **short, "context": {}}


def joined(named: Sequence[tuple[str, Outcome]]) -> Outcome:
    """One backup's outcome of those at each destination, by name in order; all of them on one run of one set.

    Good on all: 0 or 3. Good on some: 4, with the first error. Good on none: the first error and its code. What was
    skipped because the set lets its destination be absent does not count.
    """
    if len(named) == 1:
        return named[0][1]
    counted = [(name, one) for name, one in named if one.exit_code != _SKIPPED] or list(named)
    good = [one for _, one in counted if one.exit_code in GOOD]
    bad = [(name, one) for name, one in counted if one.exit_code not in GOOD]
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
        told = str((worst.error or {}).get("message")).removeprefix(f"{name}: ")
        is_dry = result is not None and result.get("dry_run")
        verb = "would be stored" if is_dry else "stored"
        message = f"{verb} on {len(good)} of {len(counted)} destinations; {name}: {told}"
        failed = SomeDestinationsError(message, hint=(worst.error or {}).get("hint", ""))
        exit_code, error = failed.exit_code, fields(failed)
    else:
        exit_code, error = bad[0][1].exit_code, bad[0][1].error
    if result is not None:
        result["runs"][0]["exit"] = exit_code
    return Outcome(exit_code=exit_code, result=result, error=error, warnings=warnings)


def with_part(outcome: Outcome, destination: str, part: dict[str, Any], exit_code: int | None = None) -> Outcome:
    """A run at one destination with what came after it. part: fields of the destination's entry.

    exit_code: of the run then; None: as it was.
    """
    runs = []
    for run in (outcome.result or {}).get("runs") or []:
        # A dry run has not stored anything anywhere.
        entries = run["destinations"] or [{"name": destination, "verdict": "good", "stored_bytes": 0, "error": None}]
        code = run["exit"] if exit_code is None else exit_code
        runs.append({**run, "exit": code, "destinations": [{**one, **part} for one in entries]})
    return msgspec.structs.replace(outcome, result={**(outcome.result or {}), "runs": runs})


def _destinations(name: str, one: Outcome) -> list[dict[str, Any]]:
    runs = (one.result or {}).get("runs") or []
    found = [entry for run in runs for entry in run.get("destinations") or []]
    is_absent = (one.error or {}).get("code") == DestinationAbsentError.code
    verdict = "skipped" if one.exit_code == _SKIPPED else "absent" if is_absent else "failed"
    cost = {"traffic": msgspec.to_builtins(one.traffic[0])} if one.traffic else {}
    return found or [{"name": name, "verdict": verdict, "stored_bytes": 0, "error": one.error, **cost}]
