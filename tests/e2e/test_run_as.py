"""A set of root's daemon, under its unit, that reads with the rights of a user of the machine who is not logged in."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.machine import TOP
from tests.support.ordinary_user import directory_of_user
from tests.support.peopled_machine import PEOPLE, Machine
from tests.support.raw_http import Raw, post
from tests.support.unit_cage import Unit
from tests.support.user_mount import user_mount

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root, pytest.mark.needs("systemd-analyze")]
SERVICE = TOP / "systemd" / "backupd.service"


@pytest.fixture
def machine() -> Generator[Machine, None, None]:
    """With alice, in whose home are a file of hers, one of root's, and a mount of hers."""
    with directory_of_user() as top:
        top.chmod(0o711)
        made = Machine(top)
        made.daemon.prefix += Unit(SERVICE).prefix()
        home = made.add("alice", "letter")
        (home / "letter").chmod(0o600)
        (home / "roots").write_text("root's alone")
        (home / "roots").chmod(0o600)
        (home / "mount").mkdir()
        with user_mount(home / "mount", PEOPLE["alice"], {"cloud": b"elsewhere"}):
            try:
                made.daemon.start()
                yield made
            finally:
                made.daemon.stop()


def _text(machine: Machine, user: str) -> dict[str, object]:
    return {"name": "hers", "sources": [str(machine.homes / "alice")], "to": ["place"], "run_as": user}


def _document(machine: Machine, user: str) -> bytes:
    place = {"name": "place", "place": str(machine.homes.parent / "place")}
    return json.dumps({"destinations": [place], "sets": [_text(machine, user)]}).encode()


def test_what_she_reads_is_stored_and_nothing_else(machine: Machine, tmp_path: Path) -> None:
    daemon = machine.daemon
    refused = daemon.json("config", "apply", "-f", "-", stdin=_document(machine, "nosuch"))
    assert (refused["exit"], "run_as: there is no user nosuch" in refused["error"]["message"]) == (2, True)
    daemon.good("config", "apply", "-f", "-", stdin=_document(machine, "alice"))
    assert daemon.good("set", "show", "hers")["set"]["run_as"] == "alice"
    body = json.dumps({"text": {**_text(machine, "nosuch"), "name": "other"}}).encode()
    with Raw(daemon.socket, post(b"/v1/sets", body)) as client:
        answer = client.rest()
    assert b" 400 " in answer.splitlines()[0]
    assert b"there is no user nosuch" in answer
    done = daemon.json("backup", "hers")
    assert done["exit"] == 3
    [problem] = done["result"]["runs"][0]["problems"]["first"]
    assert (problem["path"], problem["message"]) == (str(machine.homes / "alice" / "roots"), "permission denied")
    assert machine.restored("hers", tmp_path / "to") == {"alice/letter", "alice/mount/cloud"}
    passwd = machine.homes.parent / "passwd"
    passwd.write_text("".join(line for line in passwd.open() if not line.startswith("alice:")))
    gone = daemon.json("backup", "hers")
    assert (gone["exit"], gone["error"]["code"]) == (1, "source.run_as")
    assert len(daemon.good("snapshot", "list", "hers")["snapshots"]) == 1
