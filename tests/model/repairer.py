"""A repair of records that can't be read: what stands in for each says no more than is sure (docs/protocol.md)."""

from __future__ import annotations

from tests.model.looking import Lists, load_damage, load_drops, load_index, load_lists
from tests.model.store import BAD, Delete, Get, Steps, UnreadableError, Value, create, listed, read_all
from tests.model.world import World

_TRIES = 3


def repair(world: World) -> Steps:
    """All that can't be read, each way by itself; it was confirmed. Raises UnreadableError where nothing helps."""
    if not world.is_lagging:
        # Else a list of another cleaner may stand there that is not listed yet. Open generations are ended first.
        for kind, way in (("candidates", _without_candidates), ("deleted", _without_deleted)):
            for name in (yield from _unread("gc/")):
                if name.endswith(kind):
                    yield from way(world, name)
    yield from _without_damage(world)
    yield from _without_drops(world)


def revoke(session: str, posts: list[str]) -> Steps:
    """End a session of which no post can be read; that its writer is gone was confirmed."""
    for name in posts:
        if (yield Get(name)) not in (None, BAD):
            return
    for name in posts:
        yield Delete(name)


def _unread(prefix: str) -> Steps:
    names: list[str] = []
    for name in (yield from listed(prefix)):
        if (yield Get(name)) is BAD:
            names.append(name)
    return names


def _without_candidates(world: World, name: str) -> Steps:
    """End the generation by a list that names nothing; who waits to end it finds that name taken."""
    closed = name.replace("candidates", "deleted")
    if world.protocol.ends_generation_first:
        is_made = yield from create(closed, {"by": world.draw("g"), "blocks": [], "covers": []})
        if not is_made and (yield Get(closed)) is BAD:
            return
    yield Delete(name)


def _without_deleted(world: World, name: str) -> Steps:
    """Ask for those of its candidates that are there, then cover it by a list of those that are not."""
    number = _number(name)
    standing = yield Get(f"gc/{number:05d}.candidates")
    if standing is None or standing is BAD:
        # Nobody knows what was deleted.
        return
    proposed = set(standing["blocks"])
    blocks = {block[7:] for block in (yield from listed("blocks/"))}
    there = proposed & blocks if world.protocol.divides_candidates else set()
    # By a repair that was broken off, or by a cleaner.
    asked = yield from _asked()
    is_asked = there <= asked or not world.protocol.asks_before_covering
    for _ in range(_TRIES):
        numbers = yield from _numbers()
        new = max(numbers) + 1
        if not is_asked:
            again: Value = {"by": world.draw("g"), "blocks": sorted(there)}
            if not (yield from create(f"gc/{new + 1:05d}.candidates", again)):
                continue
            is_asked = True
        gone: Value = {"by": world.draw("g"), "blocks": sorted(proposed - there), "covers": [number]}
        if (yield from create(f"gc/{new:05d}.deleted", gone)):
            return


def _asked() -> Steps:
    names = yield from listed("gc/")
    blocks: set[str] = set()
    for name in names:
        if name.endswith("candidates") and name.replace("candidates", "deleted") not in names:
            value = yield Get(name)
            if value is BAD:
                raise UnreadableError
            if value is not None:
                blocks |= set(value["blocks"])
    return blocks


def _numbers() -> Steps:
    names = yield from listed("gc/")
    return [_number(name) for name in names if not name.startswith("gc/drop-")]


def _number(name: str) -> int:
    return int(name[3:].partition(".")[0])


def _without_damage(world: World) -> Steps:
    """Every block is read, and what is bad recorded anew; then the records go that can't be read."""
    unread = yield from _unread("damage/")
    if not unread:
        return
    if world.protocol.reads_all_before_damage_goes:
        yield from record_damage(world)
    for name in unread:
        yield Delete(name)


def record_damage(world: World) -> Steps:
    """Read every block; what is bad gets a damage record, once."""
    _, known, _ = yield from load_damage()
    for name in (yield from listed("blocks/")):
        value = yield Get(name)
        if value is BAD and name[7:] not in known:
            record = f"damage/{world.draw('m')}"
            yield from create(record, {"block": name[7:]})
            world.rotten[name[7:]].add(record)


def _without_drops(world: World) -> Steps:
    """Drop records go where all that stands is whole, and no session is announced."""
    drops = yield from load_drops(world)
    unread = [name for name, value in drops.items() if value is BAD]
    if not unread:
        return
    if world.protocol.walks_before_drop_goes and not (yield from _is_all_whole(world)):
        return
    for name in unread:
        if not world.protocol.sees_no_session_before_drop_goes or not (yield from listed("sessions/")):
            yield Delete(name)


def _is_all_whole(world: World) -> Steps:
    """Whether each snapshot that stands, and is not known to be dropped, has all its chunks, and no list is open."""
    lists: Lists = yield from load_lists(world)
    if lists.open and world.protocol.sees_no_open_list_before_drop_goes:
        return False
    found = yield from read_all("snapshots/")
    _, bad, _ = yield from load_damage()
    places = yield from load_index()
    good = {name[7:] for name, value in (yield from read_all("blocks/")).items() if value is not BAD}
    good -= lists.deleted | bad
    chunks = {chunk for name, one in found.items() if name not in lists.void for chunk in one["files"].values()}
    return all(places.get(chunk, set()) & good for chunk in chunks)
