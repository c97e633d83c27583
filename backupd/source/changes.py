"""What changed in watched sources, by whatever means the system tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

MOST_DIRECTORIES = 2000
"""More that changed at once are no longer told one by one."""

IsOut = Callable[[bytes, bytes, bool], bool]
"""Path, name and whether it is a directory -> whether runs leave it out."""


class Changes(msgspec.Struct):
    """What changed since it was last told."""

    directories: set[bytes] = msgspec.field(default_factory=set)
    """Of which entries came, went or changed."""
    trees: set[bytes] = msgspec.field(default_factory=set)
    """Of directories that came: nothing below them is known."""
    is_lost: bool = False
    """Anything may have changed."""

    def __bool__(self) -> bool:
        return bool(self.directories or self.trees or self.is_lost)

    def note(self, directory: bytes) -> None:
        """An entry of it changed."""
        if directory in self.directories:
            return
        if len(self.directories) < MOST_DIRECTORIES:
            self.directories.add(directory)
        else:
            self.is_lost = True

    def note_tree(self, path: bytes) -> None:
        """A directory came."""
        self.trees.add(path)
        if len(self.trees) > MOST_DIRECTORIES:
            self.is_lost = True


class SourceWatch(Protocol):
    """Who watches sources. Not for several threads."""

    unwatched: bytes
    """A directory for which the system had no watch left."""

    @property
    def count(self) -> int:
        """How many directories are watched."""

    @property
    def is_blind(self) -> bool:
        """Whether something may change of which nothing is told."""

    def close(self) -> None:
        """Watch no more."""

    def wait(self, seconds: float) -> Changes:
        """What changed; empty where nothing did for that long. Raises OSError."""
