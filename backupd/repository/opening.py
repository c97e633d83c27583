"""Making and opening a repository: from a place and a secret to keys (DESIGN 4)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial

import msgspec

from backupd.destination.contract import Below, Destination
from backupd.errors import (
    DamageError,
    FormatError,
    KeyMissingError,
    NewerVersionError,
    ObjectMissingError,
    WrongKeyError,
)
from backupd.repository import identity
from backupd.repository.any_copy import Source, distinct, of_any_copy
from backupd.seal import keyring as keyrings
from backupd.seal import slot as slots
from backupd.seal.cipher import EpochName
from backupd.seal.keyring import Configuration, EpochKeys, Keyring
from backupd.seal.slot import CLEAR_SECRET, Slot, SlotKind, SlotMaker

_EPOCH = re.compile(r"(\d{1,9})-([0-9a-f]{16})")


class OpenRepository(msgspec.Struct, frozen=True):
    """A repository whose keys are at hand. `place` sees the repository's folder only."""

    id: bytes
    place: Destination
    keyring: Keyring
    keyring_key: bytes
    slot_name: str
    slot: Slot
    warnings: list[str] = []

    @property
    def text_id(self) -> str:
        """`r` and 32 hex digits."""
        return identity.id_text(self.id)

    @property
    def is_clear(self) -> bool:
        """Whether it was opened without any key: it is not encrypted."""
        return self.slot.kind == "clear"


class NewSlot(msgspec.Struct, frozen=True):
    """What a new repository's first key slot is made of."""

    kind: SlotKind
    secret: bytes
    label: str


def create(
    place: Destination, repository_id: bytes, config: Configuration, new: NewSlot, now_ns: int
) -> OpenRepository:
    """Make a repository: keyring, one key slot, and last the text objects that make it one.

    A crash before these leaves nothing that anyone takes for a repository. Raises ConflictError when another maker of
    the same repository was first.
    """
    keyring_key = os.urandom(32)
    keyring = keyrings.new_keyring(repository_id, keyring_key, config)
    below = Below(place, identity.id_text(repository_id))
    below.put(f"keyring/{keyring.current.name.text}", [keyrings.seal_keyring(repository_id, keyring_key, keyring)])
    name, slot = add_slot(below, repository_id, keyring, keyring_key, new, now_ns)
    identity.write_identity(place, repository_id, keyring.current.name.text, now_ns)
    return OpenRepository(repository_id, below, keyring, keyring_key, name, slot)


def add_slot(
    place: Destination, repository_id: bytes, keyring: Keyring, keyring_key: bytes, new: NewSlot, now_ns: int
) -> tuple[str, Slot]:
    """Publish a key slot for the keyring; returns its name and itself."""
    name = "k" + os.urandom(16).hex()
    maker = SlotMaker(new.kind, new.label, now_ns, keyring.current.name.text)
    data = slots.make_slot(repository_id, name, new.secret, keyring_key, maker)
    place.put(f"keys/{name}", [data])
    return name, slots.read_slot(name, data)


def list_slots(place: Destination) -> tuple[dict[str, Slot], list[str]]:
    """All key slots by name, and what is wrong with those that can't be read.

    Raises NewerVersionError where all of them are of a newer version.
    """
    found: dict[str, Slot] = {}
    problems: list[str] = []
    newer: NewerVersionError | None = None
    for info in place.list("keys/"):
        name = info.name.removeprefix("keys/")
        try:
            found[name] = of_any_copy(place, info.name, partial(_read_slot, name))
        except FormatError as error:
            problems.append(error.message)
        except NewerVersionError as error:
            newer = error
            problems.append(error.message)
    if newer is not None and not found:
        raise newer
    return found, problems


def _read_slot(name: str, source: Source) -> Slot:
    return slots.read_slot(name, source.get(f"keys/{name}", 0, 64 << 10))


def _other_slots(place: Destination, found: Mapping[str, Slot]) -> Iterator[dict[str, Slot]]:
    """Slots whose copies differ, where a place keeps several: one may be damaged, and only a key tells which.

    As many times at most as a slot has readable copies.
    """
    copies: dict[str, list[Slot]] = {}
    for name in found:
        for data in distinct(place, f"keys/{name}"):
            with suppress(DamageError, NewerVersionError):
                slot = slots.read_slot(name, data)
                if slot != found[name]:
                    copies.setdefault(name, []).append(slot)
    for number in range(max(map(len, copies.values()), default=0)):
        yield {name: slots[number] for name, slots in copies.items() if number < len(slots)}


def unlock(place: Destination, repository_id: bytes, secret: bytes, first: str = "") -> OpenRepository:
    """Try a secret on all key slots: newer epochs before older ones, then the slot named `first`.

    So a rotation that was broken off, which leaves an old slot beside the new one, opens the new epoch.
    secret: a password, or the 32 bytes or 44 characters of a key. Raises WrongKeyError, DamageError.
    """
    found, problems = list_slots(place)
    try:
        return _unlock(place, repository_id, secret, first, found, problems)
    except (DamageError, WrongKeyError):
        for others in _other_slots(place, found):
            with suppress(DamageError, WrongKeyError):
                return _unlock(place, repository_id, secret, first, others, problems)
        raise


def _unlock(
    place: Destination,
    repository_id: bytes,
    secret: bytes,
    first: str,
    found: dict[str, Slot],
    problems: list[str],
) -> OpenRepository:
    if not found:
        raise DamageError(
            "the repository has no readable key slot" + "".join(f"; {p}" for p in problems),
            hint="copy keys/ from another destination of this repository",
        )
    key = secret if len(secret) == slots.SECRET_BYTES else slots.secret_from_text(secret.decode(errors="replace"))
    origins = identity.first_keyrings(place)
    # A key is tried on its own kind first: on a password's slot each try takes about a second.
    ordered = sorted(
        found,
        key=lambda name: (
            (found[name].kind != "password") is (key is not None),
            epoch_number(found[name]),
            name == first,
            found[name].created_ns,
        ),
        reverse=True,
    )
    for name in ordered:
        slot = found[name]
        for candidate in _candidates(slot, secret, key):
            keyring_key = slots.open_slot(repository_id, name, slot, candidate)
            if keyring_key is not None:
                keyring = load_keyring(place, repository_id, slot.keyring, keyring_key)
                if origins and keyring.epochs[0].name.text not in origins:
                    # Left by a maker who was not the first; nothing was ever sealed with it.
                    continue
                return OpenRepository(repository_id, place, keyring, keyring_key, name, slot, problems)
    raise WrongKeyError(
        "this password or key opens none of the repository's key slots",
        hint="is it the key of another repository, or mistyped? `bkctl key list` names the slots",
        context={"slots": [found[name].label for name in ordered], "problems": problems},
    )


def unlock_clear(place: Destination, repository_id: bytes) -> OpenRepository | None:
    """Open a repository made with `--encryption none`; None when it is encrypted."""
    found, _ = list_slots(place)
    if not any(slot.kind == "clear" for slot in found.values()):
        return None
    return unlock(place, repository_id, CLEAR_SECRET)


def load_keyring(place: Destination, repository_id: bytes, name: str, keyring_key: bytes) -> Keyring:
    """The keyring that a slot opens. Raises DamageError."""
    epoch = parse_epoch(name)
    if epoch is None:
        raise FormatError(f"a key slot names '{name}', which is no keyring")

    def read(source: Source) -> Keyring:
        try:
            data = source.get(f"keyring/{name}", 0, 1 << 20)
        except ObjectMissingError as error:
            raise DamageError(f"keyring/{name} is missing") from error
        return keyrings.open_keyring(repository_id, keyring_key, epoch, data)

    return of_any_copy(place, f"keyring/{name}", read)


def epoch_keys(repository: OpenRepository, epoch: EpochName, what: str) -> EpochKeys:
    """Keys of the epoch that an object names.

    Raises KeyMissingError for an epoch after the key at hand, FormatError for one that never was: then the object is
    damaged.
    """
    try:
        return repository.keyring.keys_of(epoch)
    except KeyMissingError as error:
        if repository.place.size(f"keyring/{epoch.text}") is None:
            raise FormatError(f"{what} names epoch {epoch.text}, of which there is no keyring") from error
        raise


def parse_epoch(name: str) -> EpochName | None:
    """The epoch of a name below `keyring/`; None for what is none."""
    match = _EPOCH.fullmatch(name)
    return EpochName(int(match[1]), bytes.fromhex(match[2])) if match else None


def epoch_number(slot: Slot) -> int:
    """Number of the newest epoch that a slot opens; 0 where it names none."""
    epoch = parse_epoch(slot.keyring)
    return epoch.number if epoch else 0


def _candidates(slot: Slot, secret: bytes, key: bytes | None) -> list[bytes]:
    if slot.kind == "password":
        return [secret]
    return [key] if key is not None else []
