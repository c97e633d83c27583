"""What writers and cleaners alike read of a destination: gc lists and drops, damage, index, sessions, roots."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.store import Get, Steps, Value, listed, read_all
from tests.model.world import World, dropped_names


@dataclass
class Lists:
    """All below gc/."""

    open: dict[int, set[str]] = field(default_factory=dict)
    """Blocks of candidates lists that have no deleted list yet, by generation."""
    closed: dict[int, set[str]] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)

    @property
    def newest(self) -> int:
        """Highest generation that was begun, -1 for none."""
        return max([*self.open, *self.closed], default=-1)

    def absent(self) -> set[str]:
        """Blocks that no writer relies on anew."""
        return set().union(*self.open.values(), *self.closed.values())


def load_lists(world: World) -> Steps:
    """Lists."""
    names = yield from listed("gc/")
    lists = Lists()
    # The newest first: what it covers need not be read, and stands for ever all the same.
    for name in reversed(names):
        number, _, kind = name[3:].partition(".")
        if kind == "deleted" and int(number) not in lists.closed:
            value = yield Get(name)
            for covered in (int(number), *value["covers"]):
                lists.closed[covered] = set(value["blocks"])
    for name in names:
        number, _, kind = name[3:].partition(".")
        if kind == "candidates" and int(number) not in lists.closed:
            value = yield Get(name)
            # Closed and covered since it was listed.
            if value is not None:
                lists.open[int(number)] = set(value["blocks"])
    drops = yield from load_drops(world)
    lists.void = dropped_names(drops.items())
    if not world.protocol.deleted_lists_hold and len(lists.closed) > 1:
        # As if the older ones were tidied away.
        newest = max(lists.closed)
        lists.closed = {newest: lists.closed[newest]}
    return lists


def load_drops(world: World) -> Steps:
    """Drop records by name. One that is gone was put into another one, which the listing may not have had yet."""
    while True:
        names = yield from listed("gc/drop-")
        found: dict[str, Value] = {}
        for name in names:
            value = yield Get(name)
            if value is not None:
                found[name] = value
        if len(found) == len(names) or not world.protocol.looks_again_for_drops:
            return found


def load_damage() -> Steps:
    """(ids of damage records, blocks that they name)."""
    found = yield from read_all("damage/")
    return frozenset(found), {value["block"] for value in found.values()}


def load_index() -> Steps:
    """Blocks of each chunk, by all index objects that can be read."""
    found = yield from read_all("index/")
    return merged(found.values())


def merged(indexes: object) -> dict[str, set[str]]:
    """The same of values."""
    places: dict[str, set[str]] = {}
    for index in indexes:  # type: ignore[attr-defined]
        for chunk, block in index["entries"]:
            places.setdefault(chunk, set()).add(block)
    return places


def load_sessions() -> Steps:
    """The newest post of each session."""
    found = yield from read_all("sessions/")
    newest: dict[str, Value] = {}
    for name, value in sorted(found.items()):
        newest[name.split("/")[1]] = value
    return newest


def load_roots(lists: Lists, sessions: dict[str, Value]) -> Steps:
    """Snapshots that count: listed and not void, or the base of a posted session. By name, their files."""
    found = yield from read_all("snapshots/")
    bases = {base for session in sessions.values() for base in session["bases"]}
    return {name: value["files"] for name, value in found.items() if name not in lists.void or name in bases}
