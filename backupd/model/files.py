"""States of single files in a backup, kept and shown on request (FEATURES 6.6)."""

from __future__ import annotations

from typing import Literal

from backupd.model.structs import Strict, Struct

FileStateName = Literal["waiting", "running", "stored", "unchanged", "left_out", "failed"]


class FileState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file in one run of a set; a later state of the same path counts."""

    path: bytes
    """Ends with a slash for a directory in which nothing is new: it stands for all files right in it."""
    state: FileStateName
    reason: str = ""
    """Of `failed` what went wrong, of `left_out` the rule, of `stored` what is to be known of it."""
    files: int = 1
    """How many it stands for."""
    destination: str = ""
    """Where this run of the set stores."""


class KeptStates(Strict, frozen=True, kw_only=True):
    """Where a run keeps the states of its files."""

    path: str
    """Absolute; appended to, so that the parts of one job share it."""
    destination: str
    """Name of the destination that this part of the job stores in."""
