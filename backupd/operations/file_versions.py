"""Versions of files over the snapshots of a set, numbered from 1, oldest first; restore takes the same numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from backupd.errors import PathNotFoundError, UsageError
from backupd.model.results import shown
from backupd.operations import snapshot_tree
from backupd.operations.snapshot_changes import OnDamage, walk_changes
from backupd.operations.snapshot_tree import Trees
from backupd.snapshot.records import Snapshot
from backupd.tree.comparing import has_same_content
from backupd.tree.entry import Entry, Kind

MOST_VERSIONS = 100_000


class Version(msgspec.Struct, frozen=True):
    """One state of a path, as the oldest snapshot that has it holds it."""

    path: bytes
    number: int
    snapshot: Snapshot
    entry: Entry


def versions_of(
    paths: Sequence[bytes], snapshots: Iterable[Snapshot], trees: Trees, damaged: OnDamage
) -> list[Version]:
    """All versions at and below paths, by path and number.

    snapshots: of one set. A version differs from the one before in content, time stamp or kind: a new mode or owner
    alone makes none, nor does a file that was away for a while and came back the same. Directories have none of their
    own, but the files below them do. Raises PathNotFoundError for a path that no snapshot holds, UsageError when there
    are more than MOST_VERSIONS.
    """
    ordered = sorted(snapshots, key=lambda snapshot: (snapshot.started_ns, snapshot.id))
    found: list[Version] = []
    for path in paths:
        found += _at(path, ordered, trees, damaged)
        if len(found) > MOST_VERSIONS:
            raise UsageError(
                f"there are more than {MOST_VERSIONS:,} versions", hint="name files or a smaller directory"
            )
    return sorted(found, key=lambda version: (version.path, version.number))


def _at(path: bytes, ordered: Sequence[Snapshot], trees: Trees, damaged: OnDamage) -> list[Version]:
    newest: dict[bytes, Version] = {}
    found: list[Version] = []
    before: Entry | None = None
    is_known = False
    for snapshot in ordered:
        after = snapshot_tree.find(snapshot_tree.root_entry(snapshot), path, trees)
        is_known = is_known or after is not None
        for change in walk_changes(path, before, after, trees, damaged):
            entry = change.after
            if entry is None or entry.kind == Kind.DIRECTORY or len(found) > MOST_VERSIONS:
                continue
            last = newest.get(change.path)
            if last is None or entry.mtime_ns != last.entry.mtime_ns or not has_same_content(last.entry, entry):
                version = Version(change.path, last.number + 1 if last else 1, snapshot, entry)
                newest[change.path] = version
                found.append(version)
        before = after
    if not is_known:
        raise PathNotFoundError(
            f"no snapshot of the set holds {shown(path)}", hint="`bkctl snapshot ls` shows what there is"
        )
    return found
