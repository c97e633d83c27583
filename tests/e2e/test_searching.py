"""`set suggest` finds files wherever they hide, `set coverage` what is in no set."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from tests.support.peopled_machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.platform("linux")]
_MOUNTS = (
    "mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/mysql/x /var/lib/postgresql/15/main/base /var/lib/redis && "
    'mkdir -p {disk}/proc {disk}/again && mount -t proc proc {disk}/proc && mount --bind {disk}/sub {disk}/again'
)
DAY = 86_400


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine, None, None]:
    top = tmp_path_factory.mktemp("m")
    disk = top / "disk"
    made = Machine(top, _MOUNTS.format(disk=disk))
    daemon = made.daemon
    made.add("alice", "letter")
    made.add("bob", "letter")
    files = {".hidden/mail.pst": 400, "books.QBW": 300, "sub/kept.pst": 200, "old.pst": 100, "a.txt": 5}
    for name, size in files.items():
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_bytes(b"x" * size)
    (disk / os.fsdecode(b"caf\xe9.pst")).write_bytes(b"x" * 50)
    (disk / "link.pst").symlink_to("old.pst")
    os.utime(disk / "old.pst", (SystemClock().now_ns() / 10**9 - 400 * DAY,) * 2)
    try:
        daemon.start()
        daemon.good("set", "create", "home", "--source", disk / "sub", "--to", top / "to")
        yield made
    finally:
        daemon.stop()


def _names(result: dict[str, Any]) -> list[str]:
    return [os.path.basename(one["path"]) for one in result["hits"]]


def test_files_are_found_and_taken_in(machine: Machine, tmp_path: Path) -> None:
    """Mail lies in directories that nobody looks into."""
    daemon, disk = machine.daemon, machine.homes.parent / "disk"
    found = daemon.good("set", "suggest", disk, "--ext", "pst,.qbw")
    assert _names(found) == ["mail.pst", "books.QBW", "kept.pst", "old.pst", "caf\\xe9.pst"]
    assert [one["sets"] for one in found["hits"]] == [[], [], ["home"], [], []]
    assert (found["count"], found["bytes"], found["by_extension"]) == (5, 1050, {"pst": 4, "qbw": 1})
    assert [one["path"] for one in found["passed_over"]] == [f"{disk}/again"]
    assert found["looked_at"] == {"directories": 3, "files": 7}
    for words, names in (
        (("--ext", "pst", "--larger", "150"), ["mail.pst", "kept.pst"]),
        (("--ext", "*.pst", "--smaller", "150", "--newer", "300d"), ["caf\\xe9.pst"]),
        (("--older", "300d"), ["old.pst"]),
        (("--larger", "1"), ["mail.pst", "books.QBW", "kept.pst", "old.pst", "caf\\xe9.pst", "a.txt"]),
        (("--ext", "pst", "--most", "1"), ["mail.pst"]),
    ):  # fmt: skip
        assert _names(daemon.good("set", "suggest", disk, *words)) == names, words
    asked = ("set", "suggest", disk, "--ext", "pst", "--ext", "qbw", "--add-to", "home")
    assert daemon.json("set", "suggest", disk)["exit"] == 2
    assert daemon.json("set", "suggest", disk, "--ext", "a/b")["exit"] == 2
    assert daemon.json("set", "suggest", disk / "none", "--ext", "a")["exit"] == 10
    assert daemon.json(*asked[:-1], "nobody")["exit"] == 10
    assert daemon.json(*asked, "--yes", "--most", "2")["exit"] == 2
    assert daemon.json(*asked)["exit"] == 22
    dry = daemon.good(*asked, "--dry-run")
    assert (dry["changed"], dry["dry_run"], dry["added"]) == (True, True, 3)
    document = daemon.json(*asked, "--yes")
    assert (document["exit"], document["result"]["added"]) == (0, 3)
    assert [one for one in document["warnings"] if "not UTF-8" in one]
    again = daemon.good(*asked, "--yes")
    assert (again["changed"], again["added"]) == (False, 0)
    daemon.good("backup", "home")
    daemon.good("restore", "home", "--to", tmp_path / "out")
    back = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert back == ["books.QBW", "kept.pst", "mail.pst", "old.pst"]
    own = daemon.good("set", "suggest", disk, "--ext", "qbw", "--no-daemon")
    assert [one["sets"] for one in own["hits"]] == [None]


def test_what_is_in_no_set_is_told(machine: Machine, tmp_path: Path) -> None:
    """What nobody thought of is lost first."""
    daemon, homes = machine.daemon, machine.homes
    daemon.good("set", "create", "a", "--source", "home@alice", "--to", tmp_path / "to")
    daemon.good("set", "create", "db", "--stream", "db=postgresql:shop", "--to", tmp_path / "to2")
    daemon.good("set", "create", "off", "--source", homes / "bob", "--to", tmp_path / "to3")
    daemon.good("set", "disable", "off")
    document = daemon.json("set", "coverage", "--check")
    assert (document["exit"], document["error"]["code"]) == (21, "attention")
    by_path = {one["path"]: one for one in document["result"]["places"]}
    assert (by_path[f"{homes}/alice"]["covered"], by_path[f"{homes}/alice"]["sets"]) == ("whole", ["a"])
    assert (by_path[f"{homes}/bob"]["covered"], by_path[f"{homes}/bob"]["disabled_sets"]) == ("none", ["off"])
    assert (by_path["/var/lib/mysql"]["kind"], by_path["/var/lib/mysql"]["covered"]) == ("database", "none")
    assert "/var/lib/redis" not in by_path
    server = by_path["/var/lib/postgresql/15/main"]
    assert (server["covered"], server["streams"]) == ("part", ["db"])
    assert by_path["/"]["covered"] == "part"
    missing = sum(one["covered"] == "none" for one in by_path.values())
    assert document["result"]["uncovered"] == missing > 1
    daemon.good("set", "enable", "off")
    daemon.good("set", "edit", "a", "--add-source", "/var/lib/mysql", "--one-file-system")
    text = daemon.bkctl("set", "coverage", "--all").stdout.decode()
    assert f"{homes}/bob" in text.partition("In a set:")[2]
    assert "/var/lib/mysql" in text.partition("In a set:")[2]
    assert daemon.good("set", "coverage")["uncovered"] == missing - 2


