"""Making and opening a repository: from a place and a secret to keys (DESIGN 4)."""

from __future__ import annotations

import os

import msgspec

from backupd.destination.contract import Below, Destination
from backupd.errors import DamageError, FormatError, ObjectMissingError, WrongKeyError
from backupd.repository import identity
from backupd.seal import keyring as keyrings
from backupd.seal import slot as slots
from backupd.seal.cipher import EpochName
from backupd.seal.keyring import Configuration, Keyring
from backupd.seal.slot import CLEAR_SECRET, Slot, SlotKind, SlotMaker


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


class NewSlot(msgspec.Struct, frozen=True):
    """What a new repository's first key slot is made of."""

    kind: SlotKind
    secret: bytes
    label: str


def create(place: Destination, repository_id: bytes, config: Configuration, new: NewSlot, now_ns: int) -> OpenRepository:
    """Make a repository: identity, keyring, one key slot, in this order."""
    keyring_key = os.urandom(32)
    keyring = keyrings.new_keyring(repository_id, keyring_key, config)
    identity.write_identity(place, repository_id, now_ns)
    below = Below(place, identity.id_text(repository_id))
    below.put(f"keyring/{keyring.current.name.text}", [keyrings.seal_keyring(repository_id, keyring_key, keyring)])
    name, slot = add_slot(below, repository_id, keyring, keyring_key, new, now_ns)
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
    """All key slots by name, and what is wrong with those that can't be read."""
    found: dict[str, Slot] = {}
    problems: list[str] = []
    for info in place.list("keys/"):
        name = info.name.removeprefix("keys/")
        try:
            found[name] = slots.read_slot(name, place.get(info.name, 0, 64 << 10))
        except FormatError as error:
            problems.append(error.message)
    return found, problems


def unlock(place: Destination, repository_id: bytes, secret: bytes, first: str = "") -> OpenRepository:
    """Try a secret on all key slots, the one named `first` before the others, newer ones before older.

    secret: a password, or the 32 bytes or 44 characters of a key. Raises WrongKeyError, DamageError.
    """
    found, problems = list_slots(place)
    if not found:
        raise DamageError(
            "the repository has no readable key slot" + "".join(f"; {p}" for p in problems),
            hint="copy keys/ from another destination of this repository",
        )
    key = secret if len(secret) == slots.SECRET_BYTES else slots.secret_from_text(secret.decode(errors="replace"))
    ordered = sorted(found, key=lambda name: (name == first, found[name].created_ns), reverse=True)
    for name in ordered:
        slot = found[name]
        for candidate in _candidates(slot, secret, key):
            keyring_key = slots.open_slot(repository_id, name, slot, candidate)
            if keyring_key is not None:
                keyring = load_keyring(place, repository_id, slot.keyring, keyring_key)
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
    number, _, random = name.partition("-")
    try:
        epoch = EpochName(int(number), bytes.fromhex(random))
    except ValueError as error:
        raise FormatError(f"a key slot names '{name}', which is no keyring") from error
    try:
        data = place.get(f"keyring/{name}", 0, 1 << 20)
    except ObjectMissingError as error:
        raise DamageError(f"keyring/{name} is missing") from error
    return keyrings.open_keyring(repository_id, keyring_key, epoch, data)


def _candidates(slot: Slot, secret: bytes, key: bytes | None) -> list[bytes]:
    if slot.kind == "password":
        return [secret]
    return [key] if key is not None else []
