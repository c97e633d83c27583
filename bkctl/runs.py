"""Several runs of one call: their results in one document, and the exit code that stands for all (CLI.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bkctl.session import Reply

_FIRST = (20, 16, 12, 14, 18, 17, 10, 1, 15, 5, 4, 3, 11, 23, 75, 0)
"""Exit codes, the one that decides first."""


def together(replies: Sequence[Reply]) -> Reply:
    """One reply for all runs; at least one is given."""
    if len(replies) == 1:
        return replies[0]
    worst = min(replies, key=lambda reply: rank(reply.exit_code))
    runs: list[dict[str, Any]] = []
    for reply in replies:
        runs += (reply.result or {}).get("runs") or []
    return Reply(
        worst.exit_code,
        {"runs": runs},
        worst.error,
        list(dict.fromkeys(warning for reply in replies for warning in reply.warnings)),
        [line for reply in replies for line in reply.lines],
    )


def rank(exit_code: int) -> int:
    """Place in the order in which exit codes decide, the first one first."""
    # A code that nobody knows is a failure of no class.
    return _FIRST.index(exit_code if exit_code in _FIRST else 1)
