"""What pools must be like: destinations that consist of others (docs/stores/pool.md)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from backupd.errors import ConfigError, ConflictError, DestinationNotFoundError, UsageError
from backupd.model.places import is_pool, pool_place
from backupd.model.sets import MOST_MEMBERS, DestinationText, PoolText, SetText
from backupd.sizes import count

Destinations = Mapping[str, DestinationText | None]
"""By name; None: nobody knows its place here."""
_USUAL_COPIES = 2


def copies_of(pool: PoolText) -> int:
    """On how many members an object of a mirror lies; one in other pools."""
    if pool.kind != "mirror":
        return 1
    return pool.copies if pool.copies is not None else min(_USUAL_COPIES, len(pool.members))


def check_pool_text(text: DestinationText) -> DestinationText:
    """The text of a pool by itself, in its one spelling. Raises ConfigError."""
    name, pool = text.name, text.pool
    if pool is None:
        return text
    if text.place and not is_pool(text.place):
        raise _wrong(f"{name} is a pool and has a place", "leave one of the two out", "place")
    given = (text.credentials, text.host_key, text.known_hosts, text.ca_file)
    if text.allow_plaintext or any(one is not None for one in given):
        raise _wrong(f"{name}: a pool has no login of its own", "its members have theirs")
    for field, is_given in (("proxy", text.proxy is not None), ("removable", text.removable)):
        if is_given:
            raise ConfigError(
                f"{name}: a pool has no {field} of its own",
                hint=f"give {field} to its members",
                context={"at": [field]},
            )
    if not 2 <= len(pool.members) <= MOST_MEMBERS:
        raise _wrong(f"{name} has {count(len(pool.members), 'member')}", f"a pool has 2 to {MOST_MEMBERS}")
    if len(set(pool.members)) < len(pool.members):
        raise _wrong(f"{name} names a member twice", "name each once")
    if pool.copies is not None and pool.kind != "mirror":
        raise _wrong(f"{name}: copies are of a mirror", "leave copies out")
    if pool.copies is not None and not 1 <= pool.copies <= len(pool.members):
        raise _wrong(f"{name}: {pool.copies} copies", f"1 to {len(pool.members)}, as many as it has members")
    return text


def with_place(text: DestinationText, destination_id: str) -> DestinationText:
    """A pool with the address that follows from its id; what is no pool as it is."""
    return text if text.pool is None else msgspec.structs.replace(text, place=pool_place(destination_id))


def without_place(text: DestinationText) -> DestinationText:
    """As people write it: a pool's address is nobody's but the daemon's that made it."""
    return text if text.pool is None else msgspec.structs.replace(text, place="")


def check_members(text: DestinationText, destinations: Destinations, sets: Iterable[SetText]) -> None:
    """Whether a pool's members are there and free. destinations: all, with the pool's new text.

    Raises DestinationNotFoundError, ConfigError: a pool in a pool; ConflictError: a member is used otherwise.
    """
    for at, member in enumerate(text.pool.members if text.pool is not None else ()):
        if member not in destinations:
            near = difflib.get_close_matches(member, destinations, 1, 0.6)
            raise DestinationNotFoundError(
                f"{text.name}: no destination is called '{member}'",
                hint=f"did you mean {near[0]}?" if near else "bkctl destination list shows what there is",
                context={"at": ["pool", "members", at], "candidates": sorted(destinations)},
            )
        found = destinations[member]
        if member == text.name or (found is not None and found.pool is not None):
            raise _wrong(f"{text.name}: {member} is a pool itself", "a pool consists of places", "members", at)
        others = [one for one in pools_with(member, destinations) if one != text.name]
        users = [one.name for one in sets if member in one.to]
        if others or users:
            used = f"a member of {others[0]}" if others else f"used by the set {users[0]}"
            raise ConflictError(
                f"{text.name}: {member} is {used}",
                hint="what lies at a member is the pool's alone; take another one",
                context={"at": ["pool", "members", at]},
            )


def pools_with(name: str, destinations: Destinations) -> list[str]:
    """Names of the pools that a destination is a member of."""
    pools = (one for one in destinations.values() if one is not None and one.pool is not None)
    return [one.name for one in pools if one.pool is not None and name in one.pool.members]


def refuse_members(text: SetText, destinations: Destinations) -> None:
    """Raises ConflictError for a set that would store in a pool's member past the pool."""
    for at, name in enumerate(text.to):
        pools = pools_with(name, destinations)
        if pools:
            raise ConflictError(
                f"{text.name}: {name} is a member of the pool {pools[0]}",
                hint=f"store in {pools[0]}, or take another destination",
                context={"at": ["to", at]},
            )


def places_of(text: DestinationText, destinations: Destinations) -> list[str]:
    """Where a destination's bytes lie: its place, or those of a pool's members."""
    if text.pool is None:
        return [text.place]
    members = (destinations.get(name) for name in text.pool.members)
    return [one.place for one in members if one is not None and one.pool is None]


def renamed_member(text: DestinationText, old: str, new: str) -> DestinationText:
    """A pool whose member has another name now."""
    if text.pool is None or old not in text.pool.members:
        return text
    members = [new if one == old else one for one in text.pool.members]
    return msgspec.structs.replace(text, pool=msgspec.structs.replace(text.pool, members=members))


def _wrong(message: str, hint: str, *at: str | int) -> UsageError:
    steps = list(at) if at[:1] == ("place",) else ["pool", *at]
    return ConfigError(message, hint=hint, context={"at": steps})
