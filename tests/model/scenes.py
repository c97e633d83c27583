"""Actors that are let go on step by step, for named races."""

from __future__ import annotations

from collections.abc import Callable

from tests.model import cleaner
from tests.model.dropping import drop
from tests.model.store import Create, Delete, Names, Operation, Steps
from tests.model.world import HOUR, Actor, Protocol, World
from tests.model.writer import Writer


class Scene:
    """A repository with one snapshot of set x, made by state a."""

    def __init__(self, protocol: Protocol, lag_seconds: float = 0.0) -> None:
        self.world = World(protocol, lag_seconds)
        self.done(self.write())
        (self.first,) = self.world.store.below("snapshots/")
        self.world.now += HOUR + lag_seconds

    def write(self, state: int = 0, set_name: str = "x") -> Actor:
        """A writer that has not begun."""
        host = self.world.states[state]
        self.world.start("writer", Writer(self.world, host, set_name).run(), (host, set_name))
        return self.world.actors[-1]

    def drop(self, name: str) -> Actor:
        """A dropper of one snapshot that has not begun."""
        self.world.start("drop", drop(self.world, [name]))
        return self.world.actors[-1]

    def free(self) -> Actor:
        """A cleaner that has not begun."""
        self.world.start("cleaner", cleaner.free(self.world, compacts=False))
        return self.world.actors[-1]

    def start(self, steps: Steps) -> Actor:
        """Anybody else who has not begun."""
        self.world.start("somebody", steps)
        return self.world.actors[-1]

    def until(self, actor: Actor, is_next: Callable[[Operation], bool]) -> None:
        """Let the actor go on up to, and without, a step."""
        for _ in range(500):
            if actor not in self.world.actors or is_next(actor.next):
                return
            self.world.now = max(self.world.now, actor.wakes)
            self.world.advance(actor, 1)
        raise AssertionError(f"{actor.name} never comes to that")

    def done(self, actor: Actor) -> None:
        """Let the actor go on to its end."""
        self.until(actor, lambda _: False)


def creates(prefix: str) -> Callable[[Operation], bool]:
    """Whether a step creates an object below a prefix."""
    return lambda step: isinstance(step, Create) and step.name.startswith(prefix)


def deletes(prefix: str) -> Callable[[Operation], bool]:
    """The same of a deletion."""
    return lambda step: isinstance(step, Delete) and step.name.startswith(prefix)


def lists(prefix: str) -> Callable[[Operation], bool]:
    """The same of a listing."""
    return lambda step: isinstance(step, Names) and step.prefix == prefix
