"""Saying what changes in the sources of a set, until somebody ends it: what continuous backups go by."""

from __future__ import annotations

import os

from backupd.destination.stores import local_paths
from backupd.errors import BackupError
from backupd.model import events
from backupd.model.watch_orders import WatchOrder
from backupd.operations.backup.setting import read_rules
from backupd.operations.context import JobContext
from backupd.rules.filter_rules import by_names_alone
from backupd.rules.filtering import Filters
from backupd.rules.left_out import LeftOut, pseudo_mounts
from backupd.source.mounts import read_mounts, swap_files
from backupd.source.watching import Changes, IsOut, TreeWatch

_SECONDS = 1.0


def run(order: WatchOrder, context: JobContext) -> events.Done:
    """Watch. Raises StoppedError at the end, BackupError where the system lets nobody watch."""
    is_out = _rules(order, context)
    try:
        tree = TreeWatch(order.sources, is_out, context.clock.monotonic, one_file_system=order.one_file_system)
        try:
            context.send(_told(Changes(is_lost=True), tree))
            while True:
                changes = tree.wait(_SECONDS)
                if changes:
                    context.send(_told(changes, tree))
                context.cancel.check()
        finally:
            tree.close()
    except OSError as error:
        raise BackupError(
            f"the sources can't be watched: {error.strerror}", hint="raise fs.inotify.max_user_instances with sysctl"
        ) from error


def _told(changes: Changes, tree: TreeWatch) -> events.Changed:
    return events.Changed(
        directories=sorted(changes.directories),
        trees=sorted(changes.trees),
        is_lost=changes.is_lost,
        watched=tree.count,
        unwatched=tree.unwatched,
    )


def _rules(order: WatchOrder, context: JobContext) -> IsOut:
    """What runs leave out is not watched: their own caches would begin the next one."""
    filters = Filters(by_names_alone(read_rules(order.filters)))
    found = context.directories
    own = [found.state, found.cache, found.temporary, os.path.join(found.data, "keys")]
    own += [path for one in order.apart for path in local_paths(one.place, one.access)]
    mounts = pseudo_mounts((mount.path, mount.type) for mount in read_mounts())
    left_out = LeftOut([os.fsencode(os.path.realpath(path)) for path in own], mounts, swap_files())
    named = set(order.sources)

    def is_out(path: bytes, name: bytes, is_directory: bool) -> bool:
        if path in named:
            return False
        return left_out.is_left_out(path) is not None or not filters.decide(path, name, is_directory).included

    return is_out
