"""What the snapshots of a repository hold in bytes of their sources: of each host and path the largest version kept.

A snapshot is compared with the counted one before it, so that it costs what differs. A path that only a snapshot has
which is gone can't be told from the others: then all is counted anew.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator

from backupd.cache.largest_sizes import KEY_BYTES, LargestSizes
from backupd.errors import DamageError
from backupd.operations.snapshot_tree import Trees, join, root_entry
from backupd.seal.cipher import keyed_hash
from backupd.snapshot.naming import SnapshotName
from backupd.snapshot.records import Snapshot
from backupd.tree.comparing import Pair
from backupd.tree.depth import is_too_deep
from backupd.tree.entry import Entry, Kind

_CHECKED_FILES = 1000
_DOMAIN = b"backupd account"

Fetch = Callable[[str], Snapshot | None]
"""Gives the snapshot of a name; None where it can't be read."""


class HeldSources:
    """Counts one repository."""

    def __init__(self, sizes: LargestSizes | None, key: bytes, load: Callable[[bytes], bytes]) -> None:
        """sizes: of the last run; None: there are none. key: 32 bytes of the repository's own. load: gives nodes."""
        self.sizes = sizes if sizes is not None else LargestSizes()
        self._ordered = sorted(self.sizes.counted)
        self._key, self._trees = key, Trees(load)
        self._last: tuple[str, Snapshot] | None = None
        self.unread = 0
        """Snapshots that could not be read at all."""

    def covers(self, names: Iterable[SnapshotName]) -> bool:
        """Whether just these snapshots are counted, all of them whole."""
        return {name.name for name in names} == self.sizes.counted | self.sizes.passed and not self.sizes.partly

    def count_all(self, names: Iterable[SnapshotName], fetch: Fetch, check: Callable[[], None]) -> None:
        """Bring the sizes to what stands at the place.

        names: of all snapshots there that are not void. check: called now and then, may raise to end it.
        """
        known = {name.name: name for name in names}
        if not self.sizes.held <= known.keys():
            self.sizes, self._ordered = LargestSizes(), []
        sizes = self.sizes
        sizes.passed &= known.keys()
        missing = [name for name in known.values() if name.name not in sizes.counted | sizes.passed]
        for name in sorted(missing, key=_order):
            snapshot = fetch(name.name)
            if snapshot is not None:
                self.count(name, snapshot, fetch, check)
            else:
                self.unread += 1

    def count(self, name: SnapshotName, snapshot: Snapshot, fetch: Fetch, check: Callable[[], None]) -> None:
        """Add a snapshot; a partial one counts for nothing."""
        if not snapshot.is_complete:
            self.sizes.passed.add(name.name)
            return
        before = self._before(name, snapshot, fetch)
        is_whole = self._add(snapshot, before, check)
        if not is_whole and before is not None:
            # What is damaged may be of the older one alone.
            is_whole = self._add(snapshot, None, check)
        (self.sizes.counted if is_whole else self.sizes.partly).add(name.name)
        if is_whole:
            self.sizes.partly.discard(name.name)
            insort(self._ordered, name.name)
            self._last = (name.name, snapshot)

    def _before(self, name: SnapshotName, snapshot: Snapshot, fetch: Fetch) -> Snapshot | None:
        """The counted snapshot of the same set and host that is nearest before it."""
        at = bisect_left(self._ordered, name.name)
        nearest = self._ordered[at - 1] if at else ""
        if nearest.rpartition("/")[0] != name.name.rpartition("/")[0]:
            return None
        found = self._last[1] if self._last is not None and self._last[0] == nearest else fetch(nearest)
        return found if found is not None and found.host_name == snapshot.host_name else None

    def _add(self, snapshot: Snapshot, before: Snapshot | None, check: Callable[[], None]) -> bool:
        """Whether all could be read."""
        damaged: list[bytes] = []
        key = keyed_hash(self._key, _DOMAIN + snapshot.host_name.encode(errors="surrogateescape"))
        old = root_entry(before) if before is not None else None
        for number, (path, entry) in enumerate(_files(old, root_entry(snapshot), self._trees, damaged)):
            if number % _CHECKED_FILES == 0:
                check()
            self.sizes.add(keyed_hash(key, _identity(path, entry))[:KEY_BYTES], entry.size)
        return not damaged


def _files(before: Entry | None, after: Entry, trees: Trees, damaged: list[bytes]) -> Iterator[tuple[bytes, Entry]]:
    """Files of the newer tree whose entries are not those of the older one.

    Not `walk_changes`: to it another group of hard links is no change. damaged: gets directories that can't be read.
    """
    directories: list[tuple[bytes, Iterator[Pair]]] = [(b"/", trees.differing(before, after))]
    while directories:
        path, pairs = directories[-1]
        try:
            pair = next(pairs, None)
        except DamageError:
            damaged.append(path)
            pair = None
        if pair is None:
            directories.pop()
            continue
        old, new = pair
        if new is None:
            continue
        name = join(path, new.name)
        if new.kind == Kind.FILE and new.size:
            yield name, new
        elif new.kind == Kind.DIRECTORY and is_too_deep(name):
            damaged.append(name)
        elif new.kind == Kind.DIRECTORY:
            directories.append((name, trees.differing(old, new)))


def _identity(path: bytes, entry: Entry) -> bytes:
    """All names of one inode are one file."""
    group = entry.extra.hard_link if entry.extra is not None else None
    return b"link " + group if group else b"path " + path


def _order(name: SnapshotName) -> tuple[str, str, bytes]:
    return (name.set_id, name.start, name.session)
