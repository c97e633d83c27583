"""From a set's text to the orders that job processes get; pure but for reading secrets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from backupd.catalog.definitions import StoredDestination, StoredRepository, StoredSet
from backupd.daemon.definitions import Definitions
from backupd.daemon.source_fields import read_fields
from backupd.model.cache_modes import DEFAULT_MIN_SIZE, CacheUse
from backupd.model.orders import (
    BackupOrder,
    FreeOrder,
    Limits,
    Order,
    OwnRepository,
    ReplicateOrder,
    RestoreOrder,
    Unlock,
)
from backupd.model.places import inside
from backupd.model.purge_orders import PurgeOrder
from backupd.model.sets import DestinationText, SetText
from backupd.model.streams import StreamOrder, StreamText
from backupd.model.tolerance import ToleranceOrder
from backupd.rules.owner_rules import read_owner
from backupd.rules.tolerance_checking import drop_permille
from backupd.settings.secrets import exposure_of, read_secret
from backupd.sizes import parse_duration, parse_parity, parse_size

_STREAM_SECONDS = 86400
Unlocked = TypeVar("Unlocked", bound=Order)


def backup_order(
    stored: StoredSet,
    destination: StoredDestination,
    known: StoredRepository | None,
    own: OwnRepository,
    *,
    identity: str,
    tags: dict[str, str],
    limits: Limits,
    dry_run: bool,
) -> BackupOrder:
    """The order of a run at one destination. Raises UsageError, KeyMissingError.

    known: where the set is there already. identity: the set's id in its snapshots, which also names its lock.
    """
    text = stored.text
    secret = read_secret(text.password) if text.password is not None else None
    return BackupOrder(
        place=destination.text.place,
        unlock=Unlock(secret=secret),
        new_secret=secret if text.encryption == "password" else None,
        time_zone=text.time_zone,
        **read_fields(text),
        set_name=text.name,
        set_id=bytes.fromhex(identity[1:]),
        own=own,
        existing=known is not None,
        if_running="wait",
        tags={**text.tags, **tags},
        dry_run=dry_run,
        limits=limits,
        compression=text.compression,
        deduplication=text.deduplication,
        chunk_size_bytes=parse_size(text.chunk_size) if text.chunk_size != "auto" else None,
        temporary_directory=text.temp_dir,
        is_temporary_optional=True,
        check_before_sending=text.check_before_sending,
        encryption=text.encryption,
        cipher=text.cipher,
        block_size_bytes=parse_size(text.block_size) if text.block_size is not None else None,
        parity=parity_of(text),
        streams=stream_orders(text.streams),
        tolerance=ToleranceOrder(rules=text.tolerate, drop_permille=drop_permille(text.drop_warning)),
        cache=cache_use(text),
        run_as=text.run_as,
    )


def cache_use(text: SetText) -> CacheUse:
    """How jobs of a set use the caches of its places. Raises UsageError."""
    if text.cache != "auto":
        return CacheUse(mode=text.cache)
    return CacheUse(mode="auto", min_bytes=parse_size(text.cache_min_size or DEFAULT_MIN_SIZE))


def stream_orders(streams: list[StreamText]) -> list[StreamOrder]:
    """Streams as jobs get them, with their secrets. Raises UsageError, KeyMissingError."""
    return [
        StreamOrder(
            text=text,
            timeout_seconds=parse_duration(text.timeout) if text.timeout is not None else _STREAM_SECONDS,
            secret=read_secret(text.password) if text.password is not None else None,
            warning=exposure_of(text.password) if text.password is not None else "",
        )
        for text in streams
    ]


def needs_secrets(order: Order) -> bool:
    """Whether the set's own secrets go with an order that a client sent."""
    if isinstance(order, RestoreOrder):
        return order.into_database is not None
    return isinstance(order, ReplicateOrder | FreeOrder | PurgeOrder)


def with_secrets(order: Unlocked, text: SetText) -> Unlocked:
    """The order with the secrets of its set that it needs. Raises KeyMissingError."""
    if isinstance(order, RestoreOrder):
        return msgspec.structs.replace(order, streams=_streams_for(order, text))
    return unlocked(order, text)


def _streams_for(order: RestoreOrder, text: SetText) -> list[StreamOrder]:
    """The set's streams; an ordinary caller gets none of its logins."""
    if order.caller is None:
        return stream_orders(text.streams)
    taken: dict[str, Any] = {"password": None, "login": None, "user": None, "environment": {}}
    return stream_orders([msgspec.structs.replace(one, **taken) for one in text.streams])


def copy_order(
    stored: StoredSet,
    source: StoredDestination,
    known: StoredRepository,
    to: DestinationText,
    *,
    limits: Limits,
    latest: bool = False,
    snapshot: str = "",
    existing: bool = False,
) -> ReplicateOrder:
    """The order to bring a set's snapshots from one destination to another place. known: the set's, at the first.

    latest: the newest alone; snapshot: id of the only one. Older ones that the other place lacks, it may have dropped.
    """
    return ReplicateOrder(
        place=inside(source.text.place, known.repository),
        to=to.place,
        set_names=[known.stored_set_id],
        latest=latest,
        snapshot=snapshot,
        existing=existing,
        parity=parity_of(stored.text),
        from_name=source.text.name,
        to_name=to.name,
        limits=limits,
        time_zone=stored.text.time_zone,
    )


def parity_of(text: SetText) -> int | None:
    """Percent of each new block; None: what the repository was made with. Raises UsageError."""
    return parse_parity(text.parity) if text.parity is not None else None


def own_repository(
    definitions: Definitions, stored: StoredSet, known: StoredRepository | None
) -> tuple[OwnRepository, str]:
    """(the set's repository, the set's id in it), the same everywhere. known: what is known of it at a destination.

    The repository's id is drawn from the set's own, so that it is the same after a crash. An adopted set goes by
    the id that it had.
    """
    if known is not None:
        return OwnRepository(repository=known.repository), known.stored_set_id
    for sibling in definitions.repositories:
        if sibling.set_id == stored.id:
            place = definitions.destination(sibling.destination_id).text.place
            origin = inside(place, sibling.repository)
            return OwnRepository(repository=sibling.repository, copied_from=origin), sibling.stored_set_id
    owner = read_owner(stored.text.owner or "")
    former = owner.after or []
    if not definitions.owners.is_own(stored):
        # It is never stored from here: a dry run goes by what its owner stored, or who had it before.
        former = [name for name in (owner.name, *former) if name]
    return OwnRepository(repository="r" + stored.id[1:], adopts=True, after=former), stored.id


def unlocked(order: Unlocked, text: SetText) -> Unlocked:
    """The order with the set's password where it came without a secret. Raises KeyMissingError."""
    if order.unlock.secret is not None or text.password is None:
        return order
    return msgspec.structs.replace(order, unlock=Unlock(secret=read_secret(text.password)))


def restore_hint(text: SetText, place: str | None = None) -> str:
    """The command that brings all of a set back. place: where it is, of what is at no destination yet."""
    origin = f" --from {shlex.quote(place)}" if place is not None else ""
    return f"bkctl restore {text.name}{origin} --to restored"


def sheet_hint(text: SetText, place: str | None = None) -> str:
    """The command that prints the sheet of a set's key."""
    return f"bkctl key sheet --from {shlex.quote(place)}" if place is not None else f"bkctl key sheet {text.name}"


def add_names(
    run: dict[str, Any], job_id: str, text: SetText, group: Sequence[StoredDestination], origin: str | None
) -> None:
    """Add to a run of a result what its job's process does not know: names, and commands to go on with.

    group: of its destinations, in its order. origin: directory of a first copy on a disk.
    """
    run["job"] = job_id
    run["restore_command"] = restore_hint(text, origin) if run.get("snapshot") else None
    run["key"] = {**(run.get("key") or {}), "sheet_command": sheet_hint(text, origin)}
    for destination, entry in zip(group, run.get("destinations") or [], strict=False):
        entry["name"] = destination.text.name
