"""A store that somebody added as a package of their own: all commands work with it as with a directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.faulty_store import Fault, FaultyPlace
from tests.support.machine import Machine


@pytest.fixture
def memory() -> Generator[FaultyPlace, None, None]:
    """A store in memory, which is well."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:  # noqa: S108
        yield FaultyPlace(Path(name))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some files."""
    found = tmp_path / "source"
    (found / "folder").mkdir(parents=True)
    for number in range(8):
        (found / "folder" / f"file{number}").write_bytes(os.urandom(50_000 * number))
    return found


def test_once_and_back_on_another_machine_with_the_key_alone(
    memory: FaultyPlace, source: Path, tmp_path: Path
) -> None:
    """As a CI job does: nothing set up, and the machine is gone afterwards."""
    first, second = Machine(tmp_path / "first"), Machine(tmp_path / "second")
    made = first.json("once", source, "--to", memory.address, "--name", "docs")
    assert made["exit"] == 0, made
    assert first.json("once", source, "--to", memory.address, "--name", "docs")["exit"] == 0
    (key,) = first.keys.glob("*.key")
    refused = second.json("restore", "docs", "--from", memory.address, "--to", tmp_path / "out")
    assert (refused["exit"], refused["error"]["code"]) == (12, "key.missing")
    with_key = ("--from", memory.address, "--password-file", key)
    assert len(second.json("snapshot", "list", *with_key)["result"]["snapshots"]) == 2
    restored = second.json("restore", "docs", *with_key, "--to", tmp_path / "out")
    assert restored["exit"] == 0, restored
    assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
    versions = ("snapshot", "versions", str(source / "folder/file3"))
    for words in (("check", "--crc"), ("info",), ("key", "list"), versions):
        document = second.json(*words, *with_key)
        assert document["exit"] == 0, document


def test_a_destination_of_the_daemon(memory: FaultyPlace, source: Path, tmp_path: Path) -> None:
    """A store elsewhere is a destination like any other."""
    with running_daemon(tmp_path / "home") as daemon:
        daemon.good("destination", "add", "memory", memory.address, "--retry-for", "10s")
        daemon.good("set", "create", "docs", "--source", source, "--to", "memory", "--jobs", "1")
        daemon.good("backup", "docs")
        daemon.good("restore", "docs", "--to", tmp_path / "out")
        assert compare_trees(source, tmp_path / "out" / str(source)[1:]) == []
        assert daemon.json("check", "docs")["exit"] == 0
        assert len(daemon.good("snapshot", "list", "--from", memory.address)["snapshots"]) == 1
        tested = daemon.good("destination", "test", "memory")
        assert (tested["usable"], tested["create_if_absent"]) == (True, True)
        assert "memory" in str(daemon.json("doctor")["result"])
        shown = daemon.good("destination", "show", "memory")["destination"]
        assert (shown["place"], shown["retry_for"]) == (memory.address, "10s")
        _state_lost(daemon)
        assert daemon.good("status")["sets"] == []


def _state_lost(daemon: Daemon) -> None:
    daemon.stop()
    shutil.rmtree(daemon.state)
    daemon.start()


def test_a_store_that_fails_for_a_moment_fails_no_run(memory: FaultyPlace, source: Path, tmp_path: Path) -> None:
    """Else each hiccup of a line costs a night's backup."""
    memory.set_faults(Fault("error", "put", "blocks/", times=2), Fault("lost_ack", "put", "snapshots/"))
    machine = Machine(tmp_path / "home")
    assert machine.json("once", source, "--to", memory.address)["exit"] == 0
    assert memory.struck() == 3
    memory.set_faults(Fault("error", "put", "blocks/", times=10_000))
    (source / "new").write_bytes(os.urandom(300_000))
    failed = machine.json("once", source, "--to", memory.address, "--retry-for", "1s")
    assert (failed["exit"], failed["error"]["code"]) == (15, "destination.failed")


def test_what_can_not_be_a_place_is_said_so(tmp_path: Path) -> None:
    """A typo must not become a directory, a password not a line in `ps` and logs."""
    machine = Machine(tmp_path / "home")
    for place, word in (
        ("nosuch://host/path", "no store that is known here"),
        ("s3://me:secret@bucket/x", "holds a password"),
        ("sftp:///path", "names no host"),
        ("faulty://memory/x?colour=red", "has no option 'colour'"),
        ("faulty://memory:port/x", "port"),
    ):
        document = machine.json("once", tmp_path, "--to", place)
        assert document["exit"] == 2, document
        assert word in document["error"]["message"].lower(), document
        assert "secret" not in str(document["error"]["message"])
    with running_daemon(tmp_path / "daemon") as daemon:
        document = daemon.json("destination", "add", "x", "nosuch://host/path")
        assert document["exit"] == 2, document
        assert daemon.good("destination", "list")["destinations"] == []
