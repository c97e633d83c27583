"""What the newest snapshot of a set needs stays locked as long as backups are made (DESIGN 8.6).

Each object is locked when it is created. A run extends the locks of what it relies on once less than half of the rule's
days is left: what it needs is walked then, not in each run. What is extended with them has less than three quarters
left, so that a quarter of the days lies between two walks at least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from concurrent.futures import ThreadPoolExecutor

import msgspec

from backupd.block.layout import block_name
from backupd.cache import known_locks
from backupd.destination.contract import Forwarding, LockRule
from backupd.errors import DestinationError, DestinationRefusedError, ObjectMissingError
from backupd.repository.identity import TWINS
from backupd.repository.index_loading import LoadedIndex
from backupd.repository.opening import OpenRepository
from backupd.repository.reader import ChunkReader, SegmentReader
from backupd.store_errors import ReadOnlyStoreError
from backupd.tree.reaching import TreeReach

_DAY_NS = 86_400 * 10**9
_AT_ONCE = 8


class Extended(msgspec.Struct, frozen=True):
    """What a run did about locks."""

    rule: LockRule
    count: int
    """Objects whose locks were made longer."""
    until_ns: int
    """So long all is locked that the snapshot needs."""


class LockKeeping:
    """Of one set at one place. Raises what its store raises; what is extended by then is known to the next run."""

    def __init__(
        self, repository: OpenRepository, index: LoadedIndex, path: str, now_ns: int, tick: Callable[[], None]
    ) -> None:
        """path: of the set's known locks. tick: called between steps; may raise."""
        self._repository, self._index, self._path = repository, index, path
        self._now_ns, self._tick = now_ns, tick
        self._place = Forwarding(repository.place)

    def extend(
        self,
        root: bytes,
        segments: SegmentReader,
        stored: Iterable[bytes],
        stored_ns: int,
        *,
        relied: Iterable[bytes] = (),
        is_first: bool = False,
    ) -> Extended | None:
        """After the commit of a snapshot with that top node. None: the place locks nothing.

        stored: blocks of the run, which began at stored_ns. relied: blocks that it relied on, besides what the tables
        remember. is_first: the set had no snapshot there before.
        """
        rule = self._place.lock_rule
        if rule is None:
            return None
        whole_ns = rule.days * _DAY_NS
        loaded = known_locks.load(self._path)
        known = {} if loaded is None else loaded
        for block_id in stored:
            known[block_name(block_id)] = stored_ns + whole_ns
        indexes = self._indexes()
        asked = {block_name(block_id) for block_id in (*self._index.tables.relied_blocks(), *relied)}
        is_due = min(known.values(), default=0) < self._now_ns + whole_ns // 2
        if is_due or (loaded is None and not is_first):
            needed = self._reached(root, segments) | indexes | self._identity()
            late = {name for name in needed if known.get(name, 0) < self._now_ns + 3 * whole_ns // 4}
        else:
            others = {name for name in known if not name.startswith("index/")}
            needed = others | asked | indexes | (self._identity() if loaded is None else set())
            late = needed - known.keys()
        refused: list[DestinationError] = []
        count = 0
        for name in late:
            # What this run does not come to is due in the next one.
            known.setdefault(name, 0)
        try:
            for name, error in self._lock(late, self._now_ns + whole_ns):
                if error is None:
                    known[name] = self._now_ns + whole_ns
                    count += 1
                elif isinstance(error, ObjectMissingError) and name.startswith("index/"):
                    # Replaced, and removed since it was listed.
                    del known[name]
                else:
                    refused.append(error)
        finally:
            known = {name: until_ns for name, until_ns in known.items() if name in needed}
            known_locks.keep(self._path, known)
        if refused:
            # Only when all others are done.
            raise refused[0]
        return Extended(rule, count, min(known.values(), default=self._now_ns))

    def _lock(self, names: Set[str], until_ns: int) -> Iterable[tuple[str, DestinationError | None]]:
        def lock(name: str) -> tuple[str, DestinationError | None]:
            try:
                self._place.lock(name, until_ns)
            except (ObjectMissingError, DestinationRefusedError, ReadOnlyStoreError) as error:
                return name, error
            return name, None

        with ThreadPoolExecutor(_AT_ONCE if self._place.traits.parallel_calls else 1, "locker") as pool:
            try:
                for done in pool.map(lock, sorted(names)):
                    self._tick()
                    yield done
            finally:
                pool.shutdown(cancel_futures=True)

    def _reached(self, root: bytes, segments: SegmentReader) -> set[str]:
        """Names of all blocks that hold what a tree reaches."""
        tables = self._index.tables
        reader = ChunkReader(segments, tables)
        blocks: set[bytes] = set()
        for ids in TreeReach(reader.load, set()).chunks(root, None):
            self._tick()
            blocks.update(place.block_id for place in tables.find_many(ids, trying=True) if place is not None)
        return {block_name(block_id) for block_id in blocks}

    def _indexes(self) -> set[str]:
        replaced = {old for table in self._index.tables.tables() for old in table.replaces}
        return {f"index/{name}" for name in self._index.tables.names() if name not in replaced}

    def _identity(self) -> set[str]:
        """What opens the repository."""
        listed = [info.name for folder in ("keys/", "keyring/") for info in self._repository.place.list(folder)]
        return {*listed, *TWINS}
