"""What writers and cleaners alike read of a destination: gc lists and drops, damage, index, sessions, roots."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.store import BAD, Get, Steps, UnreadableError, Value, dropped_names, listed, read_all
from tests.model.world import World


@dataclass
class Lists:
    """All below gc/."""

    open: dict[int, set[str]] = field(default_factory=dict)
    """Blocks of candidates lists that have no deleted list yet, by generation."""
    closed: dict[int, set[str]] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    """Drop records that can't be read."""
    drops: set[str] = field(default_factory=set)
    """Names of all drop records."""

    @property
    def newest(self) -> int:
        """Highest generation that was begun, -1 for none."""
        return max([*self.open, *self.closed], default=-1)

    @property
    def deleted(self) -> set[str]:
        """Blocks that closed lists name."""
        return set().union(*self.closed.values())

    def absent(self) -> set[str]:
        """Blocks that no writer relies on anew."""
        return set().union(*self.open.values(), *self.closed.values())


def load_lists(world: World, known: dict[str, Value] | None = None, *, is_strict: bool = False) -> Steps:
    """Lists. known: drop records that this process has read before, and reads now.

    Raises UnreadableError for a gc list that can't be read, where it is strict for a drop record, too.
    """
    lists = Lists()
    names = yield from _closed_lists(world, lists)
    for number, kind in _numbers(names):
        if kind == "candidates" and number not in lists.closed:
            value = yield from _read(f"gc/{number:05d}.candidates")
            # Closed and covered since it was listed.
            if value is not None:
                lists.open[number] = set(value["blocks"])
    drops = yield from load_drops(world, known)
    lists.drops = set(drops)
    lists.unread = {name for name, value in drops.items() if value is BAD}
    if lists.unread and is_strict:
        raise UnreadableError
    lists.void = dropped_names((name, value) for name, value in drops.items() if value is not BAD)
    if not world.protocol.deleted_lists_hold and len(lists.closed) > 1:
        # As if the older ones were tidied away.
        newest = max(lists.closed)
        lists.closed = {newest: lists.closed[newest]}
    return lists


def _closed_lists(world: World, lists: Lists) -> Steps:
    """What closed ones say; the names below gc/ by which they were found."""
    bare: set[int] = set()
    while True:
        names = yield from listed("gc/")
        own: set[int] = set()
        # The newest first: what it covers need not be read, and stands for ever all the same.
        for number, kind in reversed(_numbers(names)):
            if kind == "deleted" and number not in lists.closed:
                value = yield from _read(f"gc/{number:05d}.deleted")
                if value is None:
                    # Only where the broken protocol deletes such.
                    continue
                own.add(number)
                for covered in (number, *value["covers"]):
                    lists.closed[covered] = set(value["blocks"])
        fresh = own - {number for number, kind in _numbers(names) if kind == "candidates"} - bare
        if not fresh or not world.protocol.lists_again_for_bare_lists:
            return names
        # Its candidates are in an open list that came before it, and that this listing may have missed.
        bare |= fresh


def load_drops(world: World, known: dict[str, Value] | None = None) -> Steps:
    """Drop records by name. One that is gone was put into another one, which the listing may not have had yet."""
    known = {} if known is None else known
    while True:
        names = yield from listed("gc/drop-")
        found: dict[str, Value] = {}
        for name in names:
            value = known.get(name) or (yield Get(name))
            if value is not None:
                found[name] = value
                if value is not BAD:
                    known[name] = value
        if len(found) == len(names) or not world.protocol.looks_again_for_drops:
            return found


def load_damage(*, is_strict: bool = False) -> Steps:
    """(ids of damage records, blocks that they name, blocks that were given up, for all they hold was stored anew).

    Raises UnreadableError where it is strict and one can't be read; else such a one says nothing.
    """
    found = yield from read_all("damage/")
    if is_strict and BAD in found.values():
        raise UnreadableError
    said = {name: value for name, value in found.items() if value is not BAD}
    bad = {name: value["block"] for name, value in said.items() if not value.get("is_retired")}
    retired = {value["block"] for value in said.values() if value.get("is_retired")}
    return frozenset(bad), set(bad.values()), retired


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
    """The newest post of each session. Raises UnreadableError for one that can't be read."""
    newest: dict[str, Value] = {}
    for session, listed_posts in _posts((yield from listed("sessions/"))).items():
        posts = listed_posts
        while posts:
            value = yield from _read(posts[-1])
            if value is not None:
                newest[session] = value
                break
            # It went on, or ended, since it was listed.
            posts = yield from listed(f"sessions/{session}/")
    return newest


def _posts(names: list[str]) -> dict[str, list[str]]:
    posts: dict[str, list[str]] = {}
    for name in names:
        posts.setdefault(name.split("/")[1], []).append(name)
    return posts


def load_roots(lists: Lists, sessions: dict[str, Value]) -> Steps:
    """Snapshots that count: listed and not void, or the base of a posted session. By name, their files."""
    found = yield from read_all("snapshots/")
    bases = {base for session in sessions.values() for base in session["bases"]}
    return {name: value["files"] for name, value in found.items() if name not in lists.void or name in bases}


def _numbers(names: list[str]) -> list[tuple[int, str]]:
    parsed = [name[3:].partition(".") for name in names if not name.startswith("gc/drop-")]
    return [(int(number), kind) for number, _, kind in parsed]


def _read(name: str) -> Steps:
    value = yield Get(name)
    if value is BAD:
        raise UnreadableError
    return value
