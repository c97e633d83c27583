"""Write docs/errors.md from the files of errors in backupd/: `python -m tests.house.errors_reference`."""

from __future__ import annotations

import inspect
from pathlib import Path

from backupd import command_errors, errors, notice_errors, store_errors
from backupd.errors import BackupError

FILE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

EXIT_CODES: tuple[tuple[int, str, str], ...] = (
    (0, "all that was asked was done; also: there was nothing to change", ""),
    (1, "failed, and no other code says it better", "no"),
    (2, "usage or a setting is wrong, or a name fits several things", "no"),
    (
        3,
        "done, but look: entries were left out, a restored entry lost metadata, or a command of the set failed"
        " that it only warns about",
        "look",
    ),
    (4, "done on some destinations, not on all", "yes"),
    (5, "stopped before the end; what was stored stays and the next run goes on", "yes"),
    (10, "not found: source, place, repository, set, snapshot, path or key", "no"),
    (11, "busy: a job of that set is running", "yes"),
    (12, "wrong key or password, or none at hand", "no"),
    (13, "the daemon or the job process is gone", "yes"),
    (14, "refused: no right to do that", "no"),
    (15, "the destination failed or refused; nothing of this run counts there", "see the error"),
    (16, "no space: at the destination, the restore target or the state directory", "no"),
    (17, "conflict: what is asked contradicts what is there", "no"),
    (18, "a newer version of the program is needed; nothing was touched", "no"),
    (20, "damage was found and is not healed", "no"),
    (21, "attention: a backup is overdue, or something was found wanting", "look"),
    (22, "an answer or a secret is needed and there is no terminal", "no"),
    (23, "accepted, and waits: for other writers, or until what is locked at the store may go", "later"),
    (75, "skipped: a condition was not met", "later"),
    (124, "`--timeout` ran out", "yes"),
    (130, "cancelled by SIGINT", "yes"),
    (143, "cancelled by SIGTERM", "yes"),
)
"""(code, meaning, whether to try again) of all exit codes that the commands of this version end with."""

_FILES = (errors.__name__, store_errors.__name__, notice_errors.__name__, command_errors.__name__)

_INTRODUCTION = """\
# Exit codes and errors

Generated from backupd/errors.py, backupd/store_errors.py, backupd/notice_errors.py and backupd/command_errors.py by
`python -m tests.house.errors_reference`; a test keeps it in step.

Scripts go by the exit code, and by `error.code` of `--json` where they need to know more. A code that is not listed
here is a failure. New codes may be added; none changes its meaning.

## Exit codes

| exit | meaning | again? |
|---|---|---|
"""

_ERRORS = """
## Errors

`error.retryable` of `--json` is the column "again".

| code | exit | again | meaning |
|---|---|---|---|
"""


def error_classes() -> list[type[BackupError]]:
    """All errors of the program, in the order of these files."""
    found: list[type[BackupError]] = [BackupError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return sorted(
        {kind for kind in found if kind.__module__ in _FILES},
        key=lambda kind: (_FILES.index(kind.__module__), inspect.getsourcelines(kind)[1]),
    )


def render() -> str:
    """The whole document."""
    codes = "".join(f"| {code} | {meaning} | {again} |\n" for code, meaning, again in EXIT_CODES)
    rows = "".join(
        f"| `{kind.code}` | {kind.exit_code} | {'yes' if kind.retryable else 'no'} | {_sentence(kind)} |\n"
        for kind in error_classes()
    )
    return _INTRODUCTION + codes + _ERRORS + rows


def _sentence(kind: type[BackupError]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
