"""Dropping snapshots (DESIGN 8.2): a name that was dropped is void for ever."""

from __future__ import annotations

from tests.model.looking import load_drops, load_sessions
from tests.model.store import BAD, Delete, Get, Steps, UnreadableError, create
from tests.model.world import World

_MERGED_FROM = 2


def drop(world: World, names: list[str], sparing: str = "", stands_in: str = "") -> Steps:
    """Record it, then look which posted session needs them, then delete the others. sparing: our own session.

    stands_in: the snapshot that was written anew for them.
    """
    yield from create(f"gc/drop-{world.draw('d')}", {"names": names, "stands_in": stands_in})
    if world.is_lagging and world.protocol.drops_spare_bases:
        # A session that was posted just now may not be listed yet: the cleaner deletes them after its wait.
        return
    try:
        sessions = yield from load_sessions()
    except UnreadableError:
        # What it is based on can't be known.
        return
    needed = {base for key, session in sessions.items() if key != sparing for base in session["bases"]}
    for name in names:
        if name not in needed or not world.protocol.drops_spare_bases:
            yield Delete(name)


def merge_drops(world: World) -> Steps:
    """Put all drop records into one, and delete them. Where listings lag they are left alone."""
    if world.is_lagging:
        return
    drops = yield from load_drops(world)
    if len(drops) < _MERGED_FROM or BAD in drops.values():
        return
    merged = f"gc/drop-{world.draw('d')}"
    yield from create(merged, {"names": sorted({name for value in drops.values() for name in value["names"]})})
    if (yield Get(merged)) not in (None, BAD):
        for name in sorted(drops):
            yield Delete(name)
