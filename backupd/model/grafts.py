"""Directories that a run reads elsewhere than they show."""

from __future__ import annotations

from backupd.model.structs import Number, Strict


class Graft(Strict, frozen=True, kw_only=True):
    """A directory that is read elsewhere than it shows: from a snapshot of its file system."""

    path: bytes
    """Where it shows; absolute, real."""
    read_at: bytes
    device: int
    """st_dev of what shows there."""
    made_ns: int
    """No change before that is missing."""
    read_device: Number = 0
    """st_dev of what is to be read; 0: of what can come to have another one, and nobody but us can exchange."""
