"""`destination sessions`: who writes at a place, and the end of a writer that does not come back (DESIGN 8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from backupd.errors import (
    BackupError,
    ConflictError,
    DamageError,
    KeyMissingError,
    NotFoundError,
    ObjectMissingError,
    StoppedError,
    WrongKeyError,
)
from backupd.model import events
from backupd.model.destination_orders import DestinationSessionsOrder
from backupd.operations.backup.ending import end_dead_session
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, open_repository, split_place, writing
from backupd.repository import identity, reserve
from backupd.rules import moments, names
from backupd.snapshot import naming
from backupd.snapshot.records import Session


class Found(NamedTuple):
    """A session at an open place; `posted` is None where no announcement of it can be read."""

    place: OpenPlace
    session: bytes
    numbers: list[int]
    posted: Session | None
    set_name: str | None
    host_name: str | None
    snapshot_state: str
    """`open`, `taken`, `void`, or `unknown`."""

    @property
    def text_id(self) -> str:
        """The id that its snapshot has or will have."""
        return naming.snapshot_id_text(self.session)


def run(order: DestinationSessionsOrder, context: JobContext) -> events.Done:
    """List the sessions at a place, or end one.

    Raises KeyMissingError where no repository can be opened, NotFoundError, AnswerNeededError, DestinationError.
    """
    found = [one for place in _places(order, context) for one in _sessions(context, place)]
    if order.revoke is None:
        documents = [_document(context, one) for one in found]
        return events.Done(exit_code=0, result={"sessions": documents, "next": None}, warnings=context.warnings)
    by_id = {one.text_id: one for one in found}
    chosen = by_id[names.match_prefix(order.revoke, by_id, NotFoundError)]
    before = _document(context, chosen)
    partial = _revoke(order, context, chosen)
    result = {
        "changed": True,
        "diff": {},
        "dry_run": False,
        "session": before,
        "partial": chosen.text_id if partial is not None else None,
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _places(order: DestinationSessionsOrder, context: JobContext) -> Iterator[OpenPlace]:
    """Each repository at the place that a key at hand opens; the others are told."""
    address, chosen = split_place(order.place)
    whole = context.open_store(address, "reader", order.access)
    repositories = [chosen] if chosen is not None else identity.list_repositories(whole, whole.top_names())
    failed: BackupError | None = None
    is_any = False
    for repository in repositories:
        try:
            place = open_repository(context, whole, address, repository, order.access)
        except (KeyMissingError, WrongKeyError) as error:
            failed = failed or error
            context.warn(f"the sessions of repository {repository[:9]} are not seen: {error.message}")
            continue
        is_any = True
        yield place
    if failed is not None and not is_any:
        raise failed


def _sessions(context: JobContext, place: OpenPlace) -> Iterator[Found]:
    records = place.records
    sessions = records.sessions()
    if not sessions:
        return
    void, unread = records.readable_void_names()
    for message in unread.values():
        context.warn(f"{message}; which snapshots it made void is not known")
    listed = {name.name: name for name in records.listed_snapshot_names()}
    newest = {name.set_id: name.name for name in listed.values()}
    for session, numbers in sessions.items():
        posted = records.readable_session(session, numbers)
        if posted is None:
            context.warn(f"session {naming.snapshot_id_text(session)[:9]} can't be read")
            yield Found(place, session, numbers, None, None, None, "unknown")
            continue
        state = "void" if posted.snapshot_name in void else "taken" if posted.snapshot_name in listed else "open"
        draft = posted.draft
        set_name, host_name = (draft.set_name, draft.host_name) if draft is not None else (None, None)
        earlier = newest.get(naming.set_id_text(posted.set_id))
        if set_name is None and earlier is not None:
            try:
                snapshot = records.snapshot(earlier)
                set_name, host_name = snapshot.set_name, snapshot.host_name
            except (DamageError, ObjectMissingError, KeyMissingError):
                pass
        if posted.host_id.hex() == context.host.host_id:
            host_name = context.host.name
        yield Found(place, session, numbers, posted, set_name, host_name, state)


def _document(context: JobContext, found: Found) -> dict[str, Any]:
    posted = found.posted
    age = (context.clock.now_ns() - posted.posted_ns) / 1e9 if posted is not None else None
    return {
        "id": found.text_id,
        "short": names.short(found.text_id),
        "repository": found.place.repository.text_id,
        "set": found.set_name,
        "set_id": naming.set_id_text(posted.set_id) if posted is not None else None,
        "host": found.host_name,
        "host_id": posted.host_id.hex() if posted is not None else None,
        "announcements": max(found.numbers),
        "posted": moments.rfc3339(posted.posted_ns, context.zone) if posted is not None else None,
        "age_seconds": round(max(0.0, age), 1) if age is not None else None,
        "snapshot_name": posted.snapshot_name if posted is not None else None,
        "snapshot_state": found.snapshot_state,
        "has_checkpoint": posted is not None and posted.checkpoint is not None,
        "holds_back_freeing": found.snapshot_state in ("open", "unknown"),
    }


def _revoke(order: DestinationSessionsOrder, context: JobContext, found: Found) -> str | None:
    """End the session; the name of the partial snapshot that is left of it, where it had a checkpoint."""
    short = names.short(found.text_id)
    if found.posted is None:
        _revoke_unreadable(context, found, short)
        return None
    whose = f"{found.set_name or 'a set that has no snapshot yet'} of {found.host_name or 'an unknown host'}"
    if not order.assume_yes:
        question = f"End the session {short}, {whose}? If that writer still runs, its run fails and has to begin anew."
        _confirm(context, question, short)
    if not found.place.records.is_exact:
        # `--yes` alone is not enough there: two may take one name, and neither learns of it.
        question = f"This store does not say which of two writers was first. Is the writer of {short} really gone?"
        _confirm(context, question, short)
    posted, now_ns = found.posted, context.clock.now_ns()
    host_id = bytes.fromhex(context.host.host_id)
    with writing(context, found.place) as place:
        partial = reserve.with_room(
            place.records.place,
            lambda: end_dead_session(
                place.records, found.session, posted.snapshot_name, now_ns, host_id, is_own=False
            ),
        )
        if found.snapshot_state == "open" and not _is_ended(place, posted.snapshot_name):
            raise ConflictError("the session could not be ended", hint="list the sessions again")
    return partial


def _revoke_unreadable(context: JobContext, found: Found, short: str) -> None:
    """Delete what was announced, where nobody can read it: under which name its snapshot would come is not known.

    A writer looks right before it commits whether its announcement is there, so one that wakes up later has lost.
    Raises KeyMissingError of one that a newer key opens: that one is not damaged.
    """
    for n in found.numbers:
        with suppress(DamageError, ObjectMissingError):
            found.place.records.session(found.session, n)
    question = f"Nothing of session {short} can be read. What it stored is given up; is its writer really gone?"
    _confirm(context, question, short)
    with writing(context, found.place) as place:
        reserve.with_room(place.records.place, lambda: place.records.remove_session(found.session, found.numbers))


def _is_ended(place: OpenPlace, name: str) -> bool:
    records = place.records
    return records.place.size(name) is not None or name in records.readable_void_names()[0]


def _confirm(context: JobContext, question: str, expected: str) -> None:
    if context.ask(question, "typed", expected) != expected:
        raise StoppedError("not confirmed; nothing was changed")
