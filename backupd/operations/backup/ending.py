"""The end of a session whose writer is gone: its last checkpoint becomes a partial snapshot, or its name void."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from backupd.errors import (
    DamageError,
    DestinationFullError,
    DestinationRefusedError,
    KeyMissingError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.repository import reserve
from backupd.repository.records import Records
from backupd.snapshot import naming
from backupd.snapshot.records import Drop, Snapshot


def end_dead_session(
    records: Records,
    session: bytes,
    snapshot_name: str,
    now_ns: int,
    host_id: bytes,
    *,
    is_own: bool = True,
    numbers: list[int] | None = None,
) -> str | None:
    """End a session whose writer is gone: its last checkpoint becomes a partial snapshot, or its name void.

    is_own: the caller holds the set's lock in the state that posted it, so nobody writes there any more. Else the
    writer may wake up: creating its very name is what decides, and nothing is dropped that another created.
    numbers: of its announcements; None: they are listed here. Returns the partial snapshot's name.
    """
    if numbers is None:
        numbers = records.sessions().get(session, [])
    draft: Snapshot | None = None
    for n in reversed(numbers) if not _is_afterthought(records, numbers) else []:
        try:
            posted = records.session(session, n)
        except (DamageError, ObjectMissingError):
            continue
        if posted.checkpoint is not None and posted.draft is not None:
            draft = posted.draft
            break
    # Asked twice: where two may create one name, a wrong answer has the draft replace what was committed.
    taken = records.place.size(snapshot_name) is not None or _is_listed(records, snapshot_name)
    if draft is None and not taken and not is_own:
        stand_in = _stand_in(records, session, snapshot_name)
        if stand_in is not None:
            try:
                records.commit(snapshot_name, stand_in)
            except ObjectExistsError:
                # It woke up and has committed: that is never to be dropped.
                taken = True
    if draft is not None and not taken:
        try:
            records.commit(snapshot_name, draft)
        except ObjectExistsError:
            # Whoever was first has committed it: that is never to be dropped.
            draft = None
        taken = True
    if not taken:
        try:
            records.drop(Drop([snapshot_name], now_ns, host_id, "ended without a checkpoint"))
        except DestinationRefusedError:
            # A login that may only add: a cleaner ends it.
            return None
    if not taken or _is_listed(records, snapshot_name) or _is_exact(records):
        remove_session(records, session, numbers)
    return snapshot_name if draft is not None else None


def _is_afterthought(records: Records, numbers: list[int]) -> bool:
    """Whether this was announced when the session had been ended, by a writer that was killed before it took it back.

    Who is not ended has two announcements, but for the first one. What this one needs may have been deleted since.
    Where listings lag, the other one may only not be listed yet; nobody ends another's session there.
    """
    return len(numbers) == 1 and numbers[0] > 1 and _is_exact(records)


def _is_exact(records: Records) -> bool:
    """What the store can do is known for sure once something was created."""
    with suppress(DestinationRefusedError, DestinationFullError):
        reserve.prove(records.place)
    return records.is_exact


def _is_listed(records: Records, snapshot_name: str) -> bool:
    """Else who frees space, and finds no announcement, may not find the snapshot either."""
    return any(one.name == snapshot_name for one in records.listed_snapshot_names())


def remove_session(records: Records, session: bytes, numbers: list[int]) -> bool:
    """Remove announcements; False where the login may not: a cleaner forgets them once the name is taken or void."""
    try:
        records.remove_session(session, numbers)
    except DestinationRefusedError:
        return False
    return True


def _stand_in(records: Records, session: bytes, snapshot_name: str) -> Snapshot | None:
    """A partial snapshot that can be created under a name, to be dropped at once: of what another one reaches.

    None where there is no other: then nobody frees anything either.
    """
    own = naming.parse_snapshot_name(snapshot_name)
    for name in records.snapshot_names() if own is not None else []:
        with suppress(DamageError, ObjectMissingError, KeyMissingError):
            other = records.snapshot(name.name)
            set_id = bytes.fromhex(own.set_id[1:]) if own is not None else other.set_id
            return msgspec.structs.replace(other, id=session, set_id=set_id, is_complete=False)
    return None
