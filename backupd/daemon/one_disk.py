"""Whether a set's copies would be lost with its sources: they lie on one file system (FEATURES 4.4)."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from backupd.daemon.definitions import Definitions
from backupd.daemon.hanging import Asking
from backupd.model.places import is_url
from backupd.model.sets import SetText

_SECONDS = 2.0
"""How long file systems are waited for: a share whose server is gone never answers."""
_asking = Asking()


async def warnings(text: SetText, known: Definitions) -> list[str]:
    """What to say where no destination of a set lies elsewhere than one of its sources."""
    places = [place for name in text.to for place in _places(known, name)]
    if not places or any(map(is_url, places)):
        return []
    paths = dict.fromkeys([*places, *text.sources])
    found = await asyncio.gather(*(_device_in_time(path) for path in paths))
    devices = dict(zip(paths, found, strict=True))
    of_places = {devices[place] for place in places}
    source = next((source for source in text.sources if of_places == {devices[source]}), None)
    if source is None or devices[source] is None:
        return []
    where = " and ".join(text.to)
    return [
        f"{source} and all that {text.name} stores ({where}) are on one disk, and are lost with it; "
        "add a destination elsewhere: bkctl destination add NAME PLACE"
    ]


def _places(known: Definitions, name: str) -> list[str]:
    text = known.destination(name).text
    if text.pool is None:
        return [text.place]
    return [known.destination(member).text.place for member in text.pool.members]


async def _device_in_time(path: str) -> int | None:
    """None: nobody tells, perhaps in time."""
    try:
        return await _asking.answered(path, partial(_device, path), _SECONDS)
    except TimeoutError:
        return None


def _device(path: str) -> int | None:
    """Of a path, or of the nearest directory above it that is there."""
    while True:
        try:
            return os.stat(path).st_dev
        except OSError:
            above = os.path.dirname(path)
            if above == path:
                return None
            path = above
