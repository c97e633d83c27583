"""The walk over all snapshots: what each needs is marked, and counted where no snapshot walked before needs it."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from blake3 import blake3

from backupd.model.areas import Area, SetAreas
from backupd.repository.live_chunks import LiveChunks, Marked
from backupd.repository.looking import newest_of_sets, roots_in_order
from backupd.repository.marking import BATCH_CHUNKS, mark_reached
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.tree.nodes import Load
from backupd.tree.reaching import Reached, TreeReach
from backupd.tree.versions import Versions, versions_beyond

_HINT = "nothing was given free; bkctl check says what is lost, and what can be done"
_KEPT_CHUNKS = 800_000
_ID_BYTES = 32


class WalkedTrees:
    """What trees were found to reach, which never changes: a second look need not read them again.

    Of 40 bytes a chunk, so no more than some 30 MiB of it is kept; other trees are read each time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes | None], tuple[bytearray, array[int]]] = {}
        self._room_chunks = _KEPT_CHUNKS

    def reached(self, root: bytes, base: bytes | None, load: Load) -> Iterator[Reached]:
        """As of a `TreeReach` that knows of nothing proved. Raises DamageError."""
        known = self._known.get((root, base))
        if known is not None:
            ids, lengths = known
            for at in range(0, len(lengths), BATCH_CHUNKS):
                end = at + BATCH_CHUNKS
                yield Reached(bytes(ids[_ID_BYTES * at : _ID_BYTES * end]), lengths[at:end].tolist())
            return
        joined, lengths, is_kept = bytearray(), array("q"), True
        for piece in TreeReach(load, set()).reached(root, base):
            yield piece
            is_kept = is_kept and len(lengths) + len(piece.lengths) <= self._room_chunks
            if is_kept:
                joined += piece.ids
                lengths.extend(piece.lengths)
            else:
                joined, lengths = bytearray(), array("q")
        if is_kept:
            self._known[root, base] = (joined, lengths)
            self._room_chunks -= len(lengths)


class RootWalk:
    """Of one look. A snapshot costs what it does not share with the one of its set that is nearest in time."""

    def __init__(self, marks: LiveChunks, load: Load, tick: Callable[[], None], trees: WalkedTrees) -> None:
        """tick: called between all steps. trees: what looks before this one found."""
        self._marks, self.load, self._tick, self._trees = marks, load, tick, trees
        self._walked: dict[bytes, list[tuple[int, bytes]]] = {}
        """By set: (time, root), in order."""

    def mark(self, snapshot: Snapshot) -> Marked:
        """Mark what it needs; what was not marked before. Raises DamageError where something of it can't be had."""
        before = self._marks.marked
        walked = self._walked.setdefault(snapshot.set_id, [])
        pieces = self._trees.reached(snapshot.root, _nearest(walked, snapshot.started_ns), self.load)
        mark_reached(pieces, self._marks, snapshot, self._tick, _HINT)
        insort(walked, (snapshot.started_ns, snapshot.root))
        return self._marks.marked - before


def _nearest(walked: Sequence[tuple[int, bytes]], time_ns: int) -> bytes | None:
    at = bisect_left(walked, (time_ns, b""))
    near = walked[max(0, at - 1) : at + 1]
    return min(near, key=lambda one: abs(one[0] - time_ns))[1] if near else None


def in_order(snapshots: Mapping[str, Snapshot], void: Collection[str]) -> list[Snapshot]:
    """The newest complete one of each set, then all others so that each comes after one that it shares much with.

    void: names of those that were dropped, and are needed by a writer under way.
    """
    living = newest_of_sets({name: one for name, one in snapshots.items() if name not in void})
    # What sets share the first one has: the same one each time.
    newest = [living[set_id] for set_id in sorted(living)]
    return newest + [one for one in roots_in_order(snapshots) if not any(one is first for first in newest)]


class AreaCount:
    """What the areas of each set hold, as far as its snapshots were walked; that of each set's newest one first."""

    def __init__(self, snapshots: Mapping[str, Snapshot], void: Collection[str]) -> None:
        """snapshots: all that will be walked. void: as of `in_order`."""
        living = {name: one for name, one in snapshots.items() if name not in void}
        self._newest = newest_of_sets(living)
        self._later = _later({one.id: one for one in living.values() if one.is_complete}.values())
        self._sets: dict[bytes, SetAreas] = {}
        ids = sorted(one.id + one.root for one in snapshots.values())
        self.of = blake3(b"".join(ids)).hexdigest(length=16) if ids else ""
        """The same for the same snapshots, whole or incomplete as they are; empty for none."""

    def add(self, snapshot: Snapshot, marked: Marked, versions: Callable[[bytes, bytes], Versions] | None) -> None:
        """Take in a snapshot that was walked. versions: counts them for two roots; None: they are not wanted."""
        set_id = snapshot.set_id
        newest = self._newest.get(set_id)
        found = self._sets.get(set_id) or SetAreas(
            set=snapshot.set_name,
            set_id=naming.set_id_text(set_id),
            snapshot=naming.snapshot_id_text(newest.id) if newest is not None else None,
            data=Area(),
            retention=Area(),
        )
        if snapshot is newest:
            data = _area(marked, Versions(snapshot.file_count, snapshot.byte_count))
            self._sets[set_id] = msgspec.structs.replace(found, data=data)
            return
        later = self._later.get(id(snapshot))
        former = versions(snapshot.root, later) if versions is not None and later is not None else Versions(0, 0)
        self._sets[set_id] = msgspec.structs.replace(found, retention=found.retention + _area(marked, former))

    def sets(self) -> list[SetAreas]:
        """By id."""
        return [self._sets[set_id] for set_id in sorted(self._sets)]


class VersionCount:
    """Counts versions of files; what was counted is not counted again."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Versions] = {}

    def beyond(self, root: bytes, later: bytes, load: Load) -> Versions:
        """Of a tree, those that the later one has not. Raises DamageError."""
        if root == later:
            return Versions(0, 0)
        if (root, later) not in self._known:
            self._known[root, later] = versions_beyond(root, later, load)
        return self._known[root, later]


def _later(snapshots: Iterable[Snapshot]) -> dict[int, bytes]:
    """By identity of each: the root of the next newer one of its set."""
    ordered = sorted(snapshots, key=lambda one: (one.set_id, one.started_ns, one.id))
    pairs = zip(ordered, ordered[1:], strict=False)
    return {id(one): later.root for one, later in pairs if one.set_id == later.set_id}


def _area(marked: Marked, versions: Versions) -> Area:
    return Area(
        files=versions.files,
        source_bytes=versions.source_bytes,
        plain_bytes=marked.plain_bytes,
        compressed_bytes=marked.compressed_bytes,
        stored_bytes=marked.stored_bytes,
    )
