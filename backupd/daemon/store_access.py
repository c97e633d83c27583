"""What opens the stores of destinations: read when a job or a question begins, given to its process, kept nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from backupd.catalog.definitions import StoredDestination
from backupd.daemon.definitions import Definitions
from backupd.errors import UsageError
from backupd.model.any_order import AnyOrder
from backupd.model.cache_modes import FULL, CacheUse
from backupd.model.destination_orders import ProxyTestOrder
from backupd.model.order_places import places_of, with_accesses
from backupd.model.orders import BackupOrder
from backupd.model.places import is_url, split_inside
from backupd.model.sets import DestinationText, ProxyText
from backupd.model.store_access import NO_ACCESS, Pool, PoolMember, Proxy, StoreAccess
from backupd.rules.definition_rules import duration
from backupd.rules.pool_rules import copies_of
from backupd.settings.secrets import read_secret

_NONE_READ: Mapping[str, StoreAccess] = {}


async def with_access(known: Definitions, order: AnyOrder, read: Mapping[str, StoreAccess] = _NONE_READ) -> AnyOrder:
    """The order with the access of the destination that each of its places belongs to, whatever it came with.

    read: what was read already, by place. Raises KeyMissingError when a secret can't be read.
    """
    if isinstance(order, ProxyTestOrder):
        return msgspec.structs.replace(order, access=await asyncio.to_thread(_to_test, known.proxy, order.access))
    found = {place: read[place] if place in read else await access_at(known, place) for place in places_of(order)}
    order = with_accesses(order, lambda place, _: found[place])
    cache = order.cache if order.cache.mode != "full" else _cache_of(known, order)
    return msgspec.structs.replace(order, usual_temporary=known.temp, cache=cache)


def _cache_of(known: Definitions, order: AnyOrder) -> CacheUse:
    """Of a set of which nothing is to be kept here other jobs keep nothing either."""
    silent = {stored.id for stored in known.sets if stored.text.cache == "none"}
    if not silent:
        return FULL
    own = _own_repositories(order)
    for place in places_of(order):
        at = known.destination_of(place) if place else None
        last = (split_inside(place)[1] if place else "") or own.get(place)
        there = [one for one in known.repositories if at is not None and one.destination_id == at.id]
        meant = [one for one in there if one.repository == last] if last else there
        if any(one.set_id in silent for one in meant):
            return CacheUse(mode="none")
    return FULL


def _own_repositories(order: AnyOrder) -> dict[str, str]:
    """Of a run: the repository that it stores to at each place."""
    if not isinstance(order, BackupOrder) or order.own is None:
        return {}
    return {order.place: order.own.repository, **{one.place: one.own.repository for one in order.also}}


def _to_test(text: ProxyText | None, given: StoreAccess) -> StoreAccess:
    if text is None:
        raise UsageError("no proxy is set", hint="set one in backupd.yaml, as proxy: {url: http://HOST:PORT}")
    return StoreAccess(proxy=proxy_of(text), ca_file=given.ca_file)


async def access_at(known: Definitions, place: str) -> StoreAccess:
    """Of the destination that a place belongs to. Raises KeyMissingError when a secret can't be read."""
    found = known.destination_of(place) if place else None
    if found is None:
        return NO_ACCESS
    pool = found.text.pool
    members = [
        PoolMember(id=one.id, name=one.text.name, place=one.text.place, access=await _access_of(known, one))
        for one in ([known.destination(name) for name in pool.members] if pool is not None else [])
    ]
    if pool is not None:
        used = Pool(name=found.text.name, kind=pool.kind, copies=copies_of(pool), members=members)
        return StoreAccess(pool=used, retry_seconds=duration(found.text.retry_for))
    return await _access_of(known, found)


async def _access_of(known: Definitions, found: StoredDestination) -> StoreAccess:
    access = await asyncio.to_thread(access_of, found.text, known.proxy)
    return msgspec.structs.replace(access, volume=await known.volume_of(found))


def access_of(text: DestinationText, proxy: ProxyText | None) -> StoreAccess:
    """Of a destination that is no pool; reads its secrets. proxy: of all that say nothing of one.

    Raises KeyMissingError.
    """
    chosen = (text.proxy or proxy) if is_url(text.place) else None
    return StoreAccess(
        credentials=read_secret(text.credentials) if text.credentials is not None else None,
        host_key=text.host_key,
        known_hosts=text.known_hosts,
        ca_file=text.ca_file,
        allow_plaintext=text.allow_plaintext,
        retry_seconds=duration(text.retry_for),
        proxy=proxy_of(chosen) if isinstance(chosen, ProxyText) else None,
    )


def proxy_of(text: ProxyText) -> Proxy:
    """With its login, read now. Raises KeyMissingError."""
    return Proxy(url=text.url, login=read_secret(text.login) if text.login is not None else None)
