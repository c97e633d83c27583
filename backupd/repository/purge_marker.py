"""`gc/purge-…`: all of the repository is being deleted. In clear, for its keys go first; its name alone is what counts.

Writers look for it whenever they announce themselves (`Records.gc_state`), so that nobody goes on who began before.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from backupd.destination.contract import Destination
from backupd.errors import ObjectMissingError
from backupd.snapshot import naming

_MAGIC = "backupd purge"
_MAX_BYTES = 4096


def names(below: Destination) -> list[str]:
    """Of the markers that stand in a repository, seen from its own folder."""
    return [info.name for info in below.list("gc/") if naming.is_purge_name(info.name)]


def put(below: Destination, plan: str) -> None:
    """Say that all is to be deleted. plan: id of what was shown, by which it is gone on with."""
    text = json.dumps({"magic": _MAGIC, "version": 1, "plan": plan}).encode()
    below.put(f"gc/purge-{os.urandom(16).hex()}", [text])


def plan(below: Destination, name: str) -> str | None:
    """The plan that a marker names; None: it can't be read, which keeps nobody from going on."""
    with suppress(ObjectMissingError, ValueError, RecursionError):
        text = json.loads(below.get(name, 0, _MAX_BYTES))
        found = text.get("plan") if isinstance(text, dict) else None
        return found if isinstance(found, str) else None
    return None
