"""Commands around a set's runs, as people write them, and what became of them."""

from __future__ import annotations

from typing import Literal, get_args

from backupd.model.structs import Text

When = Literal["pre", "success", "failure", "finally", "post"]
WHEN: tuple[When, ...] = get_args(When)
"""In the order in which they run."""
OnError = Literal["warn", "fail", "skip"]
CommandStatus = Literal["done", "skipped", "failed", "timed_out", "refused", "stopped", "not_run"]
"""`refused`: not begun. `stopped`: by who cancelled the job. `not_run`: what came before it ended it all."""
BAD: tuple[CommandStatus, ...] = ("failed", "timed_out", "refused", "stopped")
POLITE_EXIT = 75
"""Of a command: nothing is to be done now."""
MOST_COMMANDS = 32
USUAL_TIMEOUT = "1h"


class CommandText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One command. One of `run` and `shell`."""

    name: str
    when: When
    run: list[str] = []
    """Absolute path of a program, and its arguments."""
    shell: str | None = None
    """For `/bin/sh -c`."""
    user: str | None = None
    """Login name; none: the daemon's."""
    directory: str | None = None
    """Absolute path of the working directory; none: `/`."""
    timeout: str = USUAL_TIMEOUT
    on_error: OnError = "warn"
    """Of `pre`: whether the run goes on, fails or is skipped."""
    environment: dict[str, str] = {}
