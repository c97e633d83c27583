"""What of a place's snapshots was given up as lost, as results tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from backupd.rules import moments
from backupd.snapshot import naming
from backupd.snapshot.notes import NOTHING, Noted
from backupd.snapshot.records import Snapshot

_MOST_NAMED = 20


def given_up_of(
    snapshots: Sequence[Snapshot], noted: Mapping[bytes, Noted], destination: str, zone: tzinfo
) -> list[dict[str, Any]]:
    """One entry for each set of which something is given up, with its newest such snapshots.

    snapshots: any order. noted: by snapshot id.
    """
    by_set: dict[bytes, list[Snapshot]] = {}
    # Several names of one id are one snapshot.
    for one in sorted({one.id: one for one in snapshots}.values(), key=lambda one: one.started_ns, reverse=True):
        if noted.get(one.id, NOTHING).loss is not None:
            by_set.setdefault(one.set_id, []).append(one)
    return [_entry(lost, noted, destination, zone) for lost in by_set.values()]


def _entry(lost: Sequence[Snapshot], noted: Mapping[bytes, Noted], destination: str, zone: tzinfo) -> dict[str, Any]:
    """lost: of one set, the newest first."""
    losses = [loss for one in lost if (loss := noted[one.id].loss) is not None]
    return {
        "set": lost[0].set_name,
        "set_id": naming.set_id_text(lost[0].set_id),
        "destination": destination,
        "files": sum(loss.files for loss in losses),
        "bytes": sum(loss.bytes for loss in losses),
        "snapshots": len(lost),
        "newest": [naming.snapshot_id_text(one.id) for one in lost[:_MOST_NAMED]],
        "since": moments.rfc3339(min(noted[one.id].lost_ns for one in lost), zone),
    }
