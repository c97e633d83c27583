"""What came back, what is damaged, what is stored: each figure where people look for it."""

from __future__ import annotations

from bkctl.render.check import check_lines
from bkctl.render.info import fact_lines
from bkctl.render.key import add_lines, list_lines, sheet_lines
from bkctl.render.restore import restore_lines
from bkctl.render.snapshot import change_line, entry_line, versions_lines
from bkctl.render.snapshot import list_lines as snapshot_lines

TIME = "2026-11-21T21:07:10+01:00"


def test_restore_names_what_failed() -> None:
    lost = {"path": "/a", "kind": "metadata", "message": "owner lost"}
    result = {
        "set": "Documents",
        "time": TIME,
        "target": "/tmp/x",
        "files": {"restored": 3412, "same": 4, "skipped": 0, "failed": 1, "deleted": 0},
        "bytes": {"restored": 5 << 20, "fetched": 1},
        "seconds": 1.5,
        "problems": {"count": 1, "first": [lost]},
    }
    assert restore_lines(result) == [
        "Documents of 2026-11-21 21:07:10: 3,412 files restored, 4 the same already, 1 failed, 5.0 MiB, 1.5 s.",
        "They lie in /tmp/x",
        "  metadata: /a: owner lost",
    ]


def test_a_restore_plan_writes_nothing() -> None:
    lines = restore_lines({"dry_run": True, "plan": [{"action": "write", "path": "/a"}]})
    assert lines == ["write       /a", "Dry run, nothing written: 1 step."]


def test_a_restore_plan_says_what_it_would_ask() -> None:
    lines = restore_lines({"dry_run": True, "plan": [{"action": "ask", "path": "/a"}]})
    assert lines[0] == "ask         /a"
    assert "--overwrite always" in lines[1]
    assert restore_lines({"dry_run": True, "plan": []})[0].endswith("nothing to do, all is there already.")


def test_one_file_put_back_to_its_place_is_told_as_that() -> None:
    files = {"restored": 1}
    assert restore_lines({"target": "/", "files": files})[1] == "It lies where it came from"
    assert restore_lines({"target": "/x", "files": files})[1] == "It lies in /x"


def test_check_names_the_files_hit() -> None:
    result = {
        "snapshots": 3,
        "blocks": 4,
        "chunks": 5000,
        "bytes_read": 123456789,
        "problems": [{"object": "blocks/ab/abc", "code": "damage.seal", "message": "fails authentication"}],
        "files_hit": [{"snapshot": "s1", "path": "/a/b"}],
        "files_hit_count": 7,
        "rebuilt": {"blocks": 4},
        "seconds": 1.0,
    }
    assert check_lines(result) == [
        "  damage.seal: blocks/ab/abc: fails authentication",
        "Files hit:",
        "  s1  /a/b",
        "  and 6 more",
        "Index made anew: blocks 4.",
        "3 snapshots, 4 blocks, 5,000 chunks, 118 MiB read, 1.0 s: 1 problem.",
    ]
    sources = [{"place": "usb", "chunks": 1}, {"place": "cloud", "chunks": 3000}]
    healed = {"files": 7, "chunks": 3001, "stored_bytes": 5 << 20, "new_blocks": 1, "sources": sources}
    line = "Repaired: 7 files, 5.0 MiB stored again, 1 chunk from usb, 3,000 chunks from cloud."
    assert check_lines({**result, "healed": healed})[-2] == line
    nothing = {**healed, "chunks": 0, "sources": []}
    assert check_lines({**result, "healed": nothing})[-2] == "Repaired: nothing, for no place gives what is damaged."
    good = {**result, "problems": [], "files_hit": [], "files_hit_count": 0, "rebuilt": None}
    assert check_lines(good) == ["3 snapshots, 4 blocks, 5,000 chunks, 118 MiB read, 1.0 s: no problems."]


def test_snapshots_are_a_table() -> None:
    snapshot = {
        "short": "s1234",
        "time": TIME,
        "set": "文件",
        "host": "h",
        "files": 3412,
        "bytes": 5 << 30,
        "stored_bytes": 1 << 30,
        "tags": {"why": "upgrade"},
        "incomplete": True,
    }
    assert snapshot_lines({"snapshots": [snapshot]}) == [
        "ID     TIME                 SET   HOST  FILES     SIZE   STORED",
        "s1234  2026-11-21 21:07:10  文件  h     3,412  5.0 GiB  1.0 GiB  incomplete why=upgrade",
    ]
    assert snapshot_lines({"snapshots": []}) == ["No snapshots."]


def test_entries_and_changes_and_versions() -> None:
    entry = {
        "path": "/a",
        "kind": "symlink",
        "mode": 0o777,
        "uid": 7,
        "gid": 8,
        "owner": None,
        "size": 3,
        "mtime": TIME,
    }
    assert entry_line(entry) == "lrwxrwxrwx  7         8                      3  2026-11-21 21:07:10  /a"
    assert change_line({"path": "/a", "change": "changed", "size_before": 1, "size_after": 2048}) == (
        "M  /a  (1 B -> 2.0 KiB)"
    )
    assert change_line({"path": "/a", "change": "removed", "size_before": 1, "size_after": None}) == "-  /a"
    version = {"path": "/a", "number": 1, "time": TIME, "short": "s12", "size": 5, "mtime": TIME}
    assert versions_lines({"versions": [version]})[1].split()[0] == "1"


def test_keys() -> None:
    assert sheet_lines({"text": "a\nb\n"}) == ["a", "b"]
    assert add_lines({"slot": "k2", "label": "office", "key": "ABCD"})[1:] == ["ABCD"]
    assert add_lines({"slot": "k2", "label": "office", "key": None}) == ["Added slot k2 (office)."]
    slot = {"name": "k1", "label": None, "kind": "password", "created": TIME, "epoch": 1}
    assert list_lines({"slots": [slot]})[1] == "k1    password         2026-11-21 21:07:10      1"


def test_facts_of_facts() -> None:
    facts = {
        "version": "1",
        "state_bytes": 2048,
        "few_bytes": 605,
        "read_all_ns": 1795302824280209217,
        "cpu": {"count": 2},
        "paths": ["a", "b"],
        "none": None,
        "is_root": True,
    }
    assert fact_lines(facts) == [
        "version:      1",
        "state bytes:  2.0 KiB (2,048 bytes)",
        "few bytes:    605 B",
        "cpu.count:    2",
        "paths:        a, b",
        "is root:      yes",
    ]
