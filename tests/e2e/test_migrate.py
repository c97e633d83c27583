"""`backup --migrate` and the set's switch: told before, done at each destination, never at a backup's cost."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("migrate")) as started:
        yield started


def _make(daemon: Daemon, path: Path, name: str) -> tuple[Path, Path]:
    """A set of two destinations that was run once, and those."""
    source, usb, nas = path / "source", path / f"{name}-usb", path / f"{name}-nas"
    source.mkdir()
    (source / "random").write_bytes(Random(3).randbytes(300_000))
    (source / "text").write_text("\n".join(f"line {number}" for number in range(20_000)))
    words = ("--source", source, "--to", usb, "--to", nas, "--compression", "none")
    daemon.good("set", "create", name, *words)
    daemon.good("backup", name)
    return usb, nas


def _migrations(document: dict[str, Any]) -> list[dict[str, Any]]:
    (run,) = document["runs"]
    return [one["migration"] for one in run["destinations"]]


def test_a_set_says_once_that_its_runs_migrate(daemon: Daemon, tmp_path: Path) -> None:
    usb, _ = _make(daemon, tmp_path, "always")
    shown = daemon.good("set", "edit", "always", "--migrate", "--compression", "best", "--chunk-size", "32K")
    assert shown["set"]["migrate"] is True
    refused = daemon.json("set", "edit", "always", "--deduplication", "off")
    assert (refused["exit"], refused["error"]["context"]["at"]) == (2, ["migrate"])
    daemon.good("key", "rotate", "always")
    before = sorted(usb.glob("r*/**/*"))
    said = daemon.good("backup", "always", "--dry-run")
    assert sorted(usb.glob("r*/**/*")) == before
    assert said["runs"][0]["migrate"]["files"] == 2
    for planned in _migrations(said):
        assert planned["planned"]["blocks"] == planned["left"]["blocks"] == 2
        # The keys were rotated at the first; the other one hears of it with the next snapshot.
        assert planned["planned"]["reasons"].keys() >= {"compression"}
    done = daemon.good("backup", "always")
    assert done["runs"][0]["migrate"] == said["runs"][0]["migrate"]
    (old,) = {one["old"] for found in _migrations(done) for one in found["history"]["rewritten"]}
    for planned, migrated in zip(_migrations(said), _migrations(done), strict=True):
        assert planned["history"]["planned"] == migrated["history"]["planned"]
        assert (len(migrated["history"]["rewritten"]), migrated["history"]["left"]) == (1, [])
    (new,) = {one["new"] for found in _migrations(done) for one in found["history"]["rewritten"]}
    missing = daemon.json("snapshot", "ls", "always", old)
    assert (missing["exit"], new[:9] in missing["error"]["message"]) == (10, True)
    assert daemon.good("snapshot", "show", "always", new)["rewritten"]["from"] == old
    for planned, migrated in zip(_migrations(said), _migrations(done), strict=True):
        assert migrated["planned"]["reasons"].keys() == {"compression", "epoch"}
        assert migrated["migrated"] == {name: planned["planned"][name] for name in ("blocks", "bytes")}
        assert (migrated["left"]["blocks"], migrated["error"]) == (0, None)
    words = daemon.bkctl("backup", "always").stdout.decode()
    assert words.count("all is stored as the set wants it") == 2
    for freed in daemon.good("free", "always")["freeings"]:
        # The old ones, and their copies: nothing needs these since the older snapshot is cut anew.
        assert freed["deleted"]["blocks"] == 4


@pytest.mark.nightly
def test_damage_is_told_and_the_backup_stands(daemon: Daemon, tmp_path: Path) -> None:
    """Else damaged data is carried along as if it were whole, or keeps all the rest from being sealed anew."""
    usb, _ = _make(daemon, tmp_path, "hit")
    largest = max(usb.glob("r*/blocks/*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[400_000] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(data)
    document = daemon.json("backup", "hit", "--migrate", "--dry-run")
    assert document["exit"] == 0
    daemon.good("set", "edit", "hit", "--compression", "best")
    document = daemon.json("backup", "hit", "--migrate")
    run = document["result"]["runs"][0]
    assert run["snapshot"]
    at_usb, at_nas = run["destinations"]
    assert (document["exit"], at_usb["verdict"], at_nas["verdict"]) == (4, "good", "good"), document
    assert at_usb["migration"]["error"]["code"] == "damage.found"
    assert (at_usb["migration"]["left"]["blocks"], at_usb["migration"]["migrated"]["blocks"]) == (1, 1)
    assert (at_nas["migration"]["left"]["blocks"], at_nas["migration"]["migrated"]["blocks"]) == (0, 2)
    daemon.good("check", "hit", "--from", usb, "--repair")
    assert _migrations(daemon.good("backup", "hit", "--migrate", "--to", usb))[0]["left"]["blocks"] == 0


def test_parity_is_added_to_what_is_stored(daemon: Daemon, tmp_path: Path) -> None:
    """Else who asks for parity after the first backup has it for new data alone, or loses it to the next freeing."""
    source, usb = tmp_path / "source", tmp_path / "parity-usb"
    source.mkdir()
    (source / "a").write_bytes(Random(5).randbytes(600_000))
    daemon.good("set", "create", "parity", "--source", source, "--to", usb)
    daemon.good("backup", "parity")
    daemon.good("set", "edit", "parity", "--parity", "5%")
    (at_usb,) = _migrations(daemon.good("backup", "parity", "--migrate"))
    assert at_usb["planned"]["reasons"].keys() == {"parity"}
    assert (at_usb["left"]["blocks"], at_usb["error"]) == (0, None)
    daemon.good("free", "parity")
    (source / "b").write_bytes(Random(6).randbytes(100_000))
    daemon.good("backup", "parity")
    # Nothing is taken for dead in blocks that have parity.
    assert daemon.good("free", "parity")["rewritten"]["blocks"] == 0
    assert _migrations(daemon.good("backup", "parity", "--migrate"))[0]["planned"]["blocks"] == 0
    for block in usb.glob("r*/blocks/*/*"):
        data = bytearray(block.read_bytes())
        data[len(data) // 3] ^= 1
        block.chmod(0o600)
        block.write_bytes(data)
    daemon.good("restore", "parity", "--to", tmp_path / "back")
    healed = daemon.good("check", "parity", "--crc", "--repair")
    assert healed["problems"] == []
