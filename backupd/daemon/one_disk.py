"""Whether a set's copies would be lost with its sources: they lie on one file system (FEATURES 4.4)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from backupd.daemon.definitions import Definitions
from backupd.model.places import is_url
from backupd.model.sets import SetText

_SECONDS = 2.0
"""How long file systems are waited for: a share whose server is gone never answers."""


async def warnings(text: SetText, known: Definitions) -> list[str]:
    """What to say where no destination of a set lies elsewhere than one of its sources."""
    places = [place for name in text.to for place in _places(known, name)]
    if not places or any(map(is_url, places)):
        return []
    try:
        source = await asyncio.wait_for(asyncio.to_thread(_shared, text.sources, places), _SECONDS)
    except TimeoutError:
        return []
    if source is None:
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


def _shared(sources: Iterable[str], places: Iterable[str]) -> str | None:
    """The first source whose file system all places are on."""
    devices = {_device(place) for place in places}
    return next((source for source in sources if devices == {_device(source)}), None)


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
