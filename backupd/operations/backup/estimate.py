"""`set estimate`: what a run would store at a destination, whether it fits, how long it takes; writes nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from backupd.destination.stores import local_path
from backupd.errors import BackupError, DamageError, DestinationFullError, ObjectMissingError, RepositoryNotFoundError
from backupd.model import events
from backupd.model.orders import BackupOrder, Unlock
from backupd.model.results import Problem
from backupd.model.store_access import NO_ACCESS
from backupd.operations.backup import dry_run
from backupd.operations.backup.follow import followed
from backupd.operations.backup.opening import OpenedForWriting, open_for_writing
from backupd.operations.backup.sampling import Samples
from backupd.operations.backup.setting import SetUse, describe
from backupd.operations.backup.space import END_BYTES, SpaceGuard, stored_in
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace, load_place_index, split_place
from backupd.settings.directories import ensure
from backupd.sizes import MIB, count, format_bytes
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.store_errors import QuotaError

_LAST_RUNS = 5
_TELLING_BYTES = MIB
"""Runs that read less tell nothing of ratio and rate."""
_MARGIN = 20
"""A twentieth more than estimated has to fit."""


class Rates(NamedTuple):
    """What the last runs tell; None: nothing."""

    stored_per_new: float | None
    stored_per_changed: float | None
    """Of a file that is read again only part may be new."""
    bytes_per_second: float | None


def run(order: BackupOrder, context: JobContext, sources: list[bytes], missing: list[Problem]) -> events.Done:
    """Walk, count, and hold it against what is free. Exit 16 where it won't fit."""
    with _opened(order, context) as (opened, is_new):
        use, missing = followed(order, context, describe(order, context, opened.place, sources), missing)
        if order.streams:
            many = count(len(order.streams), "stream")
            context.warn(f"what {many} will write is not known before: it is not counted")
        if order.cache.mode == "none" and not is_new:
            context.warn("without a cache all files count as new, also those that are stored already")
        samples = Samples(context.source_rights)
        done = dry_run.run(context, opened, use, missing, samples)
        if done.result is None:
            return done
        rates = _rates(opened.place, use)
        read = int(done.result["runs"][0]["bytes"]["read"])
        ratio, origin = rates.stored_per_new, "runs"
        if ratio is None:
            ratio, origin = samples.ratio(use.compression), "samples"
        again = rates.stored_per_changed if rates.stored_per_changed is not None else ratio
        estimated = int(samples.new_bytes * ratio + samples.changed_bytes * again)
        free = _free_bytes(order, opened, is_new=is_new)
        quotas = _quotas(order, opened.place, context)
        error = _refusal(opened.place.address, estimated, free, quotas)
        estimate = {
            "read_bytes": read,
            "new_bytes": samples.new_bytes,
            "changed_bytes": samples.changed_bytes,
            "stored_bytes": estimated,
            "ratio": round(ratio, 4),
            "ratio_of": origin,
            "free_bytes": free,
            "quotas": [
                {"quota_bytes": quota, "used_bytes": used, "left_bytes": max(0, quota - used)}
                for _, _, used, quota in quotas
            ],
            "fits": error is None if free is not None or quotas else None,
            "seconds": round(read / rates.bytes_per_second, 1) if rates.bytes_per_second else None,
        }
        return _told(done, opened.place.address, estimate, error)


def _told(done: events.Done, name: str, estimate: dict[str, Any], error: BackupError | None) -> events.Done:
    result = {**done.result} if done.result is not None else {}
    fields = error_fields(error) if error is not None else None
    entry = {
        "name": name,
        "verdict": "good" if error is None else "failed",
        "stored_bytes": 0,
        "error": fields,
        "estimate": estimate,
    }
    exit_code = error.exit_code if error is not None else done.exit_code
    result["runs"] = [{**result["runs"][0], "destinations": [entry], "exit": exit_code}]
    return msgspec.structs.replace(done, result=result, exit_code=exit_code, error=fields or done.error)


@contextmanager
def _opened(order: BackupOrder, context: JobContext) -> Iterator[tuple[OpenedForWriting, bool]]:
    """The repository, and whether the first run is yet to make it: then one in a temporary directory stands for it."""
    try:
        opened = open_for_writing(order, context, "estimate")
    except RepositoryNotFoundError:
        pass
    else:
        try:
            yield opened, False
        finally:
            opened.whole.close()
        return
    before = context.order
    folder = tempfile.mkdtemp(dir=ensure(context.directories.temporary))
    bare = msgspec.structs.replace(
        order, place=os.path.join(folder, "place"), access=NO_ACCESS, unlock=Unlock(), own=None, existing=False,
        dry_run=False, encryption="none", cipher=None, new_secret=None, key_out=None,
    )  # fmt: skip
    text_id = ""
    try:
        context.order = bare
        made = open_for_writing(bare, context, "estimate")
        text_id = made.place.repository.text_id
        place = msgspec.structs.replace(made.place, address=order.place)
        yield msgspec.structs.replace(made, place=place), True
    finally:
        context.order = before
        shutil.rmtree(folder, ignore_errors=True)
        if text_id:
            shutil.rmtree(os.path.join(context.directories.cache, text_id), ignore_errors=True)


def _rates(place: OpenPlace, use: SetUse) -> Rates:
    """Of the set's last runs."""
    names = [n for n in place.records.snapshot_names() if n.set_id == naming.set_id_text(use.set_id)]
    found: list[Snapshot] = []
    for name in names[-_LAST_RUNS:]:
        try:
            found.append(place.records.snapshot(name.name))
        except (DamageError, ObjectMissingError):
            continue
    whole = [one for one in found if one.is_complete]
    telling = [one for one in whole if one.statistics.get("read_bytes", 0) >= _TELLING_BYTES]
    later = [one for one in telling if one is not whole[0] or len(names) > _LAST_RUNS]
    last = telling[-1] if telling else None
    seconds = (last.finished_ns - last.started_ns) / 1e9 if last is not None else 0
    return Rates(
        _share(telling, "new_bytes"),
        _share(later, "read_bytes"),
        last.statistics["read_bytes"] / seconds if last is not None and seconds > 0 else None,
    )


def _share(runs: list[Snapshot], of: str) -> float | None:
    """Stored bytes for each byte of that count."""
    stored, whole = (sum(one.statistics.get(key, 0) for one in runs) for key in ("stored_bytes", of))
    return stored / whole if whole >= _TELLING_BYTES else None


def _free_bytes(order: BackupOrder, opened: OpenedForWriting, *, is_new: bool) -> int | None:
    directory = local_path(split_place(order.place)[0], order.access)
    if not is_new:
        return opened.whole.free_bytes()
    if directory is None:
        return None
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return shutil.disk_usage(directory).free


def _quotas(order: BackupOrder, place: OpenPlace, context: JobContext) -> list[tuple[str, str, int, int]]:
    if order.space is None:
        return []
    index = load_place_index(place)
    try:
        held = sum(stored_in(index.tables).values())
        return SpaceGuard(order.space, order.limits.jobs, place, index.tables, context.clock).quotas(held)
    finally:
        index.tables.close()


def _refusal(
    address: str, estimated: int, free: int | None, quotas: list[tuple[str, str, int, int]]
) -> BackupError | None:
    wanted = estimated + estimated // _MARGIN
    text: Callable[[int], str] = format_bytes
    for whose, hint, used, quota in quotas:
        if used + wanted > quota:
            return QuotaError(
                f"about {text(estimated)} would be stored, and the {whose} has {text(max(0, quota - used))} left",
                hint=f"raise it ({hint}), or store less",
                context={"quota_bytes": quota, "used_bytes": used},
            )
    if free is not None and wanted + END_BYTES > free:
        return DestinationFullError(
            f"about {text(estimated)} would be stored, and {address} has {text(free)} left",
            hint="make space there, or store less",
        )
    return None
