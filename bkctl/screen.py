"""Standard error: messages, progress, questions. Live lines give way to messages and come back."""

from __future__ import annotations

import os
import sys

from backupd.model.events import Ask, Log, Progress
from backupd.model.results import shown
from bkctl.progress import Pace, Sparse, live_lines, log_line
from bkctl.session import Session
from bkctl.text import escape

_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[33m", "hint": "\x1b[36m", "": ""}
_CHOICES = {"yes_no": " [y/N] ", "one_by_one": " [y]es, [n]o, [a]ll: ", "typed": ""}


class Screen:
    """What people see while a command runs and when it ends."""

    def __init__(self, session: Session) -> None:
        self._is_quiet = session.is_quiet
        self._verbosity = session.verbosity
        is_terminal = os.isatty(2) and not session.environment.is_dumb_terminal
        self._has_colour = is_terminal and session.environment.has_colour
        wants_progress = session.has_progress and not session.is_quiet and not session.is_jsonl
        self._is_live = wants_progress and is_terminal
        self._is_sparse = wants_progress and not is_terminal and not session.is_json
        self._is_unicode = (sys.stderr.encoding if sys.stderr else "").lower().startswith("utf")
        self._pace = Pace()
        self._sparse = Sparse()
        self._has_live_lines = False
        self._is_asking = False
        self._wants_state = False
        self._said = session.said

    def log(self, event: Log) -> None:
        """A message of the job, if it is loud enough."""
        # What is wrong with single entries the result names, the first of them at least.
        is_told_later = event.severity == "warning" and event.path is not None
        if event.verbosity > self._verbosity and (event.severity == "information" or is_told_later):
            return
        if event.severity == "information" and self._is_quiet:
            return
        text = f"{shown(event.path)}: {event.message}" if event.path is not None else event.message
        self.say("" if event.severity == "information" else event.severity, text)

    def step(self, name: str) -> None:
        """What the job does now, until its progress says more; a line of its own with `-v`."""
        if self._verbosity:
            self.say("", name)
        elif self._is_live and not self._is_asking:
            self._write(f"{self._cleared()}{escape(name)[: _columns() - 1]}\r")
            self._has_live_lines = True

    def say(self, label: str, text: str) -> None:
        """One line, `label: text`; warnings only once and not when quiet."""
        if label == "warning" and (self._is_quiet or text in self._said):
            return
        self._said.add(text)
        start = f"{self._coloured(label)} " if label else ""
        self._write(f"{self._cleared()}{start}{escape(text)}\n")

    def progress(self, progress: Progress) -> None:
        """Show where the job stands, as this screen shows it."""
        self._pace.note(progress)
        if self._wants_state:
            self._wants_state = False
            self.say("", log_line(progress, self._pace))
        elif self._is_live and not self._is_asking:
            columns = _columns()
            first, second = live_lines(progress, self._pace, columns, is_unicode=self._is_unicode)
            self._write(f"\r\x1b[J{first}\n{second}\x1b[1A\r")
            self._has_live_lines = True
        elif self._is_sparse and self._sparse.is_due(progress):
            self.say("", log_line(progress, self._pace))

    def show_next_state(self) -> None:
        """Show the next progress as a line, however quiet this is."""
        self._wants_state = True

    def ask(self, ask: Ask) -> None:
        """Put a question; live lines wait until it is answered."""
        for line in ask.details:
            self.say("", line)
        typed = f" Type {escape(ask.expected)} to confirm: " if ask.kind == "typed" else _CHOICES[ask.kind]
        self.prompt(f"{escape(ask.question)}{typed}")

    def prompt(self, text: str) -> None:
        """Show the start of a line that someone is to end."""
        self._write(f"{self._cleared()}{text}")
        self._is_asking = True

    def answered(self) -> None:
        """The question is over."""
        self._is_asking = False

    def finish(self) -> None:
        """Take the live lines away: what follows is the result."""
        if self._is_asking:
            self._write("\n")
            self._is_asking = False
        self._write(self._cleared())

    def _coloured(self, label: str) -> str:
        colour = _COLOURS.get(label, "") if self._has_colour else ""
        return f"{colour}{label}:\x1b[0m" if colour else f"{label}:"

    def _cleared(self) -> str:
        had, self._has_live_lines = self._has_live_lines, False
        return "\r\x1b[J" if had else ""

    def _write(self, text: str) -> None:
        """A terminal that hung up is no reason to stop."""
        data = text.encode(errors="backslashreplace")
        try:
            while data:
                data = data[os.write(2, data) :]
        except OSError:
            return


def _columns() -> int:
    try:
        return max(20, os.get_terminal_size(2).columns)
    except OSError:
        return 80
