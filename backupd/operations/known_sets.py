"""Which sets of a daemon take a path in: for what is asked of all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backupd.errors import BackupError
from backupd.model.search_orders import KnownSet
from backupd.operations.backup.shortcuts import expanded, tell_meanings
from backupd.operations.context import JobContext
from backupd.operations.explain import Explaining, Taken


class _Asked(NamedTuple):
    name: str
    explaining: Explaining
    streams: frozenset[str]


class KnownSets:
    """Sets that are asked for many paths, one after the other."""

    def __init__(self, sets: Sequence[KnownSet], context: JobContext) -> None:
        """A set whose filters can't be read is told, and counts as one that takes nothing in."""
        self._asked: list[_Asked] = []
        self._disabled: list[_Asked] = []
        for one in sets:
            try:
                order, named = expanded(one.taken_in, context)
                tell_meanings(named, context)
                asked = _Asked(order.set_name, Explaining(order, context), frozenset(one.streams))
            except BackupError as error:
                context.warn(f"{one.taken_in.set_name} counts as taking nothing in: {error.message}")
                continue
            (self._asked if one.enabled else self._disabled).append(asked)

    def taking(self, path: bytes) -> tuple[Taken, list[str]]:
        """(how much of a path is taken in, the sets that do so). path: absolute, real."""
        found = [(one.explaining.taken_in(path), one.name) for one in self._asked]
        for wanted in ("whole", "part"):
            names = [name for taken, name in found if taken == wanted]
            if names:
                return ("whole" if wanted == "whole" else "part"), names
        return "none", []

    def disabled(self, path: bytes) -> list[str]:
        """The sets that would take some of it in, and rest."""
        return [one.name for one in self._disabled if one.explaining.taken_in(path) != "none"]

    def streaming(self, kind: str) -> list[str]:
        """The sets with a stream of a kind."""
        return [one.name for one in self._asked if kind in one.streams]
