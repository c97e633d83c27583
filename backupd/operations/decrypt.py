"""`bkctl decrypt`: files back from a directory of blocks and the key, without daemon, index or state (FEATURES 8.5)."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from backupd.errors import BackupError, PathNotFoundError, SnapshotNotFoundError, UsageError
from backupd.model import events
from backupd.model.orders import DecryptOrder, RestoreOrder, Selection
from backupd.model.results import shown
from backupd.operations.bare_blocks import make_index, open_parts
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace
from backupd.operations.restore.running import restore_snapshot
from backupd.operations.snapshot_listing import Listing, SnapshotAt, list_snapshots, warn_of_unread
from backupd.settings.directories import ensure
from backupd.sizes import count
from backupd.snapshot import naming
from backupd.state_errors import translated


def run(order: DecryptOrder, context: JobContext) -> events.Done:
    """Give back the newest snapshot of every set: of one set below the target, of several below a folder each."""
    real, blocks = os.path.realpath(order.to), os.fsencode(os.path.realpath(order.place))
    if real == blocks or real.startswith(blocks + b"/"):
        raise UsageError(f"{shown(order.to)} lies among the blocks", hint="name another directory")
    above = ensure(context.directories.temporary)
    try:
        scratch = tempfile.mkdtemp(prefix="decrypt-", dir=above)
    except OSError as error:
        raise translated(error, above) from error
    try:
        place = open_parts(context, order.place, scratch)
        chunks = make_index(context, place)
        listing = list_snapshots(place)
        warn_of_unread(context, listing)
        newest = _newest(listing)
        if not newest:
            raise SnapshotNotFoundError(
                f"the blocks can be read and hold {count(chunks, 'chunk')}, but no snapshot says how they make files",
                hint="copy snapshots/ of the repository beside its blocks; any destination of it will do",
            )
        return _restore(order, context, place, listing, newest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _newest(listing: Listing) -> list[SnapshotAt]:
    """Of each set the newest complete snapshot, else the newest partial one."""
    found: dict[bytes, SnapshotAt] = {}
    for at in listing.found:
        standing = found.get(at.snapshot.set_id)
        if standing is None or _order(at) > _order(standing):
            found[at.snapshot.set_id] = at
    return sorted(found.values(), key=lambda at: (at.snapshot.host_name, at.snapshot.set_name))


def _order(at: SnapshotAt) -> tuple[bool, int]:
    return at.snapshot.is_complete, at.snapshot.started_ns


def _restore(
    order: DecryptOrder, context: JobContext, place: OpenPlace, listing: Listing, newest: list[SnapshotAt]
) -> events.Done:
    done: list[events.Done] = []
    missing: BackupError | None = None
    for at in newest:
        snapshot = at.snapshot
        if not snapshot.is_complete:
            context.warn(f"{snapshot.set_name} has only a partial snapshot: not all of it is there")
        target = order.to if len(newest) == 1 else os.path.join(order.to, _folder(at, newest))
        one = RestoreOrder(
            place=order.place,
            interactive=order.interactive,
            confirmed=order.confirmed,
            assume_yes=order.assume_yes,
            time_zone=order.time_zone,
            selection=Selection(paths=order.paths, as_of=naming.snapshot_id_text(snapshot.id)),
            to=target,
            temporary_directory=order.temporary_directory,
            limits=order.limits,
        )
        try:
            done.append(restore_snapshot(one, context, place, listing, snapshot))
        except PathNotFoundError as error:
            missing = error
    if not done:
        raise missing or PathNotFoundError(f"no set holds {shown(order.paths[0])}")
    return done[0] if len(done) == 1 else _together(order, context, done)


def _folder(at: SnapshotAt, newest: list[SnapshotAt]) -> bytes:
    """The set's name, with the host's where two hosts have a set of that name."""
    name = at.snapshot.set_name
    if sum(other.snapshot.set_name == name for other in newest) > 1:
        name = f"{at.snapshot.host_name}-{name}"
    return name.encode(errors="surrogateescape").replace(b"/", b"_")


def _together(order: DecryptOrder, context: JobContext, done: list[events.Done]) -> events.Done:
    """One result of several restores; the worst exit code and its error."""
    files: dict[str, int] = {}
    sizes: dict[str, int] = {}
    problems: dict[str, Any] = {"count": 0, "first": []}
    for one in done:
        for total, part in ((files, one.result.get("files", {})), (sizes, one.result.get("bytes", {}))):
            for name, number in part.items():
                total[name] = total.get(name, 0) + number
        found = one.result.get("problems") or {}
        problems["count"] += found.get("count", 0)
        problems["first"] += found.get("first", [])
    worst = max(done, key=lambda one: (one.exit_code == 20, one.exit_code))
    result = {
        "files": files,
        "bytes": sizes,
        "problems": problems,
        "seconds": round(context.elapsed_seconds, 3),
        "target": shown(order.to),
        "sets": [one.result for one in done],
    }
    error = worst.error or (error_fields(BackupError("a restore failed")) if worst.exit_code else None)
    return events.Done(exit_code=worst.exit_code, result=result, warnings=context.warnings, error=error)
