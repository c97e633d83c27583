"""`key …`: what opens a repository. Here what only looks: show, prove, list; the rest has modules of its own."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from backupd.destination.contract import Below
from backupd.errors import AnswerNeededError
from backupd.model import events
from backupd.model.orders import KeyOrder
from backupd.operations import key_rotation, key_sheet, key_slots
from backupd.operations.context import JobContext
from backupd.operations.kept_keys import key_at_hand, mask, slots_of_kept
from backupd.operations.places import open_place, split_place
from backupd.repository import identity
from backupd.repository.key_management import newest_epoch
from backupd.repository.opening import epoch_number, list_slots
from backupd.rules import moments
from backupd.settings.keys import KeyStore


def run(order: KeyOrder, context: JobContext) -> events.Done:
    """Carry out a `key` verb."""
    return _VERBS[order.verb](order, context)


def _show(order: KeyOrder, context: JobContext) -> events.Done:
    place = open_place(context)
    opened = place.repository
    hand = key_at_hand(context, opened)
    newest = newest_epoch(opened.place)
    key = None if hand is None else hand.text if order.unmask else mask(hand.text)
    result = {
        "repository": opened.text_id,
        "place": place.address,
        "opened_by": opened.slot.kind,
        "slot": opened.slot_name,
        "label": opened.slot.label,
        "cipher": opened.keyring.configuration.cipher,
        "epoch": opened.keyring.number,
        "newest_epoch": newest,
        "key": key,
        "masked": hand is not None and not order.unmask,
        "file": hand.path if hand is not None else None,
        "made_at": moments.rfc3339(opened.slot.created_ns, context.zone),
        "proved": hand.proved if hand is not None else None,
    }
    if hand is None and opened.slot.kind == "password":
        result["note"] = "a password opens this repository; passwords are kept nowhere"
    if opened.slot.kind == "clear":
        context.warn("this repository is not encrypted: its key lies in it, readable by all who read the place")
    if newest > opened.keyring.number:
        context.warn(f"this key opens epochs up to {opened.keyring.number} only; the repository is in epoch {newest}")
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _prove(order: KeyOrder, context: JobContext) -> events.Done:
    if order.unlock.secret is None:
        raise AnswerNeededError("no key was given to prove", hint="type it on a terminal, or give --password-file FILE")
    place = open_place(context)
    opened = place.repository
    hand = key_at_hand(context, opened)
    kept = hand.kept if hand is not None else None
    if kept is not None and not kept.proved:
        KeyStore(context.directories.data).save(msgspec.structs.replace(kept, proved=True))
    result = {
        "repository": opened.text_id,
        "slot": opened.slot_name,
        "label": opened.slot.label,
        "kind": opened.slot.kind,
        "epoch": opened.keyring.number,
        "is_kept_key": kept is not None,
        "changed": kept is not None and not kept.proved,
    }
    newest = newest_epoch(opened.place)
    if newest > opened.keyring.number:
        context.warn(f"that key opens epochs up to {opened.keyring.number} only; the repository is in epoch {newest}")
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _list(_: KeyOrder, context: JobContext) -> events.Done:
    """Needs no key: what slots are called is no secret."""
    path, repository = split_place(context.order.place)
    whole = context.open_store(path, "reader", context.order.access)
    if repository is None:
        repository = identity.choose(whole, whole.top_names())
    for warning in identity.read_identity(whole, repository):
        context.warn(warning)
    below = Below(whole, repository)
    found, problems = list_slots(below)
    for problem in problems:
        context.warn(problem)
    newest = newest_epoch(below)
    kept = slots_of_kept(context, repository, found)
    listed = [
        {
            "name": name,
            "label": slot.label,
            "kind": slot.kind,
            "created": moments.rfc3339(slot.created_ns, context.zone),
            "epoch": epoch_number(slot),
            "opens_newest": epoch_number(slot) == newest,
            "is_kept": name in kept,
        }
        for name, slot in sorted(found.items(), key=lambda item: (item[1].created_ns, item[0]))
    ]
    result = {"repository": repository, "epoch": newest, "slots": listed, "next": None}
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


_VERBS: dict[str, Callable[[KeyOrder, JobContext], events.Done]] = {
    "show": _show,
    "sheet": key_sheet.run,
    "prove": _prove,
    "add": key_slots.run_add,
    "list": _list,
    "remove": key_slots.run_remove,
    "password": key_slots.run_password,
    "rotate": key_rotation.run,
}
