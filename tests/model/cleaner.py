"""Freeing (DESIGN 8.3), compaction, and merging of index objects."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.dropping import merge_drops
from tests.model.looking import Lists, load_damage, load_index, load_lists, load_roots, load_sessions
from tests.model.store import BAD, Delete, Get, Steps, UnreadableError, Value, Wait, create, listed, read_all
from tests.model.world import HOUR, World
from tests.model.writer import end_dead_session

_COVERS_FROM = 2


@dataclass
class _View:
    """What a cleaner saw at one look."""

    lists: Lists
    places: dict[str, set[str]]
    sessions: dict[str, Value]
    roots: dict[str, dict[str, str]]
    bad: set[str]
    retired: set[str]
    """Needed only where there is no other good copy."""

    @property
    def chunks(self) -> set[str]:
        """All that roots reach."""
        return {chunk for files in self.roots.values() for chunk in files.values()}


def free(world: World, *, compacts: bool) -> Steps:
    """One generation: begin it or finish what another began. Raises UnreadableError."""
    known: dict[str, Value] = {}
    lists: Lists = yield from load_lists(world, known, is_strict=True)
    yield from _finish_deleting(world, lists)
    number = max(lists.open, default=lists.newest + 1)
    view: _View | None = None
    if number not in lists.open:
        view = yield from _look(world, known)
        if compacts:
            view = (yield from _compact(world, view, known)) or view
        candidates = yield from _candidates(world, view)
        if candidates is None or not candidates:
            return
        value: Value = {"by": world.draw("g"), "blocks": sorted(candidates)}
        # Where another one's stands, that is what we finish.
        yield from create(f"gc/{number:05d}.candidates", value)
    if world.protocol.cleaner_waits and not (yield from _wait_for_sessions(world, number, known)):
        return
    standing = yield Get(f"gc/{number:05d}.candidates")
    if standing is None:
        # Closed and covered meanwhile.
        return
    if standing is BAD:
        raise UnreadableError
    if world.protocol.looks_twice or view is None:
        view = yield from _look(world, known)
    keeps = {block for session in view.sessions.values() for block in session["keeps"]}
    wanted = set(standing["blocks"]) - keeps
    last = _last_copies(view, wanted)
    if last is None:
        return
    if world.protocol.spares_last_copies:
        wanted -= last
    # Where listings lag, lists are never put together: whoever misses one would miss all.
    covers = sorted(view.lists.closed.keys() - {number}) if not world.is_lagging else []
    covers = covers if len(covers) >= _COVERS_FROM else []
    gone = view.lists.deleted if covers and world.protocol.covering_lists_say_all else set()
    mine: Value = {"by": world.draw("g"), "blocks": sorted(wanted | gone), "covers": covers}
    is_ours = yield from create(f"gc/{number:05d}.deleted", mine)
    final = (yield Get(f"gc/{number:05d}.deleted")) if world.protocol.obeys_standing_list else mine
    if final is BAD:
        raise UnreadableError
    for block in final["blocks"]:
        yield Delete(f"blocks/{block}")
    for covered in covers if is_ours else []:
        # Its `.deleted` stays: a name is never free again.
        yield Delete(f"gc/{covered:05d}.candidates")
        if not world.protocol.covered_lists_stay:
            yield Delete(f"gc/{covered:05d}.deleted")
    yield from _forget_ended(view)
    yield from _remove_void(view)
    yield from merge_drops(world)


def _look(world: World, known: dict[str, Value]) -> Steps:
    """In this order: gc, damage, index, sessions, snapshots. Raises UnreadableError."""
    lists = yield from load_lists(world, None if world.protocol.reads_drops_anew else known, is_strict=True)
    _, bad, retired = yield from load_damage(is_strict=True)
    places = yield from load_index()
    if world.protocol.reads_sessions_first:
        sessions = yield from load_sessions()
        roots = yield from load_roots(lists, sessions)
    else:
        roots = yield from load_roots(lists, {})
        sessions = yield from load_sessions()
    return _View(lists, places, sessions, roots, bad, retired)


def _candidates(world: World, view: _View) -> Steps:
    """Blocks that no root needs, one good copy of each chunk being enough; None where a root can't be understood."""
    blocks = {name[7:] for name in (yield from listed("blocks/"))}
    kept = {block for session in view.sessions.values() for block in session["keeps"]}
    needed: set[str] = set()
    for chunk in sorted(view.chunks):
        usable = (view.places.get(chunk, set()) & blocks) - view.lists.absent()
        good = usable - view.bad
        if not usable and not view.places.get(chunk, set()) & view.bad:
            return None
        needed |= {min(good - view.retired or good)} if good else usable
    return blocks - needed - kept - view.lists.absent()


def _last_copies(view: _View, wanted: set[str]) -> set[str] | None:
    """Those of the wanted blocks without which a root would lose a chunk; None: a root can't be understood.

    Copies in open and closed lists do not count, nor those that are known to be bad.
    """
    away = view.lists.absent()
    last: set[str] = set()
    for chunk in view.chunks:
        places = view.places.get(chunk, set())
        if not places:
            return None
        if not places - away - view.bad - wanted:
            last |= places & wanted
    return last


def _wait_for_sessions(world: World, number: int, known: dict[str, Value]) -> Steps:
    """Until each posted session has ended or honours the list. False: not within a day and a half."""
    if world.is_lagging and world.protocol.settles_before_second_look:
        # Whoever posts later is sure to see the list; whoever posted before is sure to be seen.
        yield Wait(48 * HOUR)
    for _ in range(6):
        lists: Lists = yield from load_lists(world, known, is_strict=True)
        sessions = yield from load_sessions()
        taken = set((yield from listed("snapshots/"))) | lists.void
        waiting = [
            key for key, one in sessions.items() if one["name"] not in taken and one["honours"] < number
        ]
        if not waiting:
            return True
        if world.is_lagging:
            yield Wait(6 * HOUR)
        else:
            for session in waiting:
                yield from end_dead_session(world, session, sessions[session]["name"])
    return False


def _finish_deleting(world: World, lists: Lists) -> Steps:
    """What a cleaner that was killed had no time to delete."""
    there = {name[7:] for name in (yield from listed("blocks/"))}
    for block in sorted(there & lists.deleted):
        yield Delete(f"blocks/{block}")


def _forget_ended(view: _View) -> Steps:
    """Posts of sessions whose name is taken or void."""
    taken = set((yield from listed("snapshots/"))) | view.lists.void
    for session, post in sorted(view.sessions.items()):
        if post["name"] in taken:
            for name in (yield from listed(f"sessions/{session}/")):
                yield Delete(name)


def _remove_void(view: _View) -> Steps:
    """Dropped snapshots that were the base of a session then, and of none now."""
    bases = {base for session in view.sessions.values() for base in session["bases"]}
    for name in (yield from listed("snapshots/")):
        if name in view.lists.void and name not in bases:
            yield Delete(name)


def _compact(world: World, view: _View, known: dict[str, Value]) -> Steps:
    """Copy what lives in one block that is partly dead, or two small ones, into a new one; its index comes first."""
    good: dict[str, list[str]] = {}
    for block, value in sorted((yield from read_all("blocks/")).items()):
        if value is not BAD and block[7:] not in view.lists.absent():
            live = [chunk for chunk in value["chunks"] if chunk in view.chunks]
            if live:
                good[block[7:]] = live
    if len(good) < 2:
        return None
    first, second = sorted(good)[:2]
    chunks = sorted({*good[first], *good[second]})
    block = world.draw("b")
    world.contents[block] = chunks
    yield from create(f"blocks/{block}", {"chunks": chunks})
    yield from create(f"index/{world.draw('i')}", {"entries": [(c, block) for c in chunks], "replaces": []})
    seen = yield from _look(world, known)
    # Of several copies the new one is to stay.
    for chunk in chunks:
        if chunk in seen.places:
            seen.places[chunk] = {block}
    return seen


def merge(world: World) -> Steps:
    """Put all index objects into one that names them; they go once it can be read and a week has passed."""
    found = yield from read_all("index/")
    if len(found) > 1:
        entries = sorted({tuple(entry) for index in found.values() for entry in index["entries"]})
        name = f"index/{world.draw('i')}"
        yield from create(name, {"entries": [list(entry) for entry in entries], "replaces": sorted(found)})
        yield Wait(7 * 24 * HOUR)
        if (yield Get(name)) is not None:
            for old in sorted(found):
                yield Delete(old)
