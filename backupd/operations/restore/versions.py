"""All versions of files, or some of them: the newest under its name, older ones with a time stamp in theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo

from backupd.errors import SnapshotNotFoundError, UsageError
from backupd.model.results import shown
from backupd.operations.context import JobContext
from backupd.operations.file_versions import Version
from backupd.operations.restore.choosing import Chosen
from backupd.operations.snapshot_tree import Trees, find, root_entry
from backupd.rules import moments
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry, Kind

_MOST_DIGITS = 9


def pick_versions(found: Sequence[Version], picks: Sequence[str], context: JobContext) -> list[Version]:
    """The versions that picks mean, of every path by itself; no picks: all.

    picks: numbers as `snapshot versions` shows them, or moments: the newest version at or before. Raises
    SnapshotNotFoundError where no path has such a version, UsageError.
    """
    if not picks:
        return list(found)
    kept: dict[tuple[bytes, int], Version] = {}
    for pick in picks:
        number = int(pick) if pick.isdecimal() and len(pick) <= _MOST_DIGITS else None
        limit = 0 if number is not None else int(moments.parse(pick, context.now, context.zone).timestamp())
        # They come by path and number, so of each path the last that fits stays.
        fit = {v.path: v for v in found if (v.number == number if number is not None else _seconds(v) <= limit)}
        if not fit:
            raise SnapshotNotFoundError(
                f"no version fits --pick {pick}", hint="`bkctl snapshot versions` shows all, with their numbers"
            )
        kept |= {(v.path, v.number): v for v in fit.values()}
    return [version for _, version in sorted(kept.items(), key=lambda item: item[0])]


def newest_numbers(found: Sequence[Version]) -> dict[bytes, int]:
    """The number of each path's newest version."""
    return {version.path: version.number for version in found}


def place_versions(
    chosen: Sequence[Version],
    newest: dict[bytes, int],
    snapshots: Sequence[Snapshot],
    trees: Trees,
    zone: tzinfo,
    cut_of: Callable[[bytes], bytes],
) -> list[Chosen]:
    """The tree to restore: every version in its directory, under a name that no other has.

    newest: of all versions, chosen or not. snapshots: of the set, oldest first; the newest that has a directory gives
    it its metadata. cut_of: what is cut off the beginning of a path (`--strip`), b"" for nothing.
    """
    top: dict[bytes, _Made] = {}
    levels: list[tuple[Version, bytes, dict[bytes, _Made]]] = []
    for version in chosen:
        above = cut_of(version.path)
        *parents, name = version.path[len(above) :].strip(b"/").split(b"/")
        level = top
        for parent in parents:
            above += b"/" + parent
            if parent not in level:
                level[parent] = _Made(_directory(above, snapshots, trees), {})
            below = level[parent].below
            level = below if below is not None else {}
        levels.append((version, name, level))
    is_newest = [version.number == newest[version.path] for version, _, _ in levels]
    for wants_name in (True, False):
        for (version, name, level), has_name in zip(levels, is_newest, strict=True):
            if has_name == wants_name:
                if not has_name or name in level:
                    stamp = moments.version_stamp(version.snapshot.started_ns, zone)
                    level[_free_name(name, stamp, level)] = _Made(version.entry, None)
                else:
                    level[name] = _Made(version.entry, None)
    return _listed(top)


class _Made:
    __slots__ = ("below", "entry")

    def __init__(self, entry: Entry, below: dict[bytes, _Made] | None) -> None:
        self.entry, self.below = entry, below


def _listed(top: dict[bytes, _Made]) -> list[Chosen]:
    chosen: list[Chosen] = []
    todo = [(top, chosen)]
    while todo:
        level, found = todo.pop()
        for name, made in sorted(level.items(), key=lambda item: item[0]):
            if made.below is None:
                found.append(Chosen(name, made.entry))
            else:
                deeper: list[Chosen] = []
                found.append(Chosen(name, made.entry, deeper))
                todo.append((made.below, deeper))
    return chosen


def _free_name(name: bytes, stamp: str, taken: dict[bytes, _Made]) -> bytes:
    number = 1
    while (stamped := moments.stamped_name(name, stamp, number)) in taken:
        number += 1
    return stamped


def _directory(path: bytes, snapshots: Sequence[Snapshot], trees: Trees) -> Entry:
    for snapshot in reversed(snapshots):
        entry = find(root_entry(snapshot), path, trees)
        if entry is not None and entry.kind == Kind.DIRECTORY:
            return entry
    raise UsageError(f"{shown(path)} is in no snapshot")


def _seconds(version: Version) -> int:
    return moments.seconds_of(version.snapshot.started_ns)
