"""From the address of a pool and what is known of its members to an open store; a new pool gets its marks here."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from backupd.clock import SystemClock
from backupd.destination.contract import Opening, Store
from backupd.destination.pool import marks
from backupd.destination.pool.below import BelowPool
from backupd.destination.pool.members import Member, OpenIt, Warn
from backupd.destination.pool.policy import LEAD, PoolId, Rules
from backupd.destination.pool.store import PoolStore
from backupd.destination.stores import open_store
from backupd.errors import ConflictError, DestinationError, DestinationUnreachableError, UsageError
from backupd.model.places import PlaceUrl
from backupd.model.store_access import PoolMember
from backupd.store_errors import NotAMemberError

_MEMBER_SECONDS = 4
"""How long a call that fails for a moment is tried again at one member; then the others have to do."""
_HARMLESS = ("tmp", "lost+found", "backupd-probe")
"""At the top of a place that counts as empty."""


def open_pool(url: PlaceUrl, opening: Opening) -> Store:
    """Open a pool. A new one, all of whose members are there and empty, is marked as one where `opening.create`.

    Raises UsageError, ConflictError: two members are one place; DestinationError where no member can be used.
    """
    url.check_options("at")
    store = assembled(opening, url.options.get("at"))
    try:
        _look_around(store, may_begin=opening.create)
    except BaseException:
        store.close()
        raise
    folder = url.path.strip("/")
    return BelowPool(store, folder) if folder else store


def assembled(opening: Opening, at: str | None = None) -> PoolStore:
    """A pool as it is; nothing is opened yet. at: id of the member of a failover pool that is used alone.

    Raises UsageError.
    """
    pool = opening.access.pool
    if pool is None:
        raise UsageError(
            "a pool is known to the daemon alone",
            hint="name it as it is called there: bkctl destination list; `once` takes one of its members",
        )
    called = PoolId(PlaceUrl.parse(opening.place).host, pool.name, opening.place)
    clock = SystemClock()
    warn = _once(opening.warn, pool.name)

    def warn_of_member(message: str) -> None:
        warn(f"{message}; afterwards: bkctl destination heal {pool.name}")

    members = [
        # A run that has one member alone ends with it: nothing is to be healed then.
        Member(one, called.id, _opener(one, opening), clock, warn if one.id == at else warn_of_member)
        for one in pool.members
    ]
    number = next((n for n, one in enumerate(pool.members) if one.id == at), None)
    if at is not None and number is None:
        raise UsageError(f"pool {pool.name} has no such member", hint="bkctl destination show says which it has")
    rules = Rules(pool.kind, len(members), min(pool.copies, len(members)) if pool.kind == "mirror" else 1)
    return PoolStore(called, rules, members, warn, number, clock)


def _opener(member: PoolMember, opening: Opening) -> OpenIt:
    if member.access.pool is not None:
        raise UsageError(f"{member.name} is a pool itself", hint="a pool consists of places")
    # A dead member costs some seconds: what is patient is the pool.
    access = msgspec.structs.replace(
        member.access, retry_seconds=_MEMBER_SECONDS, pace=member.access.pace or opening.access.pace
    )
    return lambda create: open_store(
        member.place,
        opening.tag,
        access,
        create=create,
        cancel=opening.cancel,
        warn=opening.warn,
        meter=opening.meter,
    )


def _once(warn: Warn | None, pool: str) -> Warn:
    """Says each thing once."""
    said: set[str] = set()
    lock = threading.Lock()

    def say(message: str) -> None:
        with lock:
            is_new = message not in said
            said.add(message)
        if is_new and warn is not None:
            warn(f"pool {pool}: {message}")

    return say


def _look_around(store: PoolStore, *, may_begin: bool) -> None:
    """Open all members, side by side; one that is used alone first, for the others are not needed where it is there.

    Raises where none can be used.
    """
    if store.at is not None and store.members[store.at].is_usable():
        _refuse_twins(store)
        return
    with ThreadPoolExecutor(len(store.members)) as threads:
        usable = [*threads.map(Member.is_usable, store.members)]
    _refuse_twins(store)
    if any(usable):
        return
    errors = [member.error for member in store.members if member.error is not None]
    is_new = all(isinstance(member.error, NotAMemberError) for member in store.members)
    if is_new and may_begin and _begin_all(store):
        return
    if any(isinstance(error, NotAMemberError) and not error.context.get("absent") for error in errors):
        raise NotAMemberError(
            f"pool {store.called.name} has not begun: none of its members is marked as its own",
            hint=f"bkctl destination test {store.called.name} begins an empty one, "
            f"bkctl destination heal {store.called.name} one whose members hold something",
        )
    raise DestinationUnreachableError(
        f"no member of the pool {store.called.name} is there: {'; '.join(error.message for error in errors)}",
        hint=errors[0].hint if errors else "",
    )


def _begin_all(store: PoolStore) -> bool:
    """Mark the members of a new pool, all of which are empty; else False, and nothing is marked."""
    opened: dict[int, Store] = {}
    for number, member in enumerate(store.members):
        place = member.begin(create=True)
        if member.marks.members or [name for name in place.top_names() if name not in _HARMLESS]:
            return False
        opened[number] = place
    set_marks(store, opened)
    return True


def set_marks(store: PoolStore, opened: Mapping[int, Store]) -> None:
    """Mark open members as whole, by number; then the first one as the lead, where it is among them."""
    pool = store.called.id
    for number, place in opened.items():
        marks.put(place, marks.member_mark(pool, store.members[number].described.id))
    if LEAD in opened:
        newest, lead = marks.newest_lead(pool, [member.marks for member in store.members])
        first = store.members[LEAD].described.id
        for place in opened.values():
            marks.put(place, marks.lead_mark(pool, newest if lead == first else newest + 1, first))
    for member in store.members:
        member.has_begun()


def _refuse_twins(store: PoolStore) -> None:
    """Two members that are one place would be one copy that counts as two. Raises ConflictError."""
    pool, ids = store.called.id, {member.described.id: member for member in store.members}
    for member in store.members:
        for of, other in member.marks.members:
            if of == pool and other in ids and other != member.described.id:
                raise ConflictError(
                    f"{member.name} and {ids[other].name} of the pool {store.called.name} are the same place",
                    hint="give each member a place of its own",
                )


def state_of_members(opening: Opening) -> list[tuple[str, DestinationError | None]]:
    """(name, why it takes no part) of each member of the pool that an opening's access has, if it has one."""
    if opening.access.pool is None:
        return []
    store = assembled(opening)
    try:
        with ThreadPoolExecutor(len(store.members)) as threads:
            list(threads.map(Member.is_usable, store.members))
        return [(member.name, member.error) for member in store.members]
    finally:
        store.close()


def chosen_member(opening: Opening) -> tuple[PoolMember, list[DestinationError]]:
    """A failover pool's first member that is there, and why those before it are not. Raises as `open_pool`."""
    store = assembled(opening)
    try:
        _look_around(store, may_begin=opening.create)
        passed: list[DestinationError] = []
        for member in store.members:
            if member.is_usable():
                return member.described, passed
            if member.error is not None:
                passed.append(member.told(member.error))
    finally:
        store.close()
    raise DestinationUnreachableError(f"no member of the pool {store.called.name} is there")
