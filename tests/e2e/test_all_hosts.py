"""`bkctl status --all-hosts` on a real daemon: another machine in a repository of its own set, silent or unreadable."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon

_WEEK = 7 * 86_400


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon whose set `home` is at `usb` and `nas`; into the repository at `usb` pluto backs up, too."""
    with running_daemon(tmp_path_factory.mktemp("shared")) as daemon:
        for name in ("source", "letters"):
            (daemon.home / name).mkdir()
            (daemon.home / name / "a").write_bytes(b"a" * 5000)
        places = ("--to", daemon.home / "usb", "--to", daemon.home / "nas")
        daemon.good("set", "create", "home", "--source", daemon.home / "source", *places, "--max-age", "26h")
        daemon.good("set", "create", "etc", "--source", daemon.home / "source", "--to", "nas")
        daemon.good("backup", "home")
        place = daemon.good("set", "show", "home")["set"]["repositories"][0]["place"]
        (key,) = [file for file in daemon.state.rglob("*.key") if file.name[1:9] in place]
        shutil.copytree(key.parent, daemon.home / "xdg" / "data" / "backupd" / "keys")
        daemon.good("--no-daemon", "once", daemon.home / "letters", "--to", place, "--host", "pluto")
        daemon.good("backup", "home")
        yield daemon


def _hosts(daemon: Daemon, *words: str) -> list[dict[str, Any]]:
    found = daemon.good("status", "--all-hosts", *words)["hosts"]
    return list(found)


def test_every_machine_has_a_row_for_each_set(shared: Daemon) -> None:
    """A set at two destinations is one row; one that was never stored is none."""
    ours, other = sorted(_hosts(shared), key=lambda one: one["host"] == "pluto")
    listed = shared.good("snapshot", "list", "home", "--from", "usb")["snapshots"]
    assert (ours["set"], ours["snapshot"], ours["snapshots"]) == ("home", listed[-1]["id"], 2)
    assert (other["host"], other["set"], other["destination"], other["snapshots"]) == ("pluto", "letters", "usb", 1)
    assert [one["limit_seconds"] for one in (ours, other)] == [26 * 3600, _WEEK], "its own, where it is known"
    assert [one["state"] for one in (ours, other)] == ["good", "good"]
    assert shared.json("status", "--all-hosts", "--check")["exit"] == 0
    assert shared.json("status", "--all-hosts", "nix")["exit"] == 10
    done = shared.json("status", "--all-hosts", "--check", "etc")
    assert (done["exit"], done["error"]["message"], done["result"]["hosts"]) == (10, "nothing is stored yet", [])


def test_who_is_silent_stands_out(shared: Daemon) -> None:
    """Also where our own set is off, and raises no alarm."""
    shared.good("set", "disable", "home")
    try:
        done = shared.json("status", "--all-hosts", "--max-age", "0s")
        assert (done["exit"], done["error"]["message"]) == (21, "silent: letters of pluto")
        states = {one["host"] == "pluto": one["state"] for one in done["result"]["hosts"]}
        assert states == {True: "silent", False: "off"}
        lines = shared.bkctl("status", "--all-hosts", "--max-age", "0s").stdout.decode().splitlines()
    finally:
        shared.good("set", "enable", "home")
    assert lines[0].split() == ["HOST", "SET", "DESTINATION", "LAST", "GOOD", "LIMIT", "STATE"]
    assert [line.split()[-1] for line in lines if line.startswith("pluto")] == ["SILENT"]
    assert lines[-1] == "2 machines, 2 sets: 1 silent."
    assert max(map(len, lines)) <= 80


def test_what_was_not_read_is_said(shared: Daemon) -> None:
    """A machine whose only copy is away would else just be missing."""
    (shared.home / "usb").rename(shared.home / "carried-away")
    try:
        done = shared.json("status", "--all-hosts")
        text = shared.bkctl("status", "--all-hosts").stdout.decode()
        checked = shared.json("status", "--all-hosts", "--check")
    finally:
        (shared.home / "carried-away").rename(shared.home / "usb")
    assert (done["exit"], [one["destination"] for one in done["result"]["unread"]]) == (0, ["usb"])
    assert [one["set"] for one in done["result"]["hosts"]] == ["home"], "as of nas"
    assert "usb was not read: " in text
    assert (checked["exit"], checked["error"]) == (15, checked["result"]["unread"][0]["error"])


def test_damage_goes_first(shared: Daemon) -> None:
    (repository,) = [path for path in (shared.home / "usb").iterdir() if path.name.startswith("r")]
    place = shared.good("snapshot", "list", "--from", str(repository))["snapshots"]
    assert len(place) == 3
    oldest = min((repository / "snapshots").rglob("*z-*"), key=lambda path: path.name)
    kept = oldest.read_bytes()
    oldest.write_bytes(kept[:-40] + bytes(40))
    try:
        done = shared.json("status", "--all-hosts", "--max-age", "0s")
    finally:
        oldest.write_bytes(kept)
    assert done["exit"] == 20
    assert len(done["result"]["hosts"]) == 2


def test_what_does_not_go_together_is_refused(shared: Daemon) -> None:
    for words in (["--motd"], ["--format", "nagios"], ["--format", "prometheus"]):
        assert shared.bkctl("status", "--all-hosts", *words).returncode == 2
