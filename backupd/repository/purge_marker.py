"""`gc/purge-…`: all of the repository is being deleted. In clear, for its keys go first; its name alone is what counts.

Writers look for it whenever they announce themselves (`Records.gc_state`), so that nobody goes on who began before.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

import msgspec

from backupd.destination.contract import Destination
from backupd.errors import ObjectMissingError
from backupd.snapshot import naming

_MAGIC = "backupd purge"
_MAX_BYTES = 4096


def names(below: Destination) -> list[str]:
    """Of the markers that stand in a repository, seen from its own folder."""
    return [info.name for info in below.list("gc/") if naming.is_purge_name(info.name)]


def put(below: Destination, plan: str, *, is_deleting: bool) -> None:
    """Say that all is to be deleted. plan: id of what was shown, by which it is gone on with.

    is_deleting: nobody is waited for any more, and keys go from now on; said by a second marker.
    """
    text = json.dumps({"magic": _MAGIC, "version": 1, "plan": plan, "deleting": is_deleting}).encode()
    below.put(f"gc/purge-{os.urandom(16).hex()}", [text])


class Marker(msgspec.Struct, frozen=True):
    """What stands in one."""

    plan: str = ""
    is_deleting: bool = False


def read(below: Destination, name: str) -> Marker:
    """A marker; an empty one where it can't be read."""
    with suppress(ObjectMissingError, ValueError, RecursionError):
        text = json.loads(below.get(name, 0, _MAX_BYTES))
        plan = text.get("plan") if isinstance(text, dict) else None
        if isinstance(plan, str):
            return Marker(plan, text.get("deleting") is True)
    return Marker()
