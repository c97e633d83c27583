"""What is given up as lost, in `check` and `status`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from backupd.sizes import count, format_bytes
from bkctl.text import moment

_SHORT_ID = 9
_MOST_NAMED = 3


def given_up_text(told: Mapping[str, Any]) -> str:
    """As `20 files (98 KiB) of 1 snapshot (s8bda1e54), since 2026-11-27 12:02:45`. told: as in `result.given_up`."""
    each = ", counted in each" if told["snapshots"] > 1 else ""
    names = [one[:_SHORT_ID] for one in told["newest"][:_MOST_NAMED]]
    more = told["snapshots"] - len(names)
    which = ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
    size = f"{count(told['files'], 'file')} ({format_bytes(told['bytes'])}{each})"
    return f"{size} of {count(told['snapshots'], 'snapshot')} ({which}), since {moment(told['since'])}"


def lost_text(files: int, size_bytes: int) -> str:
    """As `20 files (98 KiB)`. A loss without files is one of directories: nobody knows what lay in them."""
    return f"{count(files, 'file')} ({format_bytes(size_bytes)})" if files else "directories that can't be listed"


def ways_to_see(set_name: str, destination: str) -> str:
    """Commands that say which snapshots have lost something, and which files."""
    words = f"{shlex.quote(set_name)} --from {shlex.quote(destination)}"
    return f"  which snapshots: bkctl snapshot list {words}; which files: bkctl check {words}"
