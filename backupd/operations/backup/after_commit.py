"""What follows the commit of a snapshot: it stands, so what fails here fails nothing, and is told."""

from __future__ import annotations

from backupd.cache import seen_snapshots
from backupd.errors import AccessError, DestinationError, StateError, StateFullError
from backupd.operations.backup.session import RunningSession
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, seen_snapshots_path


def remember_seen(context: JobContext, place: OpenPlace, name: str) -> None:
    """This host notices from now on if the snapshot of that name vanishes."""
    try:
        seen_snapshots.add(seen_snapshots_path(context, place), [name])
    except (StateFullError, StateError, AccessError) as error:
        context.warn(f"{error.message}; this host will not notice if the snapshot vanishes")


def end_session(context: JobContext, session: RunningSession) -> None:
    """Remove the announcements of a session whose name is taken."""
    try:
        session.end()
    except DestinationError as error:
        context.warn(f"{error.message}; the next run ends the session")
