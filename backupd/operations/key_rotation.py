"""`key rotate`: a new epoch, and slots made anew for the secrets at hand."""

from __future__ import annotations

import msgspec

from backupd.errors import BackupError, KeyMissingError
from backupd.model import events
from backupd.model.orders import KeyOrder
from backupd.operations.context import JobContext
from backupd.operations.kept_keys import key_at_hand, load_kept, other_kept_secret
from backupd.operations.places import open_place, writing
from backupd.repository.key_management import Rotation, check_newest, rotate, slots_of
from backupd.repository.opening import NewSlot, OpenRepository, list_slots
from backupd.seal.slot import CLEAR_SECRET, Slot, secret_from_text
from backupd.settings.keys import KeyStore
from backupd.sizes import count


def run(order: KeyOrder, context: JobContext) -> events.Done:
    """Begin a new epoch; slots of other people's secrets are told, for they open older epochs only."""
    with writing(context, open_place(context)) as place:
        return _rotate(order, context, place.repository)


def _rotate(order: KeyOrder, context: JobContext, opened: OpenRepository) -> events.Done:
    check_newest(opened)
    done = rotate(opened, _secrets(order, context, opened), context.clock.now_ns())
    _update_kept(context, opened, done)
    left = [_named(name, slot) for name, slot in done.left.items()]
    result = {
        "repository": opened.text_id,
        "epoch": done.repository.keyring.number,
        "slots": [_named(name, slot) for name, slot in done.made.items()],
        "removed_slots": [_named(name, slot) for name, slot in done.removed.items()],
        "older_epochs_only": left,
        "changed": True,
    }
    for name, error in done.stay.items():
        context.warn(f"old key slot {name[:9]} still opens what was written before: {error.message}")
    if left:
        context.warn(
            f"opens only what was written before: {count(len(left), 'other key')}: {', '.join(left)}; "
            "add them anew with `bkctl key add` and remove the old slots"
        )
    context.warn(
        "what is stored already stays under the old keys; who has one and a copy can go on reading that: "
        "bkctl backup SET --migrate seals it anew where it lies"
    )
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _secrets(order: KeyOrder, context: JobContext, opened: OpenRepository) -> list[NewSlot]:
    """The secret that opened the repository, and the kept key where that is another one."""
    found, _ = list_slots(opened.place)
    label = opened.slot.label
    if opened.slot.kind == "clear":
        first = NewSlot("clear", CLEAR_SECRET, label)
    elif opened.slot.kind == "password" and order.unlock.secret is not None:
        first = NewSlot("password", order.unlock.secret, label)
    else:
        hand = key_at_hand(context, opened)
        secret = secret_from_text(hand.text) if hand is not None else None
        if secret is None:
            raise KeyMissingError("the secret that opened the repository is not at hand any more", hint="try again")
        first = NewSlot("key", secret, label)
    kept = other_kept_secret(context, opened)
    if kept is None or kept == first.secret:
        return [first]
    own = slots_of(opened.id, found, kept)
    return [first, NewSlot("key", kept, found[own[0]].label)] if own else [first]


def _update_kept(context: JobContext, opened: OpenRepository, done: Rotation) -> None:
    """Let the kept key's file name its new slot; the key itself is the same."""
    kept = load_kept(context, opened.text_id) if opened.slot.kind != "clear" else None
    secret = secret_from_text(kept.secret) if kept is not None else None
    if kept is None or secret is None:
        return
    for name in slots_of(opened.id, done.made, secret):
        try:
            KeyStore(context.directories.data).save(msgspec.structs.replace(kept, slot=name))
        except BackupError as error:
            # Only a label for people: the key in the file opens the new slot all the same.
            context.warn(f"the kept key's file was not renewed: {error.message}")


def _named(name: str, slot: Slot) -> str:
    return f"{name} ({slot.label})" if slot.label else name
