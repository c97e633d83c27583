"""Saying what changes in the sources of a set, until somebody ends it: what continuous backups go by."""

from __future__ import annotations

import errno
import os

from backupd.errors import BackupError
from backupd.model import events
from backupd.model.watch_orders import WatchOrder
from backupd.operations.backup.setting import read_rules, real_path, what_is_left_out
from backupd.operations.backup.shortcuts import expanded
from backupd.operations.context import JobContext
from backupd.operations.run_as import rights_to_read
from backupd.rules.filter_rules import by_names_alone
from backupd.rules.filtering import Filters
from backupd.source.changes import Changes, IsOut, SourceWatch
from backupd.source.mounts import read_mounts
from backupd.source.watchers import OwnWatch

_SECONDS = 1.0
_WHERE_SECONDS = 5.0
_MEANING_SECONDS = 60.0
"""How often shortcuts are looked up again: there may be a new user."""
_SNAPSHOTS = (b"/.zfs/snapshot/", b"/fs-snapshots/mounts/")
"""Mounts that come and go with runs."""


def run(order: WatchOrder, context: JobContext) -> events.Done:
    """Watch. Raises StoppedError at the end, BackupError where the system lets nobody watch."""
    try:
        with rights_to_read(order.run_as) as context.source_rights:
            while True:
                _watch(expanded(order, context)[0], order, context)
    except OSError as error:
        hint = "raise fs.inotify.max_user_instances with sysctl" if error.errno == errno.EMFILE else ""
        raise BackupError(f"the sources can't be watched: {error.strerror}", hint=hint) from error


def _watch(order: WatchOrder, written: WatchOrder, context: JobContext) -> None:
    """Tell of changes until other things lie where the sources are: then all is to be watched anew."""
    rights = context.source_rights
    where = rights.do(_where, order)
    # As runs walk them: what is told of goes by the paths of their caches.
    sources = rights.do(lambda: [real_path(source) for source in order.sources])
    clock, is_out = context.clock, _rules(order, sources, context)
    # What that user may not read it can't watch: the run says so of it.
    tree: SourceWatch = rights.do(OwnWatch, sources, is_out, clock.monotonic, one_file_system=order.one_file_system)
    try:
        context.send(_told(Changes(is_lost=True), tree))
        look_again, look_up = clock.monotonic() + _WHERE_SECONDS, clock.monotonic() + _MEANING_SECONDS
        while True:
            changes = rights.do(tree.wait, _SECONDS)
            if changes:
                context.send(_told(changes, tree))
            context.cancel.check()
            if clock.monotonic() >= look_again:
                look_again = clock.monotonic() + _WHERE_SECONDS
                if rights.do(_where, order) != where:
                    return
            if clock.monotonic() >= look_up:
                look_up = clock.monotonic() + _MEANING_SECONDS
                if expanded(written, context)[0] != order:
                    return
    finally:
        tree.close()


def _where(order: WatchOrder) -> tuple[object, ...]:
    """What leads to the sources and what is mounted there: nobody tells of that."""
    found: list[object] = []
    for source in order.sources:
        path = real_path(source)
        above = os.path.dirname(path)
        try:
            stat = os.stat(above)
            found.append((path, stat.st_dev, stat.st_ino))
        except OSError:
            found.append((path, None))
    tops = tuple(real_path(source).rstrip(b"/") for source in order.sources)
    found += [
        (mount.path, mount.device)
        for mount in read_mounts()
        if any(mount.path == top or mount.path.startswith(top + b"/") for top in tops)
        and not any(part in mount.path for part in _SNAPSHOTS)
    ]
    return tuple(found)


def _told(changes: Changes, tree: SourceWatch) -> events.Changed:
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
    left_out, _ = what_is_left_out(context, [(one.place, one.access) for one in order.apart])
    named = set(sources)

    def is_out(path: bytes, name: bytes, is_directory: bool) -> bool:
        if path in named:
            return False
        return left_out.is_left_out(path) is not None or not filters.decide(path, name, is_directory).included

    return is_out
