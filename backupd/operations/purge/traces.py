"""What this host remembers of what was purged: caches name files, so they go, too."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

from backupd.cache import seen_snapshots
from backupd.errors import AccessError, StateError, StateFullError
from backupd.operations.backup import basing
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace


def forget_caches(context: JobContext, place: OpenPlace, sets: list[str]) -> None:
    """Remove the file caches of sets at a place: they belong to snapshots that are gone, and vouch for nothing."""
    for set_id in sets:
        try:
            # The all-zero session has none: all of them go.
            basing.remove_old_caches(context.directories, place, bytes.fromhex(set_id[1:]), bytes(16))
        except (StateError, StateFullError, AccessError) as error:
            context.warn(f"this host's cache could not be removed, and names files: {error.message}")


def forget_place(context: JobContext, repository: str, tag: str) -> None:
    """Remove all that this host keeps for a repository at a place but its key. tag: of the place."""
    state = context.directories.state
    for cache in (context.directories.cache, context.directories.stand_in_cache):
        with suppress(OSError):
            shutil.rmtree(os.path.join(cache, repository, tag))
    journals = os.path.join(state, "journals")
    for name in os.listdir(journals) if os.path.isdir(journals) else []:
        if name.startswith(f"{tag}-"):
            with suppress(OSError):
                os.unlink(os.path.join(journals, name))
    try:
        seen_snapshots.keep(os.path.join(state, "seen", f"{repository}-{tag}"), [])
    except (StateError, StateFullError, AccessError) as error:
        context.warn(f"{error.message}; a new repository there will be taken for an older copy of this one")
