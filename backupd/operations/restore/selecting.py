"""From an order to what is restored: paths, sources without their parents, versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from backupd.errors import UsageError
from backupd.model.orders import RestoreOrder
from backupd.model.streams import STREAMS_PATH
from backupd.operations.context import JobContext
from backupd.operations.file_versions import versions_of
from backupd.operations.followed_links import named_sources
from backupd.operations.restore import choosing
from backupd.operations.restore.choosing import Chosen
from backupd.operations.restore.versions import newest_numbers, pick_versions, place_versions
from backupd.operations.snapshot_changes import OnDamage
from backupd.operations.snapshot_listing import Listing
from backupd.operations.snapshot_tree import Trees, root_entry
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry


class Selected(msgspec.Struct, frozen=True):
    """What is restored."""

    chosen: Callable[[], Iterable[Entry] | Iterable[Chosen]]
    """Gives it for one walk."""
    origin_of: Callable[[bytes], bytes]
    """The source path of one below the target."""
    is_whole: bool
    """All of the snapshot, so its own counts hold."""


def select(
    order: RestoreOrder, context: JobContext, snapshot: Snapshot, listing: Listing, trees: Trees, damaged: OnDamage
) -> Selected:
    """Find what the order names.

    damaged: told of directories on the way that can't be read. Raises PathNotFoundError, SnapshotNotFoundError,
    AccessError, UsageError, DamageError.
    """
    root = root_entry(snapshot)
    paths = order.selection.paths
    if order.to is None and STREAMS_PATH in snapshot.sources:
        return _without_streams(order, context, snapshot, listing, trees, damaged)
    if order.all_versions or order.picks:
        found = _versions(order, context, snapshot, listing, trees, damaged)
        return Selected(lambda: found, _origin, False)
    if order.strip:
        named = named_sources(snapshot)
        left = len(snapshot.sources) - len(named)
        if left and not paths:
            context.tell("information", f"{left} more, which links lead to, come without --strip, or by their paths")
        stripped, origins = choosing.choose_stripped(root, paths or named, trees, damaged, may_miss=not paths)
        return Selected(lambda: stripped, _stripped_origins(origins), trees.shows_all and not paths and not left)
    if paths:
        chosen = choosing.choose_paths(root, paths, trees, damaged)
        return Selected(lambda: chosen, _origin, False)
    return Selected(lambda: trees.entries(root), _origin, trees.shows_all)


def _without_streams(
    order: RestoreOrder, context: JobContext, snapshot: Snapshot, listing: Listing, trees: Trees, damaged: OnDamage
) -> Selected:
    """What goes back to where it came from: streams came from no place of the tree."""
    paths = order.selection.paths or snapshot.sources
    left = [path for path in paths if path != STREAMS_PATH and not path.startswith(STREAMS_PATH + b"/")]
    if not left or (order.selection.paths and len(left) < len(paths)):
        raise UsageError(
            "a stream came from a command, and has no place to go back to",
            hint="--to DIR gives it back as a file, --into-database NAME fills a database",
        )
    rest = msgspec.structs.replace(snapshot, sources=[path for path in snapshot.sources if path != STREAMS_PATH])
    selection = msgspec.structs.replace(order.selection, paths=left)
    return select(msgspec.structs.replace(order, selection=selection), context, rest, listing, trees, damaged)


def _versions(
    order: RestoreOrder, context: JobContext, snapshot: Snapshot, listing: Listing, trees: Trees, damaged: OnDamage
) -> list[Chosen]:
    """Of the snapshots of the set up to the one that the order names."""
    snapshots = sorted(
        (
            at.snapshot
            for at in listing.found
            if at.snapshot.set_id == snapshot.set_id
            and at.snapshot.is_of_machine(snapshot)
            and at.snapshot.started_ns <= snapshot.started_ns
            and (at.snapshot.is_complete or order.selection.incomplete)
        ),
        key=lambda one: (one.started_ns, one.id),
    )
    paths = order.selection.paths or snapshot.sources
    found = versions_of(paths, snapshots, trees, damaged)
    picked = pick_versions(found, order.picks, context)
    tops = [path.rstrip(b"/") for path in paths] if order.strip else []

    def cut_of(path: bytes) -> bytes:
        for top in tops:
            if path == top or path.startswith(top + b"/"):
                return top.rpartition(b"/")[0]
        return b""

    return place_versions(picked, newest_numbers(found), snapshots, trees, context.zone, cut_of)


def _origin(path: bytes) -> bytes:
    return b"/" + path


def _stripped_origins(tops: dict[bytes, bytes]) -> Callable[[bytes], bytes]:
    def origin_of(path: bytes) -> bytes:
        name, slash, rest = path.partition(b"/")
        return tops.get(name, b"/" + name) + slash + rest

    return origin_of
