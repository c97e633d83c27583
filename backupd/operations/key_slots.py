"""`key add`, `key remove`, `key password`: slots of an open repository."""

from __future__ import annotations

import unicodedata

from backupd.errors import AnswerNeededError, ConflictError, SomeDestinationsError, StoppedError, UsageError
from backupd.model import events
from backupd.model.orders import KeyOrder
from backupd.operations.context import JobContext, error_fields
from backupd.operations.kept_keys import slots_of_kept
from backupd.operations.places import open_place, writing
from backupd.operations.unlocking import secret_of
from backupd.repository import key_management
from backupd.repository.opening import NewSlot, OpenRepository, epoch_number, list_slots
from backupd.seal.slot import new_secret, secret_from_text, secret_to_text
from backupd.store_errors import ObjectLockedError

_MOST_LABEL_CHARACTERS = 100
_NO_TAKING_BACK = (
    "this does not help against who has seen the old {what} and has a copy of its slot: "
    "`bkctl key rotate` keeps what is written from now on from them"
)


def run_add(order: KeyOrder, context: JobContext) -> events.Done:
    """Add a slot for the given password or key, else for a new random key, which is told once and kept nowhere."""
    with writing(context, open_place(context)) as place:
        return _add(order, context, place.repository)


def _add(order: KeyOrder, context: JobContext, opened: OpenRepository) -> events.Done:
    label = _check_label(order.label or "")
    key_management.check_newest(opened)
    new, key = _new_slot(order, label)
    new, former = _compare(opened, new)
    name, slot = key_management.add_slot(opened, new, context.clock.now_ns())
    refused = {old: key_management.delete_slot(opened.place, old) for old in former}
    for old, error in refused.items():
        if error is not None:
            context.warn(f"the same key's older slot {old[:9]} stays: {error.message}")
    result = {
        "repository": opened.text_id,
        "slot": name,
        "label": slot.label,
        "kind": slot.kind,
        "epoch": opened.keyring.number,
        "removed_slots": [old for old, error in refused.items() if error is None],
        "key": key,
        "changed": True,
    }
    if key is not None:
        context.warn("this key is shown once and kept nowhere: print it or write it down now")
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def run_remove(order: KeyOrder, context: JobContext) -> events.Done:
    """Remove a slot after asking; the one that opened the repository only by typing its name."""
    with writing(context, open_place(context)) as place:
        return _remove(order, context, place.repository)


def _remove(order: KeyOrder, context: JobContext, opened: OpenRepository) -> events.Done:
    found, _ = list_slots(opened.place)
    name = key_management.find_slot(found, order.slot or "")
    key_management.check_removable(opened, name)
    shown = f"{name[:9]} ({found[name].label})" if found[name].label else name[:9]
    is_own = name == opened.slot_name
    question = f"Remove key slot {shown}? Who has only that key can't read the backup any more"
    if is_own:
        question = f"Key slot {shown} is the one you use now. Remove it all the same?"
    _confirm(context, question, name if is_own else "")
    is_kept = slots_of_kept(context, opened.text_id, found) == [name]
    key_management.remove_slot(opened, name)
    if is_kept:
        context.warn(f"the key kept on this machine opened that slot; {opened.text_id[:9]} now needs another key here")
    context.warn(_NO_TAKING_BACK.format(what="key"))
    result = {"repository": opened.text_id, "slot": name, "label": found[name].label, "changed": True}
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def run_password(order: KeyOrder, context: JobContext) -> events.Done:
    """Put a new password in the place of the one that opened the repository."""
    with writing(context, open_place(context)) as place:
        return _password(order, context, place.repository)


def _password(order: KeyOrder, context: JobContext, opened: OpenRepository) -> events.Done:
    if opened.slot.kind != "password":
        raise ConflictError(
            "no password opened this repository, so there is none to change",
            hint="`bkctl key add --new-password-file FILE` adds one; give the old one by --password-file to change it",
        )
    key_management.check_newest(opened)
    if order.new_secret is None:
        raise AnswerNeededError("a new password is needed", hint="give --new-password-file FILE")
    if order.new_secret == order.unlock.secret:
        raise UsageError("the new password is the old one", hint="nothing was changed; choose another")
    new = NewSlot("password", order.new_secret, opened.slot.label)
    name, refused = key_management.replace_slot(opened, opened.slot_name, new, context.clock.now_ns())
    context.warn(_NO_TAKING_BACK.format(what="password"))
    result = {
        "repository": opened.text_id,
        "slot": name,
        "removed_slot": opened.slot_name if refused is None else None,
        "label": opened.slot.label,
        "epoch": opened.keyring.number,
        "changed": True,
    }
    if refused is None:
        return events.Done(exit_code=0, result=result, warnings=context.warnings)
    refused.message = f"the new password opens it, and so does the old one still: {refused.message}"
    refused.hint = f"remove the old one then: bkctl key remove {opened.slot_name[:9]}"
    error = error_fields(refused)
    exit_code = refused.exit_code if isinstance(refused, ObjectLockedError) else SomeDestinationsError.exit_code
    return events.Done(exit_code=exit_code, result=result, warnings=context.warnings, error=error)


def _new_slot(order: KeyOrder, label: str) -> tuple[NewSlot, str | None]:
    """What is added, and the 44 characters where they were made here."""
    if order.new_secret is None:
        secret = new_secret()
        return NewSlot("key", secret, label), secret_to_text(secret)
    key = secret_from_text(secret_of(order.new_secret).decode(errors="replace"))
    # 44 characters that were made elsewhere are a key: stretching them as a password would only cost time.
    return (NewSlot("key", key, label) if key is not None else NewSlot("password", order.new_secret, label)), None


def _compare(opened: OpenRepository, new: NewSlot) -> tuple[NewSlot, list[str]]:
    """A new slot beside those that are there; the slots of older epochs that the same secret opens give way to it.

    Raises ConflictError when secret or label are there already.
    """
    found, _ = list_slots(opened.place)
    same = key_management.slots_of(opened.id, found, new.secret)
    if any(epoch_number(found[name]) == opened.keyring.number for name in same):
        raise ConflictError("that key or password opens the repository already", hint="`bkctl key list` has the slots")
    if same and not new.label:
        new = NewSlot(new.kind, new.secret, found[same[0]].label)
    if new.label and any(slot.label == new.label for name, slot in found.items() if name not in same):
        raise ConflictError(f"a key slot is labelled '{new.label}' already", hint="choose another label")
    return new, same


def _check_label(label: str) -> str:
    label = unicodedata.normalize("NFC", label.strip())
    if len(label) > _MOST_LABEL_CHARACTERS or not label.isprintable():
        raise UsageError(
            "that can't be a label", hint=f"at most {_MOST_LABEL_CHARACTERS} characters, all of them printable"
        )
    return label


def _confirm(context: JobContext, question: str, expected: str) -> None:
    answer = context.ask(question, "typed" if expected else "yes_no", expected)
    if answer != (expected or "yes"):
        raise StoppedError("not confirmed; nothing was changed")
