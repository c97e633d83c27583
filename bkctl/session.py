"""What one call of bkctl knows: its environment, the global options, where results and messages go."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backupd.errors import BackupError
from bkctl.output import Form, ResultWriter

JOB_COMMAND = (sys.executable, "-P", "-m", "backupd.job")
"""`-P`: a directory that happens to hold `numpy.py` must not lend it to the job."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The few environment variables that count, read once in main."""

    password_file: str | None = None
    password_command: str | None = None
    credentials_file: str | None = None
    is_ci: bool = False
    has_colour: bool = False
    is_dumb_terminal: bool = False
    socket_path: str | None = None
    """`BACKUPD_SOCKET`."""
    runtime_directory: str | None = None
    """`XDG_RUNTIME_DIR`: where a user's daemon has its socket."""
    xdg: Mapping[str, str] = field(default_factory=dict)
    """Those of `XDG_…_HOME` that are set: where a user's daemon has all else."""
    job_command: tuple[str, ...] = JOB_COMMAND
    """Program that does the work; the number of its socket is appended."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a command ended: what main prints last."""

    exit_code: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    """code, message, hint, retryable, context."""
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The result as text; empty where it went out already or nobody wants it."""
    items_name: str = ""
    """Under which name the items of a listing stand in the document."""


def described(error: BackupError) -> dict[str, Any]:
    """An error as JSON output shows it."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "context": error.context,
    }


@dataclass(slots=True)
class Session:
    """The global options as the parser meets them, before and after the verb."""

    environment: Environment
    command: str = ""
    """Verb, or noun and verb, as JSON names it."""
    is_json: bool = False
    is_jsonl: bool = False
    is_quiet: bool = False
    verbosity: int = 0
    assume_yes: bool = False
    confirmed: str | None = None
    timeout_seconds: float | None = None
    """What is left of `--timeout`, which holds for all that this call waits for."""
    output_path: str | None = None
    has_progress: bool = True
    socket_path: str | None = None
    is_user: bool = False
    is_system: bool = False
    has_no_daemon: bool = False
    writer: ResultWriter | None = None
    said: set[str] = field(default_factory=set)
    """Messages that stood on the screen already."""

    @property
    def form(self) -> Form:
        """How results are written."""
        return "jsonl" if self.is_jsonl else "json" if self.is_json else "text"

    @property
    def is_interactive(self) -> bool:
        """Whether someone sits there who can be asked."""
        return os.isatty(0) and os.isatty(2)

    def open_writer(self, *, is_secret: bool = False) -> ResultWriter:
        """The one writer of this call, made at first use.

        Raises UsageError when `--output` can't be written; what follows then goes to standard output.
        """
        if self.writer is None:
            path, self.output_path = self.output_path, None
            self.writer = ResultWriter(self.form, path, is_secret=is_secret)
        return self.writer
