"""`info`: what a helper asks for first; wrong figures send the search astray."""

from __future__ import annotations

from pathlib import Path

from backupd import __version__
from backupd.model.orders import InfoOrder, Unlock
from tests.support.machine import Machine
from tests.support.small_repository import Node, SmallRepository, directory


def test_info_of_the_machine_needs_no_place(tmp_path: Path) -> None:
    found = Machine(tmp_path / "home").run(InfoOrder(place="")).result
    assert found["version"] == __version__
    assert found["processors"] >= 1
    assert found["memory"]["total_bytes"] > 1 << 20
    assert found["libraries"]["blake3"]
    assert found["directories"]["state"].startswith(str(tmp_path))
    assert "repository" not in found


def test_info_of_a_repository_counts_what_is_there(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    small.add(directory(a=Node(b"12345")), day=1)
    small.add(directory(a=Node(b"12345"), b=Node(b"6")), day=2, is_complete=False)
    machine = Machine(tmp_path / "home")
    found = machine.run(InfoOrder(place=str(small.place), unlock=Unlock(secret=small.secret))).result["repository"]
    blocks = [path for path in small.place.rglob("blocks/*/*") if path.is_file()]
    indexes = list(small.place.rglob("index/*"))
    assert (found["id"], found["cipher"]) == (small.repository.text_id, "aes-256-gcm")
    assert (found["snapshots"], found["incomplete_snapshots"]) == (1, 1)
    assert (found["blocks"], found["stored_bytes"]) == (len(blocks), sum(path.stat().st_size for path in blocks))
    assert (found["index_objects"], found["index_bytes"]) == (2, sum(path.stat().st_size for path in indexes))
    assert found["epochs"] == [1]
