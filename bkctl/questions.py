"""Answers to a job's questions: by `--yes` and `--confirm`, or by who sits at the terminal."""

from __future__ import annotations

from backupd.model.events import Ask
from bkctl.session import Session

_YES = ("y", "yes")
_NO = ("n", "no", "")


def answer_beforehand(ask: Ask, session: Session) -> str | None:
    """What the options answer; None when someone must be asked.

    `--yes` never answers what names something to be typed: that loses data and wants `--confirm`.
    """
    if ask.expected:
        if session.confirmed == ask.expected:
            return "all" if ask.kind == "one_by_one" else "yes" if ask.kind == "yes_no" else ask.expected
        return None
    if session.assume_yes and ask.kind != "typed":
        return "all" if ask.kind == "one_by_one" else "yes"
    return None


def understood(ask: Ask, line: str) -> str | None:
    """The answer that a typed line is; None: not understood, ask again."""
    if ask.kind == "typed":
        return line.strip()
    word = line.strip().lower()
    if word in _YES:
        return "yes"
    if word in _NO:
        return "no"
    return "all" if ask.kind == "one_by_one" and word in ("a", "all") else None
