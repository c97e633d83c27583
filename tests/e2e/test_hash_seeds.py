"""What no one process shows: that the order of hashing, which each draws anew, is in nothing that is stored."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.orders import SnapshotListOrder
from backupd.operations.context import JobContext
from backupd.operations.places import load_place_index, open_place, open_reader
from backupd.operations.snapshot_listing import list_snapshots
from backupd.settings import directories
from backupd.tree.nodes import find_entry
from tests.support.machine import Machine
from tests.support.seeded_tree import build_tree

_SIZE_BYTES = 3 << 20
_OF_DIRECTORIES_ABOVE_BYTES = 16 << 10
"""Others change their times meanwhile."""


def test_the_same_tree_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Else each run stores again what is there; and an end that hangs, crashes or complains is seen by every user."""
    machine, place, source = Machine(tmp_path / "home"), tmp_path / "place", tmp_path / "source"
    build_tree(source, Random(7), _SIZE_BYTES)
    for number in range(700):
        (source / f"of {number * 7919 % 1000} others").write_bytes(b"%d" % (number % 50))
    for name in ("b", "a", "c") if hasattr(os, "setxattr") else ():
        os.setxattr(source / "of 0 others", f"user.{name}", name.encode())
    words = ("once", source, "--to", place, "--name", "docs", "--jobs", "2", "--json")
    new = []
    for seed in ("1", "2"):
        # The second one reads all, and has nothing of the first to take over.
        shutil.rmtree(machine.home / "cache", ignore_errors=True)
        done = machine.bkctl(*words, variables={"PYTHONHASHSEED": seed})
        assert (done.returncode, done.stderr) == (0, b"")
        new.append(json.loads(done.stdout)["result"]["runs"][0]["bytes"]["new"])
    assert new[0] > _SIZE_BYTES
    assert new[1] < _OF_DIRECTORIES_ABOVE_BYTES
    first, second = _subtrees(machine, place, source)
    assert first == second


def _subtrees(machine: Machine, place: Path, source: Path) -> list[object]:
    """The content of the source's directory in each snapshot: the id of its top node."""
    found = directories.find(machine.environ)
    order = SnapshotListOrder(place=str(place))
    context = JobContext(order, SystemClock(), Cancel(), machine.environ, found, lambda _: None)
    opened = open_place(context)
    index = load_place_index(opened)
    load = open_reader(opened, index).load
    contents: list[object] = []
    try:
        for at in list_snapshots(opened).found:
            node: object = at.snapshot.root
            for part in bytes(source).split(b"/")[1:]:
                assert isinstance(node, bytes)
                entry = find_entry(node, part, load)
                assert entry is not None
                node = entry.content
            contents.append(node)
    finally:
        index.tables.close()
    return contents
