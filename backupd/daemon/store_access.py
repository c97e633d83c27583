"""What opens the stores of destinations: read when a job or a question begins, given to its process, kept nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from backupd.catalog.definitions import StoredDestination
from backupd.daemon.definitions import Definitions
from backupd.model.orders import (
    NO_ACCESS,
    AnyOrder,
    BackupOrder,
    OwnRepository,
    Pool,
    PoolMember,
    ReplicateOrder,
    StoreAccess,
)
from backupd.model.sets import DestinationText
from backupd.rules.definition_rules import duration
from backupd.rules.pool_rules import copies_of
from backupd.settings.secrets import read_secret


async def with_access(known: Definitions, order: AnyOrder) -> AnyOrder:
    """The order with the access of the destination that its place belongs to, whatever it came with.

    Raises KeyMissingError when a secret can't be read.
    """
    order = msgspec.structs.replace(order, access=await _access(known, order.place))
    if isinstance(order, BackupOrder) and order.own is not None:
        own = await _with_copied_access(known, order.own)
        also = [
            msgspec.structs.replace(
                one, access=await _access(known, one.place), own=await _with_copied_access(known, one.own)
            )
            for one in order.also
        ]
        return msgspec.structs.replace(order, own=own, also=also)
    if isinstance(order, ReplicateOrder):
        return msgspec.structs.replace(order, to_access=await _access(known, order.to))
    return order


async def _with_copied_access(known: Definitions, own: OwnRepository) -> OwnRepository:
    if own.copied_from is None:
        return own
    return msgspec.structs.replace(own, copied_access=await _access(known, own.copied_from))


async def _access(known: Definitions, place: str) -> StoreAccess:
    found = known.destination_of(place) if place else None
    if found is None:
        return NO_ACCESS
    pool = found.text.pool
    members = [known.destination(name) for name in pool.members] if pool is not None else []
    return await asyncio.to_thread(access_of, found.text, members)


def access_of(text: DestinationText, members: Sequence[StoredDestination] = ()) -> StoreAccess:
    """Of a destination; reads its secrets. members: those of a pool, in order. Raises KeyMissingError."""
    if text.pool is not None:
        described = [
            PoolMember(id=one.id, name=one.text.name, place=one.text.place, access=access_of(one.text))
            for one in members
        ]
        pool = Pool(name=text.name, kind=text.pool.kind, copies=copies_of(text.pool), members=described)
        return StoreAccess(pool=pool, retry_seconds=duration(text.retry_for))
    return StoreAccess(
        credentials=read_secret(text.credentials) if text.credentials is not None else None,
        host_key=text.host_key,
        known_hosts=text.known_hosts,
        ca_file=text.ca_file,
        allow_plaintext=text.allow_plaintext,
        retry_seconds=duration(text.retry_for),
    )
