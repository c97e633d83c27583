"""What is said between one who watches sources and the process that hears of changes for it (`backupd.watcher`)."""

from __future__ import annotations

from backupd.model.structs import Strict


class Listen(Strict, frozen=True, kw_only=True):
    """The order: to say what changes, until this end is closed."""

    trees: list[bytes]
    """Directories of which all below them counts."""
    directories: list[bytes]
    """Of which only their own entries count."""
    milliseconds: int = 200
    """How often it is looked whether something came; what goes on for twice as long is told in parts."""


class Heard(Strict, frozen=True, kw_only=True):
    """What changed. The first one, which is empty, says that all is watched now."""

    come: list[bytes] = []
    """Paths that came or went."""
    changed: list[bytes] = []
    """Others."""
    is_lost: bool = False
    """Anything may have changed besides."""
    error: str = ""
    """Why nothing more will be told."""
