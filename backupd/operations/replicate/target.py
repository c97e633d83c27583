"""The place that is copied to: the same repository there, made of the other one's keys where it is not there yet."""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.destination.contract import Below, Store
from backupd.destination.stores import canonical
from backupd.errors import ConflictError, ObjectExistsError, UsageError, WrongKeyError
from backupd.model.orders import ReplicateOrder
from backupd.operations.backup.own_repository import copy_identity, lost
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_repository, remove_dead_temporaries, split_place
from backupd.repository import identity, opening
from backupd.repository.key_management import check_newest
from backupd.repository.parity_setting import with_parity
from backupd.settings.lock import SetLock
from backupd.settings.writer_mark import WriterMark

_MAKING_SECONDS = 30.0


def address_of(order: ReplicateOrder, old: OpenPlace) -> str:
    """The place to copy to. Raises UsageError where it is the one that is copied from, or names another repository."""
    address, repository = split_place(order.to)
    if canonical(address) == canonical(old.address):
        raise UsageError("both places are the same", hint="--to names the place that is to get what --from has")
    if repository not in (None, old.repository.text_id):
        raise UsageError(
            f"--to names the repository {repository}, --from has {old.repository.text_id}",
            hint="name the place alone: the repository has the same id at each",
        )
    return address


def open_target(
    order: ReplicateOrder, context: JobContext, old: OpenPlace, whole: Store, address: str
) -> tuple[OpenPlace, bool]:
    """(the repository at the new place, whether it was made now). whole: of the new place, to write to.

    Raises ConflictError for another repository of that id or for keys that have gone other ways, PlaceOccupiedError,
    DestinationUnreachableError for one that was there before, WrongKeyError, KeyMissingError.
    """
    repository = old.repository.text_id
    making = SetLock(context.directories.state, f"place-{identity.place_tag(canonical(address))}")
    making.acquire(context.clock, _MAKING_SECONDS, context.cancel)
    with making:
        names = whole.top_names()
        is_made = repository not in identity.list_repositories(whole, names)
        if is_made and order.existing:
            raise lost(address)
        if is_made:
            identity.check_is_ours(whole, names)
            copy_identity(context, old.repository.place, Below(whole, repository), old.repository)
            new = _opened(order, context, whole, address, repository)
        else:
            _refuse_another(old, whole)
            new = _opened(order, context, whole, address, repository)
            if _copy_epochs(old, new):
                new = _opened(order, context, whole, address, repository)
    compare_keys(old, new)
    check_newest(new.repository)
    return msgspec.structs.replace(new, repository=with_parity(new.repository, order.parity)), is_made


def remove_leftovers(context: JobContext, new: OpenPlace, whole: Store, mark: WriterMark) -> None:
    """Remove temporary files of writers of this state that were killed, and finish what a killed maker began."""
    repository = new.repository.text_id
    identity.complete_twins(whole, repository)
    remove_dead_temporaries(mark, whole, repository)
    whole.remove_empty_folders(f"{repository}/sessions")
    for directory in (context.directories.state, os.path.join(context.directories.state, "journals")):
        durable_io.remove_leftovers(directory)


def _opened(order: ReplicateOrder, context: JobContext, whole: Store, address: str, repository: str) -> OpenPlace:
    return open_repository(context, whole, address, repository, order.to_access)


def _refuse_another(old: OpenPlace, whole: Store) -> None:
    """A repository of the same id that was begun with another keyring is not the same one."""
    below = Below(whole, old.repository.text_id)
    ours, theirs = identity.first_keyrings(old.repository.place), identity.first_keyrings(below)
    if ours and theirs and not ours & theirs:
        raise ConflictError(
            f"another repository lies there under the id {old.repository.text_id[:9]}",
            hint="name another place; nothing was written",
        )


def _copy_epochs(old: OpenPlace, new: OpenPlace) -> bool:
    """Bring the keyrings of epochs that the new place lacks, with the key slots that open them; whether there are some.

    Other slots are left: one that was removed there is not to come back. Raises ConflictError where keys were rotated
    at both places apart.
    """
    ours, theirs = ({keys.name.text for keys in place.repository.keyring.epochs} for place in (old, new))
    lacking = ours - theirs
    if not lacking:
        return False
    if theirs - ours:
        raise _gone_apart()
    source, target = old.repository.place, new.repository.place
    slots, _ = opening.list_slots(source)
    names = [f"keyring/{name}" for name in sorted(lacking)]
    names += [f"keys/{name}" for name, slot in sorted(slots.items()) if slot.keyring in lacking]
    for name in names:
        with suppress(ObjectExistsError):
            target.put(name, [source.get(name)])
    return True


def compare_keys(old: OpenPlace, new: OpenPlace) -> None:
    """The new place must open all that comes from the old one. Raises ConflictError, WrongKeyError."""
    ours, theirs = old.repository.keyring, new.repository.keyring
    if (ours.chunk_id_key, ours.chunker_seed) != (theirs.chunk_id_key, theirs.chunker_seed):
        raise ConflictError(
            f"the repository {old.repository.text_id[:9]} has other keys there", hint="name another place"
        )
    known = {keys.name.text: keys for keys in theirs.epochs}
    if any(known.get(keys.name.text) != keys for keys in ours.epochs):
        if {keys.name.text for keys in ours.epochs} <= known.keys():
            raise WrongKeyError("an epoch has other keys there", hint="name another place")
        raise _gone_apart()


def _gone_apart() -> ConflictError:
    return ConflictError(
        "the keys were rotated at both places apart, so neither knows all keys of the other",
        hint="name a new place: it gets the repository with the keys of the old one",
    )
