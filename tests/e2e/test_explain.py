"""`set explain` and filters as text through a real daemon: what it says is what a run then does."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon

EXCLUDED = ("a/x.tmp", "a/deep/y.log", "cache/z", "docs/b.iso", "k.o", "core.12")
KEPT = ("docs/a.odt", "y.log", "keep.o", "core.txt")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        for name in (*EXCLUDED, *KEPT, "cache/.nobackup"):
            path = made.home / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        (made.home / "src" / ".gitignore").write_text("*.o\n!keep.o\n")
        (made.home / "sets.yaml").write_text(_document(made.home))
        made.good("set", "apply", "-f", made.home / "sets.yaml")
        yield made


def _document(home: Path) -> str:
    return f"""
destinations: [{{name: disk, place: {home}/src/place}}]
sets:
- name: home
  sources: [{home}/src]
  to: [disk]
  markers: [.nobackup]
  gitignore: true
  never_types: [disk-images]
  filters:
  - {{name: old logs, action: exclude, ends_with: [.log], in: {home}/src/a, of: files}}
  - {{file: {home}/rules}}
  - {{action: exclude, regex: ['^core\\.\\d+$']}}
  tolerate:
  - {{path: docs, vanished: ok, enabled: false}}
  - {{path: docs, vanished: warn, name: office}}
  - {{in: {home}/src/docs, changed: ok, vanished: ok}}
"""


def test_each_path_has_its_rule_and_a_run_goes_by_it(daemon: Daemon, tmp_path: Path) -> None:
    """An answer that differs from what runs do is worse than none."""
    home, source = daemon.home, daemon.home / "src"
    (home / "rules").write_text("# mine\n\n- *.tmp\n")
    asked = [source / name for name in (*EXCLUDED, *KEPT)]
    found = daemon.good("set", "explain", "home", *asked, source, f"{source}/new/dir/", "/etc/passwd", source / "place")
    by_path = {one["path"]: one for one in found["paths"]}
    assert {name: by_path[f"{source}/{name}"]["reason"] for name in EXCLUDED} == {
        "a/x.tmp": "filter", "a/deep/y.log": "filter", "cache/z": "marker", "docs/b.iso": "type", "k.o": "gitignore",
        "core.12": "filter",
    }  # fmt: skip
    assert [by_path[f"{source}/{name}"]["included"] for name in KEPT] == [True] * 4
    rule = by_path[f"{source}/a/x.tmp"]["rule"]
    assert (rule["file"], rule["line"], rule["text"]) == (f"{home}/rules", 3, f"{home}/rules:3: - *.tmp")
    assert by_path[f"{source}/a/deep/y.log"]["rule"]["name"] == "old logs"
    assert by_path[f"{source}/cache/z"]["decided_at"] == f"{source}/cache"
    assert (by_path[str(source)]["reason"], by_path["/etc/passwd"]["reason"]) == ("source", "no_source")
    new = by_path[f"{source}/new/dir/"]
    assert (new["included"], new["exists"]) == (True, False)
    assert by_path[f"{source}/place"]["reason"] == "left_out"
    text = daemon.bkctl("set", "explain", "home", source / "cache/z", source / "gone.log").stdout.decode()
    assert text.splitlines() == [
        f"out  {source}/cache/z: {source}/cache is left out: it holds .nobackup",
        f"in   {source}/gone.log: no rule leaves it out, taken for a new and empty one (does not exist)",
    ]
    daemon.good("backup", "home")
    daemon.good("restore", "home", "--to", tmp_path / "out")
    back = tmp_path / "out" / str(source)[1:]
    files = {os.path.relpath(os.path.join(top, name), back) for top, _, names in os.walk(back) for name in names}
    assert files == {*KEPT, ".gitignore"}


def test_what_is_wrong_is_told_where_it_stands(daemon: Daemon) -> None:
    """A set whose filter means nothing would back up what it should not, or nothing."""
    path = daemon.home / "wrong.yaml"
    for wrong, at in (
        ("{action: exclude, regex: ['^co(re$']}", "at character 4: missing )"),
        ("{action: exclude, regex: ['(a)\\1']}", "at character 4"),
        ("{action: exclude, glob: ['*.x'], exact: [y]}", "one kind of patterns"),
        ("{exclude: x, action: include}", "one of exclude, include, file and action"),
        ("{exclude: x, in: here}", "no absolute path"),
        ("{exclude: x, larger_than: 5G, of: directories}", "size and age are of files"),
        ("{file: /f, of: files}", "stands alone"),
        ("{action: exclude, exact: [a/b]}", "is no path"),
    ):
        document = _document(daemon.home).replace("{file: " + f"{daemon.home}/rules" + "}", wrong)
        path.write_text(document.replace("name: home", "name: wrong"))
        answer = daemon.json("set", "apply", "-f", path)
        assert answer["exit"] == 2, answer
        assert at in answer["error"]["message"], (wrong, answer["error"]["message"])
        assert "wrong.yaml, line 12" in answer["error"]["message"], answer["error"]["message"]
    words = ("--source", daemon.home / "src", "--to", "disk")
    for option, value in (("--only-type", "imges"), ("--never-type", "pst"), ("--marker", "a/b")):
        assert daemon.json("set", "create", "wrong", *words, option, value)["exit"] == 2
    assert daemon.json("set", "explain", "nobody", "/x")["exit"] == 10


def test_filters_that_leave_out_all_are_warned_about(daemon: Daemon) -> None:
    """Else the first restore finds an empty tree."""
    words = ("--source", daemon.home / "src", "--to", "disk", "--dry-run")
    for given in (("--exclude", "*"), ("--unmatched", "exclude"), ("--only-type", ".a", "--never-type", ".a")):
        warnings = daemon.json("set", "create", "empty", *words, *given)["warnings"]
        assert [one for one in warnings if one.startswith("empty: ") and "runs leave" not in one], given
    fine = ("--include", "*.odt", "--exclude", "*", "--only-type", ".a")
    assert not any("leaves out all" in one for one in daemon.json("set", "create", "fine", *words, *fine)["warnings"])


def test_the_tolerance_rules_of_a_path_are_named(daemon: Daemon) -> None:
    """The first that speaks of a kind, also by a directory above, with its place in the set."""
    source = daemon.home / "src"
    found = daemon.good("set", "explain", "home", source / "docs/a.odt", source / "y.log", "/etc/passwd")["paths"]
    rules = [[(rule["kind"], rule["tolerance"], rule["place"]) for rule in one["tolerance"]] for one in found]
    assert rules == [[("changed", "ok", 3), ("vanished", "warn", 2)], [], []]
    said = daemon.bkctl("set", "explain", "home", source / "docs/a.odt").stdout.decode().splitlines()
    assert said[1:] == [
        f"     changed: ok, by tolerance rule 3, in {source}/docs, changed ok, vanished ok",
        "     vanished: warn, by tolerance rule 2, 'office': docs, vanished warn",
    ]


def test_a_streams_path_is_answered_with_its_stream(daemon: Daemon) -> None:
    """Streams lie in snapshots alone: no directory of the machine holds them."""
    daemon.good("set", "create", "app", "--stream", "users=postgresql:app", "--to", "disk")
    found = daemon.good("set", "explain", "app", "/.streams", "/.streams/users", "/.streams/user", "/.streams/users/x")
    assert [(one["included"], one["reason"], one["exists"]) for one in found["paths"]] == [
        (True, "stream", True),
        (True, "stream", True),
        (False, "no_source", True),
        (False, "no_source", True),
    ]
    assert found["paths"][2]["message"] == "no stream of the set is called user: it has users"
    (none,) = daemon.good("set", "explain", "home", "/.streams/users")["paths"]
    assert none["message"] == "no stream of the set is called users: it has none"
    daemon.good("set", "delete", "app", "--yes")


@pytest.mark.root
@pytest.mark.platform("linux")
def test_what_the_user_of_a_set_can_not_read_is_told(daemon: Daemon) -> None:
    """Whether it exists is another question, which the daemon answers where it may look."""
    source, text = daemon.home / "src", {"name": "hers", "sources": [str(daemon.home / "src")], "to": ["disk"]}
    daemon.good("set", "apply", "-f", "-", stdin=json.dumps({"sets": [{**text, "run_as": "nobody"}]}).encode())
    asked = [source / "docs" / "a.odt", source / "docs", source / "docs" / "nothing"]
    assert stat.S_IMODE(daemon.home.stat().st_mode) & 0o007 == 0
    shut = daemon.good("set", "explain", "hers", *asked)["paths"]
    assert [(one["reason"], one["exists"], one["hidden"]) for one in shut] == [
        ("unreadable", True, False),
        ("unreadable", True, False),
        ("unreadable", False, False),
    ]
    assert all("by the user nobody: permission denied" in one["message"] for one in shut)
    daemon.good("set", "delete", "hers", "--yes")
