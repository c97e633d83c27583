"""A set's own repository at a place: found again after the daemon's state was lost, or begun from another place's."""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial

from backupd.destination.contract import Below, Destination
from backupd.errors import (
    BackupError,
    DamageError,
    DestinationUnreachableError,
    FormatError,
    NewerVersionError,
    ObjectExistsError,
    RepositoryNotFoundError,
)
from backupd.model.orders import BackupOrder, OwnRepository
from backupd.operations.context import JobContext
from backupd.operations.places import readable_repositories, split_place
from backupd.operations.snapshot_listing import list_snapshots
from backupd.operations.unlocking import not_here
from backupd.repository import identity
from backupd.repository.any_copy import Source, distinct, of_any_copy
from backupd.repository.opening import OpenRepository, parse_epoch
from backupd.seal.keyring import open_keyring
from backupd.seal.slot import read_slot

_FOLDERS = ("keys/", "keyring/")


def lost(path: str) -> DestinationUnreachableError:
    """A place where a set's repository was: nothing is made in its stead, for another disk may be mounted there."""
    return DestinationUnreachableError(
        f"{path} does not hold the repository that it held before",
        hint="is the right disk mounted there? If it is gone for good, remove the destination and add it anew",
    )


def find_own(
    context: JobContext, order: BackupOrder, own: OwnRepository, whole: Destination, names: list[str]
) -> str | None:
    """The repository at a place that holds the order's set, of this host or a former owner, where its key is at hand.

    Says so; None: there is none. Raises KeyMissingError, RepositoryNotFoundError where a former owner's was to go on.
    """
    hosts = [host.casefold() for host in (*own.after, order.host_name or context.host.name)]
    newest: dict[str, tuple[int, str]] = {}
    closed: list[str] = []
    for found in readable_repositories(context, whole, order.place, order.access, names, list_snapshots):
        if isinstance(found, str):
            closed.append(found)
            continue
        place, listing = found
        if place.repository.is_clear and order.encryption != "none":
            # Who can write to the place may have laid it there, to read what is stored from now on.
            continue
        for _, one in listing.found:
            host = one.host_name.casefold()
            if one.set_name == order.set_name and host in hosts:
                newest[host] = max(newest.get(host, (0, "")), (one.started_ns, place.repository.text_id))
    at = next((at for at, one in enumerate(hosts) if one in newest), None)
    if at is not None:
        repository = newest[hosts[at]][1]
        whose = f"{own.after[at]}:{order.set_name}" if at < len(own.after) else order.set_name
        lying = f"{whose}: what lies in {order.place}/{repository}"
        context.warn(f"{lying} would go on" if order.dry_run else f"{lying} is taken over and goes on")
        return repository
    if order.estimate:
        # Of what it would take there, if nothing of it is at hand.
        return None
    if own.after:
        raise _not_found(context, order, own, closed)
    return None


def _not_found(context: JobContext, order: BackupOrder, own: OwnRepository, closed: list[str]) -> BackupError:
    """Nothing is begun beside what a former owner stored: that would be stored a second time, under another key."""
    error = not_here(context, f"{own.after[0]}:{order.set_name}", order.place, closed)
    if closed or order.dry_run:
        # A dry run may be of another machine's set, which is not to be begun anew from here.
        return error
    anew = f"owner: {{name: {context.host.name}, after: []}}"
    return RepositoryNotFoundError(error.message, hint=f"{error.hint} To begin anew, its text has to say: {anew}")


def copy_identity_from(context: JobContext, own: OwnRepository, origin: str, whole: Destination) -> None:
    """Make the same repository as lies elsewhere. origin: PLACE/ID of that one."""
    path, _ = split_place(origin)
    with closing(context.open_store(path, "reader", own.copied_access)) as place:
        copy_identity(context, Below(place, own.repository), Below(whole, own.repository))


def copy_identity(
    context: JobContext, source: Destination, target: Destination, known: OpenRepository | None = None
) -> None:
    """Make the same repository at another place: its keys and keyrings as they are, its text objects last.

    A crash leaves a repository that does not exist yet; the next call goes on. A key slot that is damaged, or of which
    the place's copies differ, is left out and told, but the one that `known` was opened by: nothing else could ever
    stand there under its name.
    """
    names = [info.name for folder in _FOLDERS for info in source.list(folder)]
    for name in [*sorted(names), *identity.TWINS]:
        data = _certain(source, name, known)
        if data is None:
            context.warn(f"{name} is damaged at {source.shown} and not copied; what it opens, another key has to open")
            continue
        with suppress(ObjectExistsError):
            target.put(name, [data])


def _certain(source: Destination, name: str, known: OpenRepository | None) -> bytes | None:
    """Bytes of an object; None where it is damaged, or its copies differ and nothing tells which is whole."""
    copies = distinct(source, name) if name.startswith(_FOLDERS) else []
    if len(copies) < 2:
        try:
            return of_any_copy(source, name, partial(_read, name))
        except DamageError:
            return None
    for data in copies:
        with suppress(DamageError, NewerVersionError):
            if known is not None and _is_of(known, name, data):
                return data
    return None


def _is_of(known: OpenRepository, name: str, data: bytes) -> bool:
    """Whether it is the slot, or the keyring, that a repository was opened by. Raises DamageError."""
    folder, _, own = name.partition("/")
    if folder == "keys":
        return own == known.slot_name and read_slot(own, data) == known.slot
    epoch = parse_epoch(own)
    if epoch is None or own != known.slot.keyring:
        return False
    return open_keyring(known.id, known.keyring_key, epoch, data) == known.keyring


def _read(name: str, source: Source) -> bytes:
    """Bytes of an object. Raises DamageError for a key slot that is seen to be damaged."""
    data = source.get(name)
    if name.startswith(_FOLDERS[0]):
        slot = read_slot(name.removeprefix(_FOLDERS[0]), data)
        if parse_epoch(slot.keyring) is None:
            raise FormatError(f"{name} names '{slot.keyring}', which is no keyring")
    return data
