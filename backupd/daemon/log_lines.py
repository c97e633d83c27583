"""The daemon's own messages on standard error: with priorities for the journal, else with the time."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Of syslog, as sd-daemon(3) has them at the begin of a line; what is less than any is 7."""
_TIME = "%Y-%m-%dT%H:%M:%S%z"


def handler(stream: TextIO, environment: Mapping[str, str]) -> logging.Handler:
    """What writes messages there, in the form that its reader wants."""
    made = logging.StreamHandler(stream)
    made.setFormatter(JournalLines() if is_journal(stream, environment) else PlainLines())
    return made


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether systemd-journald reads a stream: JOURNAL_STREAM has its device and inode (systemd.exec(5)).

    A stream that was redirected since is none, though the variable was inherited.
    """
    with suppress(OSError, ValueError):
        found = os.fstat(stream.fileno())
        return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False


class PlainLines(logging.Formatter):
    """A message is one line, whatever names it quotes: none may forge another, or move a terminal's cursor."""

    def __init__(self, form: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
        super().__init__(form, _TIME)

    def format(self, record: logging.LogRecord) -> str:
        """A line, then those of a traceback."""
        made = logging.makeLogRecord({**vars(record), "msg": plain(record.getMessage()), "args": None})
        return "\n".join(plain(line) for line in super().format(made).split("\n"))


class JournalLines(PlainLines):
    """The same, each line with its priority; the journal has the time."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """A line, then those of a traceback; none stands in the journal as less grave than the first."""
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def plain(text: str) -> str:
    """A text without control characters, which are written out."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
