"""What an account holds, against counting by hand: of each host and path the largest version of all kept snapshots."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.cache.largest_sizes import load
from backupd.errors import ChunkLostError
from backupd.operations.backup.held_sources import HeldSources
from backupd.snapshot import naming
from backupd.snapshot.naming import SnapshotName
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Entry, Extra, Kind, encode
from backupd.tree.nodes import NodeBuilder

File = tuple[int, bytes]
"""Size, and the group of hard links it is in."""
Tree = dict[bytes, File]
"""By path below /."""
_WIDE: Tree = {b"w/%03d" % number: (1, b"") for number in range(150)}
"""So that a directory has several nodes."""
_SET = bytes(15) + b"s"


class Shelf:
    """Nodes, snapshots, and a count of what is loaded."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.trees: dict[str, tuple[str, Tree]] = {}
        self.loaded = 0
        self.lost: set[bytes] = set()
        self._number = 0

    def add(self, tree: Tree, host: str = "laptop", *, is_complete: bool = True, set_id: bytes = _SET) -> str:
        self._number += 1
        number = self._number
        started_ns = (1_795_000_000 + number) * 1_000_000_000
        session = number.to_bytes(16, "big")
        name = naming.snapshot_name(set_id, started_ns, session)
        self.snapshots[name] = Snapshot(
            id=session, set_id=set_id, set_name="docs", host_id=bytes(16), host_name=host, started_ns=started_ns,
            finished_ns=started_ns, is_complete=is_complete, root=self._directory(tree), sources=[b"/"], owners=[],
            groups=[], file_count=0, byte_count=0, statistics={}, settings="", tags={},
        )  # fmt: skip
        if is_complete:
            self.trees[name] = (host, dict(tree))
        return name

    def drop(self, name: str) -> None:
        del self.snapshots[name]
        self.trees.pop(name, None)

    def load(self, node: bytes) -> bytes:
        self.loaded += 1
        if node in self.lost:
            raise ChunkLostError("lost")
        return self.nodes[node]

    def names(self) -> list[SnapshotName]:
        return [one for name in self.snapshots if (one := naming.parse_snapshot_name(name)) is not None]

    def held(self) -> int:
        """By hand."""
        largest: dict[tuple[str, bytes], int] = {}
        for host, tree in self.trees.values():
            for path, (size, group) in tree.items():
                key = (host, b"link" + group if group else path)
                largest[key] = max(largest.get(key, 0), size)
        return sum(largest.values())

    def counted(self, held: HeldSources) -> int:
        held.count_all(self.names(), self.snapshots.get, lambda: None)
        return held.sizes.total_bytes

    def fresh(self) -> HeldSources:
        return HeldSources(None, bytes(32), self.load)

    def _directory(self, tree: Mapping[bytes, File]) -> bytes:
        below: dict[bytes, Tree] = {}
        entries: dict[bytes, Entry] = {}
        for path, (size, group) in tree.items():
            name, _, rest = path.partition(b"/")
            if rest:
                below.setdefault(name, {})[rest] = (size, group)
            else:
                extra = Extra(hard_link=group) if group else None
                entries[name] = Entry(name, Kind.FILE, 0o644, 1, 1, size, size, None, extra)
        for name, part in below.items():
            entries[name] = Entry(name, Kind.DIRECTORY, 0o755, 1, 1, 0, 0, self._directory(part))
        builder = NodeBuilder(bytes(32), self._store)
        for name in sorted(entries):
            builder.add(name, encode(entries[name]))
        return builder.finish()

    def _store(self, data: bytes) -> bytes:
        name = hashlib.blake2b(data, digest_size=32).digest()
        self.nodes[name] = data
        return name


def test_the_largest_version_counts_and_the_others_are_free() -> None:
    """Else who keeps thirty versions of a letter pays for thirty letters."""
    shelf = Shelf()
    for size in (5, 9, 3):
        shelf.add({b"home/letter": (size, b"")})
    assert shelf.counted(shelf.fresh()) == 9


def test_what_is_deleted_at_the_source_still_counts() -> None:
    """It can be restored, so it takes room."""
    shelf = Shelf()
    shelf.add({b"home/a": (5, b""), b"home/b": (7, b"")})
    shelf.add({b"home/a": (5, b"")})
    assert shelf.counted(shelf.fresh()) == 12


def test_two_hosts_have_each_a_path_of_their_own() -> None:
    """Else /etc of the second machine is free."""
    shelf = Shelf()
    for host in ("laptop", "desk", "laptop"):
        shelf.add({b"etc/fstab": (5, b"")}, host)
    assert shelf.counted(shelf.fresh()) == 10


def test_names_of_one_inode_count_once() -> None:
    """Else a mail store of hard links takes the quota many times over."""
    shelf = Shelf()
    shelf.add({b"a": (5, b"g" * 16), b"b": (5, b"g" * 16), b"c": (5, b"")})
    assert shelf.counted(shelf.fresh()) == 10


def test_a_partial_snapshot_counts_for_nothing_and_is_looked_at_once() -> None:
    """It goes with the next complete one; and its object is not fetched with each run."""
    shelf = Shelf()
    shelf.add({b"a": (5, b"")})
    partial = shelf.add({b"b": (50, b"")}, is_complete=False)
    held = shelf.fresh()
    assert shelf.counted(held) == 5
    asked: list[str] = []
    held.count_all(shelf.names(), asked.append, lambda: None)
    assert asked == []
    shelf.drop(partial)
    assert not held.covers(shelf.names()), "it is forgotten"
    assert (shelf.counted(held), held.sizes.passed) == (5, set())
    assert held.covers(shelf.names())


def test_when_a_snapshot_is_gone_its_files_are_free() -> None:
    """Else nobody ever gets below a quota again."""
    shelf = Shelf()
    first = shelf.add({b"a": (5, b""), b"b": (70, b"")})
    shelf.add({b"a": (5, b"")})
    held = shelf.fresh()
    assert shelf.counted(held) == 75
    shelf.drop(first)
    assert shelf.counted(held) == 5


def test_unchanged_directories_are_not_loaded() -> None:
    """Else each run of a set of a million files reads all their names at the destination."""
    shelf = Shelf()
    tree: Tree = {b"%02d/%03d" % (one, two): (3, b"") for one in range(40) for two in range(50)}
    shelf.add(tree)
    held = shelf.fresh()
    shelf.counted(held)
    before, shelf.loaded = held.sizes.total_bytes, 0
    shelf.add({**tree, b"07/007": (8, b"")})
    assert shelf.counted(held) == before + 5
    assert shelf.loaded <= 8, "both tops, and both of one directory"
    shelf.loaded = 0
    assert shelf.counted(held) == before + 5
    assert shelf.loaded == 0


def test_a_directory_that_is_lost_in_an_older_snapshot_hides_nothing_of_a_newer_one() -> None:
    """Else damage makes the quota look free."""
    shelf = Shelf()
    shelf.add({b"d/a": (5, b"")})
    first = set(shelf.nodes)
    held = shelf.fresh()
    shelf.counted(held)
    shelf.add({b"d/a": (9, b"")})
    shelf.lost = first
    assert shelf.counted(held) == 9
    assert not held.sizes.partly


def test_what_is_lost_is_counted_as_soon_as_it_is_there_again() -> None:
    """Else one bad sector leaves the count wrong for ever, also once the block has been healed."""
    shelf = Shelf()
    shelf.add({b"a": (1, b"")})
    before = set(shelf.nodes)
    name = shelf.add({b"a": (2, b""), b"d/b": (7, b""), b"d/c/d": (4, b"")})
    top = shelf.snapshots[name].root
    shelf.lost = set(shelf.nodes) - before - {top}
    held = shelf.fresh()
    assert shelf.counted(held) == 2
    assert (len(held.sizes.counted), len(held.sizes.partly)) == (1, 1)
    shelf.lost = set()
    assert shelf.counted(held) == 13
    assert (len(held.sizes.counted), len(held.sizes.partly)) == (2, 0)


def test_a_snapshot_that_can_not_be_read_is_told_and_tried_again() -> None:
    """Else its files are free as soon as its object has a bad sector."""
    shelf = Shelf()
    name = shelf.add({b"a": (5, b"")})
    held = shelf.fresh()
    held.count_all(shelf.names(), lambda _: None, lambda: None)
    assert (held.unread, held.sizes.total_bytes) == (1, 0)
    assert shelf.counted(held) == 5
    assert held.sizes.counted == {name}


def test_who_wants_to_end_it_can() -> None:
    """Else `job cancel` waits for the count of a million files."""

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    shelf = Shelf()
    shelf.add({b"a": (5, b"")})
    with pytest.raises(Stop):
        shelf.fresh().count_all(shelf.names(), shelf.snapshots.get, stop)


_PATHS = [b"d%d/f%d" % (one, two) for one in range(2) for two in range(3)] + [b"d0/e/f", b"d0", b"w/007", b"w/140"]
_EDIT = st.tuples(
    st.sampled_from(_PATHS), st.one_of(st.none(), st.tuples(st.integers(0, 6), st.sampled_from([b"", b"", b"g" * 16])))
)
_STEP = st.one_of(
    st.tuples(st.sampled_from(["laptop", "desk"]), st.lists(_EDIT, max_size=4)),
    st.sampled_from(["keep", "count"]),
    st.integers(0, 5),
)


@settings(max_examples=40)
@given(steps=st.lists(_STEP, max_size=12))
def test_any_history_is_counted_as_by_hand(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[str, list[tuple[bytes, File | None]]] | str | int]
) -> None:
    """Runs of two hosts, snapshots that go, counts kept on the disk between: always what all kept trees hold."""
    path = Path(tmp_path_factory.getbasetemp()) / "largest"
    shelf = Shelf()
    held = shelf.fresh()
    now: dict[str, Tree] = {"laptop": dict(_WIDE), "desk": {}}
    for step in steps:
        if isinstance(step, tuple):
            host, edits = step
            for name, file in edits:
                _edit(now[host], name, file)
            shelf.add(now[host], host, set_id=_SET if host == "laptop" else bytes(16))
        elif isinstance(step, int):
            if shelf.snapshots:
                shelf.drop(sorted(shelf.snapshots)[step % len(shelf.snapshots)])
        elif step == "count":
            assert shelf.counted(held) == shelf.held()
        else:
            shelf.counted(held)
            held.sizes.save(str(path))
            held = HeldSources(load(str(path)), bytes(32), shelf.load)
    assert shelf.counted(held) == shelf.held() == shelf.counted(shelf.fresh())


def _edit(tree: Tree, name: bytes, file: File | None) -> None:
    """A file in place of a directory takes what is below it away, and the other way round."""
    for other in [other for other in tree if other.startswith(name + b"/") or name.startswith(other + b"/")]:
        del tree[other]
    if file is None:
        tree.pop(name, None)
    else:
        tree[name] = file
