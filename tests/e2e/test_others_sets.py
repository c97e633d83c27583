"""Sets of other machines that a daemon knows by their text: what is named outright is looked at, nothing deleted."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Generator

import pytest

from tests.support.daemon import Daemon, running_daemon

pytestmark = [pytest.mark.root, pytest.mark.platform("linux")]

HERE = socket.gethostname().partition(".")[0]


@pytest.fixture(scope="module", name="daemon")
def _daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """With a set of its own and one of `omega`, on one disk, and the keys of both."""
    tmp_path = tmp_path_factory.mktemp("others")
    source = tmp_path / "source"
    source.mkdir()
    (source / "letter").write_text("of both")
    omega = Daemon(tmp_path / "omega")
    omega.prefix = ["unshare", "--uts", "sh", "-c", 'hostname omega && exec "$@"', "sh"]
    omega.start()
    try:
        omega.good("set", "create", "home", "--source", source, "--to", tmp_path / "disk")
        omega.good("backup", "home")
        text = omega.bkctl("set", "export", "home").stdout
    finally:
        omega.stop()
    shutil.copytree(omega.state / "keys", tmp_path / "home" / "state" / "keys")
    with running_daemon(tmp_path / "home") as started:
        started.good("set", "apply", "-f", "-", stdin=text + b"  owner: omega\n")
        started.good("set", "create", "own", "--source", source, "--to", "disk")
        started.good("backup", "--all")
        yield started


def test_upkeep_of_a_destination_is_of_what_was_stored_from_here(daemon: Daemon) -> None:
    """What a machine takes over has stored nothing from here before its first run."""
    for owner in ("omega", HERE):
        daemon.good("set", "edit", "home", "--owner", owner, "--yes")
        for verb in ("check", "free"):
            before = {one["id"] for one in daemon.good("job", "list")["jobs"]}
            daemon.good(verb, "--from", "disk")
            assert [one["set"] for one in daemon.good("job", "list")["jobs"] if one["id"] not in before] == ["own"]


def test_what_a_machine_stored_of_a_set_is_purged_by_its_owner_alone(daemon: Daemon) -> None:
    """Its own history of before, too: what the owner stores builds on it."""

    def refused(word: str) -> bool:
        said = daemon.json("purge", word, "--from", "disk", "--confirm", word)
        return (said["exit"], said["error"]["code"]) == (17, "set.other_owner")

    daemon.good("set", "edit", "home", "--owner", "omega", "--yes")
    assert all(map(refused, ("omega:home", "OMEGA:home")))
    daemon.good("set", "edit", "home", "--owner", HERE, "--yes")
    daemon.good("backup", "home")
    daemon.good("set", "edit", "home", "--owner", "omega", "--yes")
    assert all(map(refused, ("home", "omega:home", f"{HERE}:home", f"{HERE.upper()}:home")))
    daemon.good("set", "edit", "home", "--owner", HERE, "--yes")
    daemon.good("purge", "omega:home", "--from", "disk", "--confirm", "omega:home")
    assert daemon.good("job", "list", "home")["jobs"][0]["kind"] == "purge"
    assert [one["host"] for one in daemon.good("snapshot", "list", "home")["snapshots"]] == [HERE]


def test_commands_name_no_machine_that_is_known_by_its_id_alone(daemon: Daemon) -> None:
    """Else they are typed, and go to nowhere."""
    said = daemon.bkctl("set", "edit", "own", "--owner", "f" * 32, "--yes")
    assert b"bkctl set export own | ssh HOST bkctl set apply -f -" in said.stdout
    assert b"of own by" not in said.stderr
    text = daemon.bkctl("set", "export", "own").stdout.replace(b"name: own", b"name: other")
    daemon.good("set", "apply", "-f", "-", stdin=text)
    said = daemon.bkctl("check", "other")
    assert b"bkctl snapshot list HOST:other" in said.stderr
