"""Far fewer files than the last snapshot has: a disk that is not mounted looks so (docs/tolerance.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.tally import Tally
from backupd.operations.context import JobContext
from backupd.rules import moments, names
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot

_LEAST_GONE = 100
"""Files; less is told of no set, however small it is."""
_SHAPING = ("sources", "filters", "filter_words", "one_file_system", "follow_links")
"""Settings by which a set may take in less than before."""


class SuddenDrop(msgspec.Struct, frozen=True):
    """A run found far fewer files than there were."""

    before: int
    now: int
    snapshot: str
    """Id of the last one, which has the others."""
    message: str

    @property
    def fields(self) -> dict[str, Any]:
        """For the result."""
        return {"before": self.before, "now": self.now, "snapshot": self.snapshot}


def sudden_drop(
    context: JobContext, use: SetUse, tally: Tally, known: Sequence[Snapshot], permille: int
) -> SuddenDrop | None:
    """Whether so many files are gone that somebody should know.

    known: the newest complete snapshots, of several destinations perhaps more than one; none: it is the first run.
    """
    newest = max(known, key=lambda one: one.file_count, default=None)
    if newest is None or not is_sudden(newest.file_count, tally.seen, permille):
        return None
    before, now = newest.file_count, tally.seen
    identity = naming.snapshot_id_text(newest.id)
    time = moments.rfc3339(newest.started_ns, context.zone)[:16].replace("T", " ")
    told = f"{now:,} {'file' if now == 1 else 'files'} where the last snapshot ({names.short(identity)}, {time}) has"
    is_asked = is_otherwise(newest.settings, use.settings)
    why = "its sources or filters were changed since" if is_asked else "is a disk not mounted?"
    return SuddenDrop(before, now, identity, f"{told} {before:,}: {why}")


def is_sudden(before: int, now: int, permille: int) -> bool:
    """Whether so many files are gone. permille: of those before; 0: it never is."""
    gone = before - now
    return permille > 0 and gone >= _LEAST_GONE and gone * 1000 >= before * permille


def is_otherwise(old: str, new: str) -> bool:
    """Whether a set takes in something else than it did. old, new: settings of snapshots, JSON that anyone wrote."""
    try:
        before, now = json.loads(old), json.loads(new)
        return any(before.get(name) != now.get(name) for name in _SHAPING)
    except (ValueError, AttributeError, RecursionError):
        return False
