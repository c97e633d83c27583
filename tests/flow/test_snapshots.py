"""Looking into snapshots: what a listing leaves out or gets wrong, a user does not find when it is needed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from backupd.block.layout import BLOCK_HEADER_BYTES, FRAME_HEADER_BYTES, TREE
from backupd.errors import ChunkLostError, PathNotFoundError, SetNotFoundError, UsageError
from backupd.model.orders import (
    Order,
    Selection,
    SnapshotCatOrder,
    SnapshotDiffOrder,
    SnapshotListOrder,
    SnapshotLsOrder,
    SnapshotShowOrder,
    SnapshotVersionsOrder,
    Unlock,
)
from backupd.seal.slot import secret_to_text
from backupd.snapshot.naming import snapshot_id_text
from tests.support.machine import Machine, Outcome
from tests.support.small_repository import SECOND, START_NS, Node, SmallRepository, directory

BIG = random.Random(7).randbytes(300_500)


def tree(**letters: Node) -> Node:
    """`/home/anna` with these entries."""
    return directory(home=directory(anna=directory(**letters)))


class Shelf:
    """A place and a machine that looks at it."""

    def __init__(self, tmp_path: Path) -> None:
        self.repository = SmallRepository(tmp_path / "place")
        self.machine = Machine(tmp_path / "home")
        self.unlock = Unlock(secret=secret_to_text(self.repository.secret).encode())

    def run(self, order_type: type[Order], *, as_of: str = "latest", **fields: object) -> Outcome:
        """Give an order; set_name, host_name and paths go to the selection where it has one."""
        if "selection" in order_type.__struct_fields__:
            chosen = {name: fields.pop(name) for name in ("set_name", "host_name", "paths") if name in fields}
            fields["selection"] = Selection(as_of=as_of, **chosen)  # type: ignore[arg-type]
        return self.machine.run(order_type(place=str(self.repository.place), unlock=self.unlock, **fields))  # type: ignore[arg-type]

    def blocks(self) -> list[Path]:
        """All block objects."""
        return sorted(path for path in self.repository.place.rglob("blocks/*/*") if path.is_file())


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_list_has_every_snapshot_oldest_first_and_partial_ones_on_request(shelf: Shelf) -> None:
    newer = shelf.repository.add(tree(a=Node(b"1")), day=2)
    older = shelf.repository.add(tree(a=Node(b"1")), day=1)
    partial = shelf.repository.add(tree(a=Node(b"1")), day=3, is_complete=False)
    found = shelf.run(SnapshotListOrder).result["snapshots"]
    assert [one["id"] for one in found] == [snapshot_id_text(older.id), snapshot_id_text(newer.id)]
    assert found[0]["files"] == 1
    assert found[0]["bytes"] == 1
    assert found[0]["stored_bytes"] > 0
    assert found[0]["tags"] == {"why": "test"}
    assert found[0]["time"].endswith("+00:00")
    everything = shelf.run(SnapshotListOrder, incomplete=True).result["snapshots"]
    assert [(one["short"], one["incomplete"]) for one in everything][-1] == (snapshot_id_text(partial.id)[:9], True)


def test_a_list_of_one_set_or_host_shows_no_other(shelf: Shelf) -> None:
    shelf.repository.add(tree(), set_name="documents", host="laptop")
    shelf.repository.add(tree(), set_name="etc", host="web")
    assert [one["set"] for one in shelf.run(SnapshotListOrder, set_name="etc").result["snapshots"]] == ["etc"]
    assert [one["set"] for one in shelf.run(SnapshotListOrder, host_name="laptop").result["snapshots"]] == ["documents"]
    with pytest.raises(SetNotFoundError):
        shelf.run(SnapshotListOrder, set_name="absent")


def test_a_damaged_snapshot_is_told_and_hides_no_other(shelf: Shelf) -> None:
    shelf.repository.add(tree(), day=1)
    shelf.repository.add(tree(), day=2)
    victim = sorted(shelf.repository.place.rglob("snapshots/*/*"))[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    done = shelf.run(SnapshotListOrder).done
    assert done.exit_code == 20
    assert done.error is not None
    assert len(done.result["snapshots"]) == 1
    assert any(victim.name in warning for warning in done.warnings)


def test_show_finds_a_snapshot_by_an_id_in_the_place_of_a_set(shelf: Shelf) -> None:
    """`bkctl snapshot show s4f1c`: only the repository knows that this is no set."""
    first = shelf.repository.add(tree(), day=1)
    shelf.repository.add(tree(), day=2)
    shown = shelf.run(SnapshotShowOrder, set_name=snapshot_id_text(first.id)[:12]).result
    assert shown["id"] == snapshot_id_text(first.id)
    assert shown["settings"] == "made by a test"
    assert shown["seconds"] == 7
    assert shown["sources"] == ["/home/anna"]


def test_ls_shows_entries_with_names_of_owners_and_any_bytes_in_names(shelf: Shelf) -> None:
    below = directory(deep=Node(b"x"))
    home = Node(below={b"caf\xe9": Node(b"latin"), b"link": Node(target=b"a\xffb"), b"dir": below}, mode=0o700)
    shelf.repository.add(directory(home=Node(below={b"anna": home}, mode=0o755)))
    items = shelf.run(SnapshotLsOrder).items
    assert [item["path"] for item in items] == ["/home/anna/caf\\xe9", "/home/anna/dir", "/home/anna/link"]
    assert items[0]["path_b64"] == "L2hvbWUvYW5uYS9jYWbp"
    assert (items[0]["owner"], items[0]["group"], items[0]["mode"]) == ("anna", "people", 0o644)
    assert [item["kind"] for item in items] == ["file", "directory", "symlink"]
    assert (items[2]["target"], items[2]["target_b64"]) == ("a\\xffb", "Yf9i")
    recursive = shelf.run(SnapshotLsOrder, recursive=True).items
    assert "/home/anna/dir/deep" in [item["path"] for item in recursive]
    single = shelf.run(SnapshotLsOrder, paths=[b"/home/anna/dir/deep"]).items
    assert [item["size"] for item in single] == [1]
    with pytest.raises(PathNotFoundError):
        shelf.run(SnapshotLsOrder, paths=[b"/home/anna/link/x"])


def test_ls_goes_deeper_than_the_stack(shelf: Shelf) -> None:
    node = Node(b"bottom")
    for _ in range(300):
        node = directory(d=node)
    shelf.repository.add(node, sources=(b"/d",))
    items = shelf.run(SnapshotLsOrder, recursive=True, paths=[b"/"]).items
    assert items[-1]["path"] == "/d" * 300


def test_ls_of_a_large_directory_has_every_name_once(shelf: Shelf) -> None:
    many = Node(below={b"%05d" % number: Node(b"") for number in range(5000)}, mode=0o755)
    shelf.repository.add(directory(many=many), sources=(b"/many",))
    items = shelf.run(SnapshotLsOrder).items
    assert [item["path"] for item in items] == [f"/many/{number:05}" for number in range(5000)]


def test_cat_gives_the_bytes_of_inline_listed_and_sparse_files(shelf: Shelf) -> None:
    parts = random.Random(5).randbytes(1500)
    sparse = Node(parts, extents=[(4096, 1000), (3_000_000, 500)], size=4_000_000)
    hole = Node(b"", extents=[(0, 0)], size=2_500_000)
    shelf.repository.add(tree(big=Node(BIG), sparse=sparse, hole=hole, empty=Node(b""), one=Node(b"1")))
    expected = bytearray(4_000_000)
    expected[4096:5096] = parts[:1000]
    expected[3_000_000:3_000_500] = parts[1000:]
    assert shelf.run(SnapshotCatOrder, paths=[b"/home/anna/big"]).data == BIG
    assert shelf.run(SnapshotCatOrder, paths=[b"/home/anna/sparse"]).data == bytes(expected)
    assert shelf.run(SnapshotCatOrder, paths=[b"/home/anna/hole"]).data == bytes(2_500_000)
    assert shelf.run(SnapshotCatOrder, paths=[b"/home/anna/empty"]).data == b""
    assert shelf.run(SnapshotCatOrder, paths=[b"/home/anna/one"]).data == b"1"


def test_cat_of_what_is_no_file_says_what_it_is(shelf: Shelf) -> None:
    shelf.repository.add(tree(link=Node(target=b"big")))
    with pytest.raises(UsageError, match="symlink to big"):
        shelf.run(SnapshotCatOrder, paths=[b"/home/anna/link"])
    with pytest.raises(UsageError, match="directory"):
        shelf.run(SnapshotCatOrder, paths=[b"/home/anna"])
    with pytest.raises(PathNotFoundError):
        shelf.run(SnapshotCatOrder, paths=[b"/home/anna/absent"])


def test_cat_never_gives_damaged_bytes_for_good_ones(shelf: Shelf) -> None:
    shelf.repository.add(tree(big=Node(BIG)))
    largest = max(shelf.blocks(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(ChunkLostError):
        shelf.run(SnapshotCatOrder, paths=[b"/home/anna/big"])


def changes(outcome: Outcome) -> dict[str, str]:
    """Kind of change by path."""
    return {item["path"].removeprefix("/home/anna/"): item["change"] for item in outcome.items}


def test_diff_tells_added_removed_changed_and_metadata_apart(shelf: Shelf) -> None:
    same = {b"f%d" % number: Node(b"same") for number in range(50)}
    older = shelf.repository.add(
        tree(
            gone=directory(inside=Node(b"1")),
            text=Node(b"before"),
            moded=Node(b"1", mode=0o600),
            touched=Node(b"1"),
            turned=Node(b"file"),
            same=Node(below=same, mode=0o755),
            grown=Node(BIG),
        ),
        day=1,
    )
    shelf.repository.add(
        tree(
            new=directory(inside=Node(b"2")),
            text=Node(b"after!"),
            moded=Node(b"1", mode=0o644),
            touched=Node(b"1", mtime_ns=START_NS + SECOND),
            turned=directory(inside=Node(b"3")),
            same=Node(below=same, mode=0o755),
            grown=Node(BIG + b"more"),
        ),
        day=2,
    )
    outcome = shelf.run(SnapshotDiffOrder, as_of=snapshot_id_text(older.id))
    assert changes(outcome) == {
        "gone": "removed",
        "gone/inside": "removed",
        "grown": "changed",
        "moded": "metadata",
        "new": "added",
        "new/inside": "added",
        "text": "changed",
        "touched": "metadata",
        "turned": "changed",
        "turned/inside": "added",
    }
    assert outcome.result["counts"] == {"added": 3, "removed": 2, "changed": 3, "metadata": 2}
    of_text = next(item for item in outcome.items if item["path"].endswith("/text"))
    assert (of_text["size_before"], of_text["size_after"]) == (6, 6)
    assert not shelf.run(SnapshotDiffOrder, as_of="latest").items


def test_diff_can_be_limited_to_paths(shelf: Shelf) -> None:
    first = shelf.repository.add(tree(a=directory(x=Node(b"1")), b=Node(b"1")), day=1)
    shelf.repository.add(tree(a=directory(x=Node(b"2")), b=Node(b"2")), day=2)
    outcome = shelf.run(SnapshotDiffOrder, as_of=snapshot_id_text(first.id), paths=[b"/home/anna/a"])
    assert changes(outcome) == {"a/x": "changed"}
    with pytest.raises(PathNotFoundError):
        shelf.run(SnapshotDiffOrder, as_of=snapshot_id_text(first.id), paths=[b"/nowhere"])


def test_diff_does_not_need_blocks_of_what_is_equal(shelf: Shelf) -> None:
    """Equal subtrees cost nothing: here they could not even be read."""
    many = Node(below={b"%04d" % number: Node(b"") for number in range(3000)}, mode=0o755)
    first = shelf.repository.add(directory(equal=many, other=Node(b"1")), day=1, sources=(b"/",))
    unreachable = set(shelf.blocks())
    shelf.repository.add(directory(equal=many, other=Node(b"2")), day=2, sources=(b"/",))
    sizes = {path: path.stat().st_size for path in shelf.blocks()}
    assert unreachable < set(sizes)
    outcome = shelf.run(SnapshotDiffOrder, as_of=snapshot_id_text(first.id))
    assert [item["path"] for item in outcome.items] == ["/other"]


def test_diff_of_a_damaged_directory_goes_on_with_the_others_and_ends_in_20(shelf: Shelf) -> None:
    first = shelf.repository.add(tree(a=directory(x=Node(b"1"))), day=1)
    shelf.repository.add(tree(a=directory(x=Node(b"2")), z=Node(b"new")), day=2)
    trees = [path for path in shelf.blocks() if path.read_bytes()[77] == TREE]
    victim = min(trees, key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(victim.read_bytes())
    # The first segment of the first snapshot's tree block is its innermost directory, /home/anna/a.
    data[BLOCK_HEADER_BYTES + FRAME_HEADER_BYTES + 5] ^= 1
    victim.write_bytes(data)
    outcome = shelf.run(SnapshotDiffOrder, as_of=snapshot_id_text(first.id))
    assert outcome.done.exit_code == 20
    assert "z" in changes(outcome)


def test_versions_are_numbered_from_1_and_unchanged_runs_make_none(shelf: Shelf) -> None:
    times = [START_NS + day * SECOND for day in range(5)]
    states = [b"one", b"one", b"two", None, b"two", b"three"]
    stamps = [times[0], times[0], times[1], 0, times[1], times[2]]
    for day, (state, stamp) in enumerate(zip(states, stamps, strict=True)):
        letters = {} if state is None else {"letter": Node(state, mtime_ns=stamp, mode=0o600 + day)}
        shelf.repository.add(tree(other=Node(b"%d" % day), **letters), day=day)
    found = shelf.run(SnapshotVersionsOrder, paths=[b"/home/anna/letter"]).result["versions"]
    assert [(one["number"], one["size"]) for one in found] == [(1, 3), (2, 3), (3, 5)]
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    assert found[1]["snapshot"].startswith(found[1]["short"])


def test_versions_of_a_directory_are_those_of_the_files_in_it(shelf: Shelf) -> None:
    shelf.repository.add(tree(a=Node(b"1"), b=Node(b"1")), day=1)
    shelf.repository.add(tree(a=Node(b"12"), b=Node(b"1")), day=2)
    found = shelf.run(SnapshotVersionsOrder, paths=[b"/home/anna"]).result["versions"]
    assert [(one["path"], one["number"]) for one in found] == [
        ("/home/anna/a", 1),
        ("/home/anna/a", 2),
        ("/home/anna/b", 1),
    ]
    with pytest.raises(PathNotFoundError):
        shelf.run(SnapshotVersionsOrder, paths=[b"/home/anna/never"])


def test_reading_leaves_the_place_as_it_was(shelf: Shelf) -> None:
    shelf.repository.add(tree(a=Node(b"1")))

    def listing() -> set[str]:
        return {os.path.join(path, name) for path, _, names in os.walk(shelf.repository.place) for name in names}

    before = listing()
    shelf.run(SnapshotLsOrder, recursive=True)
    shelf.run(SnapshotVersionsOrder, paths=[b"/home/anna/a"])
    assert listing() == before
