"""Snapshots of former days without a run for each: what stands at a place is committed again under an older time."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from backupd.destination.contract import Below
from backupd.destination.local import LocalDestination
from backupd.errors import KeyMissingError
from backupd.repository import opening
from backupd.repository.records import Records
from backupd.seal.slot import secret_from_text
from backupd.settings.keys import KeyStore
from backupd.snapshot import naming

DAY_NS = 86_400 * 10**9


def add_older(places: list[Path], home: Path, days: list[int]) -> list[str]:
    """Add to a repository, at each of its places, a snapshot so many days older than its newest one, of the same set.

    home: below which its key is kept. Returns their ids, in the order of days.
    """
    drawn = [os.urandom(16) for _ in days]
    for place in places:
        (repository,) = (path.parent.name for path in place.glob("r*/repository.json"))
        key = next(home.rglob(f"keys/{repository}.key"))
        kept = KeyStore(str(key.parent.parent)).load(repository)
        secret = secret_from_text(kept.secret) if kept is not None else None
        if kept is None or secret is None:
            raise KeyMissingError(f"no key of {repository} in {key}")
        below = Below(LocalDestination(str(place), "aging"), repository)
        records = Records(opening.unlock(below, bytes.fromhex(repository[1:]), secret, kept.slot))
        newest = records.snapshot(max(records.snapshot_names(), key=lambda name: name.start).name)
        for snapshot_id, back in zip(drawn, days, strict=True):
            older = msgspec.structs.replace(
                newest,
                id=snapshot_id,
                started_ns=newest.started_ns - back * DAY_NS,
                finished_ns=newest.finished_ns - back * DAY_NS,
            )
            records.commit(naming.snapshot_name(older.set_id, older.started_ns, older.id), older)
    return [naming.snapshot_id_text(snapshot_id) for snapshot_id in drawn]
