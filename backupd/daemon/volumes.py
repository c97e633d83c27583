"""The file systems that destinations were made on: noted when one is made or first used, kept in the catalog."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import msgspec

from backupd.catalog import definitions as rows
from backupd.catalog.database import Connection, Database
from backupd.catalog.definitions import StoredDestination
from backupd.catalog.facts import drop_fact, fact, put_fact
from backupd.daemon.hanging import Asking
from backupd.destination.volumes import ROOTS, remember
from backupd.errors import ConfigError, StateFullError
from backupd.model.places import is_url
from backupd.model.sets import DestinationText
from backupd.model.store_access import Volume
from backupd.store_errors import DestinationAbsentError

_ANSWER_SECONDS = 10.0
_asking = Asking()


async def volume_of(database: Database, stored: StoredDestination) -> Volume | None:
    """What is kept of a destination's file system; noted now where nothing is.

    A place that lay on the system's own disk is looked at each time: the first drive that is mounted there is noted.
    """
    found = await kept(database, stored)
    if found is None and not is_url(stored.text.place):
        found = await _look(stored.text)
        if found is not None and found.mount_point not in ROOTS:
            # On a full disk it is noted another time.
            with suppress(StateFullError):
                await keep(database, stored, found)
    return found


async def kept(database: Database, stored: StoredDestination) -> Volume | None:
    """The drive or share that was noted of a destination's present place."""
    text = await asyncio.wrap_future(database.read(fact, _key(stored.id)))
    try:
        found = msgspec.json.decode(text, type=Volume) if text is not None else None
    except msgspec.MsgspecError:
        return None
    if found is None or found.place != stored.text.place:
        return None
    return msgspec.structs.replace(found, is_removable=stored.text.removable)


async def look(text: DestinationText) -> Volume | None:
    """The file system on which a destination's place lies now.

    Raises DestinationAbsentError, ConfigError for a removable one that could not be found again.
    """
    if is_url(text.place):
        return None
    found = await _look(text)
    if text.removable and (found is None or found.id is None):
        if found is not None and found.mount_point in ROOTS:
            raise DestinationAbsentError(
                f"{text.place} lies on the system's own disk, no drive is mounted there", hint="mount the drive first"
            )
        raise ConfigError(
            f"{text.place}: its file system has no id by which it could be found elsewhere",
            hint="leave --removable out, and mount it there always",
        )
    return found


async def keep(database: Database, stored: StoredDestination, volume: Volume | None) -> None:
    """Note a destination's drive or share, in place of an earlier one; of the system's own disk nothing is noted."""
    if volume is None or volume.mount_point in ROOTS:
        await asyncio.wrap_future(database.write_always(drop_fact, _key(stored.id)))
        return
    text = msgspec.json.encode(volume).decode()
    await asyncio.wrap_future(database.write(put_fact, _key(stored.id), text))


def remove_destination(connection: Connection, destination_id: str) -> None:
    """Forget a destination and its file system."""
    rows.remove_destination(connection, destination_id)
    drop_fact(connection, _key(destination_id))


async def _look(text: DestinationText) -> Volume | None:
    """None where a dead share does not answer."""
    ask = partial(remember, text.place, is_removable=text.removable)
    try:
        return await _asking.answered((text.place, text.removable), ask, _ANSWER_SECONDS)
    except TimeoutError:
        return None


def _key(destination_id: str) -> str:
    return f"volume/{destination_id}"
