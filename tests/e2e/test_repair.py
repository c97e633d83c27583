"""`bkctl check --repair` as a user meets it: through a daemon with two destinations, and without one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.support import damaging
from tests.support.compare import compare_trees
from tests.support.daemon import running_daemon
from tests.support.machine import Machine


def test_a_destination_is_healed_from_the_sets_other_one(tmp_path: Path) -> None:
    """Else who keeps two copies still has to find out by hand which files of which disk are good."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5):
        (source / f"file {number}").write_bytes(os.urandom(40_000))
    with running_daemon(tmp_path / "home") as daemon:
        for name in ("one", "two"):
            daemon.good("destination", "add", name, tmp_path / name)
        daemon.good("set", "create", "docs", "--source", source, "--to", "one", "--to", "two", "--jobs", "1")
        daemon.good("backup", "docs")
        for path in (tmp_path / "one").glob("r*/blocks/*/*"):
            damaging.flip(0.5)(path)
        assert daemon.json("check", "docs", "--from", "one", "--crc")["exit"] == 20
        stranger = daemon.json("check", "docs", "--from", "one", "--repair", "--with", tmp_path / "two")
        assert (stranger["exit"], stranger["error"]["code"]) == (2, "usage.invalid")
        said = daemon.bkctl("check", "docs", "--from", "one", "--crc", "--repair").stdout.decode()
        assert "chunks from two" in said
        assert "no problems" in said
        assert daemon.good("check", "docs", "--from", "one", "--crc")["problems"] == []
        daemon.good("free", "docs")
        assert daemon.good("check", "docs", "--crc", "--repair")["problems"] == []
        shutil.rmtree(tmp_path / "two")
        daemon.good("restore", "docs", "--from", "one", "--to", tmp_path / "out")
        assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []


def test_without_a_daemon_the_other_place_is_named(tmp_path: Path) -> None:
    """A copy on a disk in the drawer is of no use to who can't name it."""
    machine = Machine(tmp_path / "home")
    source, place, copy = (tmp_path / name for name in ("source", "place", "copy"))
    source.mkdir()
    (source / "file").write_bytes(os.urandom(90_000))
    assert machine.json("once", source, "--to", place, "--no-daemon")["exit"] == 0
    shutil.copytree(place, copy)
    for path in place.glob("r*/blocks/*/*"):
        path.unlink()
    shutil.rmtree(source)
    words = ("check", "--from", place, "--no-daemon")
    assert machine.json(*words, "--repair")["exit"] == 20
    document = machine.json(*words, "--repair", "--with", copy)
    assert document["exit"] == 0, document
    assert document["result"]["healed"]["files"] == 1
    assert [one["place"] for one in document["result"]["healed"]["sources"]] == [str(copy)]
    assert machine.json(*words, "--crc")["exit"] == 0
