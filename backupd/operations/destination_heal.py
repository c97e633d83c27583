"""Brings the members of a pool to one state: what one lacks is copied to it from others (docs/stores/pool.md)."""

from __future__ import annotations

import os
from contextlib import suppress

from backupd.destination.contract import Opening
from backupd.destination.pool import marks
from backupd.destination.pool.healing import Healed, heal
from backupd.destination.pool.opening import assembled
from backupd.destination.pool.store import PoolStore
from backupd.destination.stores import canonical
from backupd.errors import DestinationError, UsageError
from backupd.model import events
from backupd.model.destination_orders import DestinationHealOrder
from backupd.model.places import is_pool
from backupd.operations.context import JobContext
from backupd.operations.places import closed
from backupd.repository import identity
from backupd.settings.writer_mark import WriterMark
from backupd.sizes import count

_PARTLY = 4
_EVERY = 200


def run(order: DestinationHealOrder, context: JobContext) -> events.Done:
    """Heal the pool. Exit 4 where a member could not be made whole. Raises UsageError, DestinationError."""
    pool = order.access.pool
    if pool is None or not is_pool(order.place):
        raise UsageError("only a pool is healed", hint="bkctl destination list shows which destination is one")
    tag = os.urandom(16).hex()
    store = assembled(Opening(order.place, tag, order.access, create=True, cancel=context.cancel))

    def tick(done: Healed) -> None:
        context.cancel.check()
        if done.objects % _EVERY == _EVERY - 1:
            context.tell("information", f"{count(done.objects, 'object')} copied", verbosity=1)

    with (
        WriterMark(context.directories.state, identity.place_tag(canonical(order.place)), tag) as mark,
        closed(store, mark),
    ):
        done = heal(store, tick)
        with suppress(DestinationError):
            _remove_dead_temporaries(mark, store)
    for one in done.left:
        context.warn(f"{pool.name} is not whole: {one}")
    if done.stale:
        named = ", ".join(done.stale[:5])
        context.warn(f"deleted at the lead, still at a member: {count(len(done.stale), 'object')}: {named}")
    result: dict[str, object] = {
        "destination": pool.name,
        "whole": not done.left,
        "copied_objects": done.objects,
        "copied_bytes": done.bytes,
        "members": [{"name": one.name, "copied_objects": done.members.get(one.name, 0)} for one in pool.members],
    }
    return events.Done(exit_code=_PARTLY if done.left else 0, result=result, warnings=context.warnings)


def _remove_dead_temporaries(mark: WriterMark, store: PoolStore) -> None:
    """Remove what killed heals and writers of this state left, in all repositories; once more where a member is away.

    Only now are all members marked that can be: a new one could not be asked before.
    """
    are_all_there = all([member.is_usable() for member in store.members])
    for tag in mark.dead_tags():
        for folder in (".", marks.FOLDER, *filter(identity.is_id_text, store.top_names())):
            store.remove_temporaries(folder, tag)
        if are_all_there:
            mark.forget(tag)
