"""Programs of the system that are asked or told something: by argument list, in English, their words kept."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from backupd.errors import BackupError, NotFoundError

_SECONDS = 1200
"""A stop takes half a minute, a start that brings a large catalog to a newer version many."""


class Answer(NamedTuple):
    """What a program said."""

    code: int
    out: str
    err: str


def ask(words: Sequence[str]) -> Answer:
    """Run a program. Raises NotFoundError where it is not installed, BackupError where it does not end."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS, errors="replace"
        )
    except FileNotFoundError as error:
        raise NotFoundError(f"the program {words[0]} is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackupError(f"{' '.join(words)}: {error}") from error
    return Answer(done.returncode, done.stdout.strip(), done.stderr.strip())


def tell(words: Sequence[str]) -> None:
    """Run a program that has to end well. Raises BackupError with its last words, NotFoundError."""
    answer = ask(words)
    if answer.code:
        said = (answer.err or answer.out).splitlines()
        reason = said[-1] if said else f"exit {answer.code}"
        raise BackupError(f"`{' '.join(words)}` failed: {reason}", hint="see: journalctl -e -u backupd")
