"""Changing what opens a repository: key slots added and removed, a new epoch; each step leaves one that opens.

Order of a rotation: keyring object, new slots, each read back and opened, then the old slots are deleted. A crash
leaves, in this order, a keyring that no slot names, old slots beside new ones, or some old slots too many; unlocking
prefers the newest epoch, so none of them locks anybody out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from backupd.destination.contract import Destination
from backupd.errors import (
    AmbiguousNameError,
    ConflictError,
    DestinationRefusedError,
    KeyMissingError,
    KeySlotNotFoundError,
    LastKeyError,
    SealError,
)
from backupd.repository.opening import NewSlot, OpenRepository, epoch_number, list_slots, load_keyring, parse_epoch
from backupd.seal import keyring as keyrings
from backupd.seal import slot as slots
from backupd.seal.slot import Slot, SlotMaker

_PREFIX_CHARACTERS = 4


class Rotation(msgspec.Struct, frozen=True):
    """What a rotation did."""

    repository: OpenRepository
    """Opened by the first of the new slots."""
    made: dict[str, Slot]
    """New slots by name, in the order of the secrets."""
    removed: dict[str, Slot]
    """Old slots of the same secrets."""
    left: dict[str, Slot]
    """Slots of other secrets, which open older epochs only."""
    stay: dict[str, DestinationRefusedError]
    """Old slots of the same secrets that could not be deleted, and why."""


def newest_epoch(place: Destination) -> int:
    """Number of the newest epoch that a key slot opens; 0 when there is no readable slot.

    A keyring that no slot names is what a rotation left that was broken off: nobody can open it, so it doesn't count.
    """
    found, _ = list_slots(place)
    keyrings_there = _keyring_names(place)
    return max((epoch_number(slot) for slot in found.values() if slot.keyring in keyrings_there), default=0)


def check_newest(repository: OpenRepository) -> None:
    """Refuse to write with a key of an older epoch: who rotated wants nothing more written under the old keys.

    Raises KeyMissingError.
    """
    newest = newest_epoch(repository.place)
    if newest > repository.keyring.number:
        raise KeyMissingError(
            f"this key opens what was written up to epoch {repository.keyring.number}, "
            f"but the repository is in epoch {newest}",
            hint="use a key that was there at the last `bkctl key rotate`, or have one added with `bkctl key add`",
            context={"epoch": repository.keyring.number, "newest": newest, "slot": repository.slot_name},
        )


def slots_of(repository_id: bytes, found: dict[str, Slot], secret: bytes) -> list[str]:
    """Names of all slots that a secret opens. A password costs about a second for each slot of a password."""
    key = secret if len(secret) == slots.SECRET_BYTES else slots.secret_from_text(secret.decode(errors="replace"))
    # A key could be somebody's password, too; but then it opens its own slot, and each try costs a second.
    candidate = secret if key is None else key
    return [
        name
        for name, slot in found.items()
        if (slot.kind == "password") is (key is None)
        and slots.open_slot(repository_id, name, slot, candidate) is not None
    ]


def find_slot(found: dict[str, Slot], wanted: str) -> str:
    """The slot that a name, a prefix of one or a label means. Raises KeySlotNotFoundError, AmbiguousNameError."""
    by_label = [name for name, slot in found.items() if slot.label == wanted]
    hits = [wanted] if wanted in found else by_label
    if not hits and len(wanted) >= _PREFIX_CHARACTERS:
        hits = [name for name in found if name.startswith(wanted)]
    if not hits:
        raise KeySlotNotFoundError(
            f"no key slot is named '{wanted}'", hint="`bkctl key list` names them", context={"slots": sorted(found)}
        )
    if len(hits) > 1:
        raise AmbiguousNameError(
            f"'{wanted}' means {len(hits)} key slots", hint="name one in full", context={"candidates": sorted(hits)}
        )
    return hits[0]


def check_removable(repository: OpenRepository, name: str) -> None:
    """Raises LastKeyError when nobody could open the newest epoch without this slot."""
    _check_rest(repository.place, newest_epoch(repository.place), name)


def remove_slot(repository: OpenRepository, name: str) -> None:
    """Delete a slot. Raises LastKeyError when nobody could open the newest epoch without it."""
    place = repository.place
    newest = newest_epoch(place)
    _check_rest(place, newest, name)
    data = place.get(f"keys/{name}")
    place.delete(f"keys/{name}")
    try:
        # Somebody else may have removed another at the same moment.
        _check_rest(place, newest, name)
    except LastKeyError:
        place.put(f"keys/{name}", [data])
        raise


def add_slot(repository: OpenRepository, new: NewSlot, now_ns: int) -> tuple[str, Slot]:
    """Publish one more slot for the repository's newest epoch and open it from there once. Raises SealError."""
    name, data = _prepare(repository.id, repository.keyring.current.name.text, repository.keyring_key, new, now_ns)
    return name, _publish(repository, name, data, new, repository.keyring_key)


def replace_slot(
    repository: OpenRepository, old: str, new: NewSlot, now_ns: int
) -> tuple[str, DestinationRefusedError | None]:
    """Publish a slot for a new secret, then delete the old one: at no moment none of the two opens.

    The new one's name, and why the old one stays where it does.
    """
    name, _ = add_slot(repository, new, now_ns)
    return name, delete_slot(repository.place, old)


def delete_slot(place: Destination, name: str) -> DestinationRefusedError | None:
    """Delete a slot that another one stands for; why it stays: it is locked, or the login may only add."""
    try:
        place.delete(f"keys/{name}")
    except DestinationRefusedError as error:
        return error
    return None


def rotate(repository: OpenRepository, secrets: Sequence[NewSlot], now_ns: int) -> Rotation:
    """Begin a new epoch and make the slots of these secrets anew.

    secrets: at least one; kinds and labels as the new slots shall have them. Raises KeyMissingError with a key of an
    older epoch, ConflictError when another rotation runs at the same moment.
    """
    place = repository.place
    check_newest(repository)
    before = _keyring_names(place)
    number = max(epoch.number for epoch in map(parse_epoch, before) if epoch is not None) + 1
    key = os.urandom(32)
    keyring = keyrings.next_keyring(repository.id, key, repository.keyring, number)
    own = keyring.current.name.text
    prepared = [(*_prepare(repository.id, own, key, new, now_ns), new) for new in secrets]
    place.put(f"keyring/{own}", [keyrings.seal_keyring(repository.id, key, keyring)])
    opened = load_keyring(place, repository.id, own, key)
    if _keyring_names(place) - before != {own} or newest_epoch(place) > repository.keyring.number:
        # Of two that run at once at least the one that looks last sees the other, and no slot names this keyring yet.
        with suppress(DestinationRefusedError):
            place.delete(f"keyring/{own}")
        raise ConflictError("another rotation runs at this moment", hint="see `bkctl key list`, then try again")
    made: dict[str, Slot] = {}
    for name, data, new in prepared:
        made[name] = _publish(repository, name, data, new, key)
    removed, left, stay = _remove_former(repository, secrets, own)
    first = next(iter(made))
    now_open = OpenRepository(repository.id, place, opened, key, first, made[first], repository.warnings)
    return Rotation(now_open, made, removed, left, stay)


def _remove_former(
    repository: OpenRepository, secrets: Iterable[NewSlot], own: str
) -> tuple[dict[str, Slot], dict[str, Slot], dict[str, DestinationRefusedError]]:
    found, _ = list_slots(repository.place)
    former = {name: slot for name, slot in found.items() if slot.keyring != own}
    names = {name for new in secrets for name in slots_of(repository.id, former, new.secret)}
    refused = {name: delete_slot(repository.place, name) for name in names}
    stay = {name: error for name, error in refused.items() if error is not None}
    removed = {name: slot for name, slot in former.items() if name in names and name not in stay}
    return removed, {name: slot for name, slot in former.items() if name not in names}, stay


def _prepare(repository_id: bytes, keyring: str, key: bytes, new: NewSlot, now_ns: int) -> tuple[str, bytes]:
    name = "k" + os.urandom(16).hex()
    return name, slots.make_slot(repository_id, name, new.secret, key, SlotMaker(new.kind, new.label, now_ns, keyring))


def _publish(repository: OpenRepository, name: str, data: bytes, new: NewSlot, key: bytes) -> Slot:
    repository.place.put(f"keys/{name}", [data])
    slot = slots.read_slot(name, repository.place.get(f"keys/{name}"))
    if slots.open_slot(repository.id, name, slot, new.secret) != key:
        delete_slot(repository.place, name)
        raise SealError(f"the new key slot {name} does not open what it should; nothing was removed")
    return slot


def _check_rest(place: Destination, newest: int, without: str) -> None:
    rest = [slot for name, slot in list_slots(place)[0].items() if name != without]
    if not any(epoch_number(slot) == newest for slot in rest):
        raise LastKeyError(
            "this is the last key that opens what is written now", hint="add another first: `bkctl key add`"
        )


def _keyring_names(place: Destination) -> set[str]:
    return {info.name.removeprefix("keyring/") for info in place.list("keyring/")}
