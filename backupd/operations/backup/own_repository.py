"""A set's own repository at a place: found again after the daemon's state was lost, or begun from another place's."""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial

from backupd.destination.contract import Below, Destination
from backupd.errors import BackupError, DamageError, DestinationUnreachableError, FormatError, ObjectExistsError
from backupd.model.orders import BackupOrder, OwnRepository
from backupd.operations.context import JobContext
from backupd.operations.places import list_snapshots, open_repository, split_place
from backupd.repository import identity
from backupd.repository.any_copy import of_any_copy
from backupd.repository.opening import parse_epoch
from backupd.seal.slot import read_slot
from backupd.settings.keys import KeyStore

_FOLDERS = ("keys/", "keyring/")


def lost(path: str) -> DestinationUnreachableError:
    """A place where a set's repository was: nothing is made in its stead, for another disk may be mounted there."""
    return DestinationUnreachableError(
        f"{path} does not hold the repository that it held before",
        hint="is the right disk mounted there? If it is gone for good, remove the destination and add it anew",
    )


def find_own(context: JobContext, order: BackupOrder, whole: Destination, names: list[str]) -> str | None:
    """The repository at a place that holds this host's set of the order's name, where its key is at hand.

    Says so; None: there is none.
    """
    kept = set(KeyStore(context.directories.data).repository_ids())
    host_name = order.host_name or context.host.name
    for repository in identity.list_repositories(whole, names):
        if repository not in kept and order.unlock.secret is None:
            continue
        try:
            listing = list_snapshots(open_repository(context, whole, order.place, repository, order.access))
        except BackupError as error:
            context.warn(f"{order.place}/{repository} is passed over: {error.message}")
            continue
        if any(s.set_name == order.set_name and s.host_name == host_name for _, s in listing.found):
            context.warn(f"{order.set_name}: what lies in {order.place}/{repository} is taken over and goes on")
            return repository
    return None


def copy_identity_from(context: JobContext, own: OwnRepository, origin: str, whole: Destination) -> None:
    """Make the same repository as lies elsewhere. origin: PLACE/ID of that one."""
    path, _ = split_place(origin)
    with closing(context.open_store(path, "reader", own.copied_access)) as place:
        copy_identity(Below(place, own.repository), Below(whole, own.repository))


def copy_identity(source: Destination, target: Destination) -> None:
    """Make the same repository at another place: its keys and keyrings as they are, its text objects last.

    A crash leaves a repository that does not exist yet; the next call goes on. A damaged key slot is left out: nothing
    else could ever stand there under its name.
    """
    names = [info.name for folder in _FOLDERS for info in source.list(folder)]
    for name in [*sorted(names), *identity.TWINS]:
        try:
            data = of_any_copy(source, name, partial(_read, source, name))
        except DamageError:
            continue
        with suppress(ObjectExistsError):
            target.put(name, [data])


def _read(source: Destination, name: str) -> bytes:
    """Bytes of an object. Raises DamageError for a key slot that is seen to be damaged."""
    data = source.get(name)
    if name.startswith(_FOLDERS[0]):
        slot = read_slot(name.removeprefix(_FOLDERS[0]), data)
        if parse_epoch(slot.keyring) is None:
            raise FormatError(f"{name} names '{slot.keyring}', which is no keyring")
    return data
