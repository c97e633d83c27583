"""Saying what changes in the sources of a set, until somebody ends it: what continuous backups go by."""

from __future__ import annotations

from backupd.errors import BackupError
from backupd.model import events
from backupd.model.watch_orders import WatchOrder
from backupd.operations.backup.setting import read_rules, real_path, what_is_left_out
from backupd.operations.context import JobContext
from backupd.rules.filter_rules import by_names_alone
from backupd.rules.filtering import Filters
from backupd.source.watching import Changes, IsOut, TreeWatch

_SECONDS = 1.0


def run(order: WatchOrder, context: JobContext) -> events.Done:
    """Watch. Raises StoppedError at the end, BackupError where the system lets nobody watch."""
    # As runs walk them: what is told of goes by the paths of their caches.
    sources = [real_path(source) for source in order.sources]
    is_out = _rules(order, sources, context)
    try:
        tree = TreeWatch(sources, is_out, context.clock.monotonic, one_file_system=order.one_file_system)
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
        is_lost=changes.is_lost or tree.is_blind,
        watched=tree.count,
        unwatched=tree.unwatched,
    )


def _rules(order: WatchOrder, sources: list[bytes], context: JobContext) -> IsOut:
    """What runs leave out is not watched: their own caches would begin the next one."""
    filters = Filters(by_names_alone(read_rules(order.filters)))
    left_out, _ = what_is_left_out(context.directories, [(one.place, one.access) for one in order.apart])
    named = set(sources)

    def is_out(path: bytes, name: bytes, is_directory: bool) -> bool:
        if path in named:
            return False
        return left_out.is_left_out(path) is not None or not filters.decide(path, name, is_directory).included

    return is_out
