"""Sets of other machines that a daemon knows by their text: only what is named outright is looked at, nothing deleted."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    """With a set of its own and one of `omega`, on one disk; what omega stored there stands under a key of its own."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "letter").write_text("of both")
    with running_daemon(tmp_path / "omega") as omega:
        omega.good("set", "create", "home", "--source", source, "--to", tmp_path / "disk")
        omega.good("backup", "home")
        text = omega.bkctl("set", "export", "home").stdout
    with running_daemon(tmp_path / "home") as started:
        started.good("set", "apply", "-f", "-", stdin=text + b"  owner: omega\n")
        started.good("set", "create", "own", "--source", source, "--to", "disk")
        started.good("backup", "--all")
        yield started


def test_upkeep_of_a_destination_is_of_what_was_stored_from_here(daemon: Daemon) -> None:
    """What a machine takes over has stored nothing from here before its first run."""
    for owner in ("omega", socket.gethostname().partition(".")[0]):
        daemon.good("set", "edit", "home", "--owner", owner, "--yes")
        for verb in ("check", "free"):
            before = {one["id"] for one in daemon.good("job", "list")["jobs"]}
            daemon.good(verb, "--from", "disk")
            assert [one["set"] for one in daemon.good("job", "list")["jobs"] if one["id"] not in before] == ["own"]
