"""What opens the stores of destinations: read when a job or a question begins, given to its process, kept nowhere."""

from __future__ import annotations

import asyncio

import msgspec

from backupd.daemon.definitions import Definitions
from backupd.model.orders import NO_ACCESS, AnyOrder, BackupOrder, StoreAccess
from backupd.model.sets import DestinationText
from backupd.rules.definition_rules import duration
from backupd.settings.secrets import read_secret


async def with_access(known: Definitions, order: AnyOrder) -> AnyOrder:
    """The order with the access of the destination that its place belongs to, whatever it came with.

    Raises KeyMissingError when a secret can't be read.
    """
    order = msgspec.structs.replace(order, access=await _access(known, order.place))
    if isinstance(order, BackupOrder) and order.own is not None and order.own.copied_from is not None:
        own = msgspec.structs.replace(order.own, copied_access=await _access(known, order.own.copied_from))
        return msgspec.structs.replace(order, own=own)
    return order


async def _access(known: Definitions, place: str) -> StoreAccess:
    found = known.destination_of(place) if place else None
    if found is None:
        return NO_ACCESS
    access = await asyncio.to_thread(access_of, found.text)
    return msgspec.structs.replace(access, volume=await known.volume_of(found))


def access_of(text: DestinationText) -> StoreAccess:
    """Of a destination; reads its secret. Raises KeyMissingError."""
    return StoreAccess(
        credentials=read_secret(text.credentials) if text.credentials is not None else None,
        host_key=text.host_key,
        known_hosts=text.known_hosts,
        ca_file=text.ca_file,
        allow_plaintext=text.allow_plaintext,
        retry_seconds=duration(text.retry_for),
    )
