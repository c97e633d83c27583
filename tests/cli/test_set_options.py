"""Options of sets, destinations and jobs, each seen in what it changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon

FIRST: dict[str, tuple[tuple[str, ...], object]] = {
    "mode": (("--mode", "concurrent"), "concurrent"),
    "max_concurrent": (("--max-concurrent", "3"), 3),
    "one_file_system": (("--one-file-system",), True),
    "max_age": (("--max-age", "26h"), "26h"),
    "stop_after": (("--stop-after", "4h"), "4h"),
    "compression": (("--compression", "best"), "best"),
    "deduplication": (("--deduplication", "path"), "path"),
    "chunk_size": (("--chunk-size", "256K"), "256K"),
    "check_before_sending": (("--no-check-before-sending",), False),
    "encryption": (("--encryption", "custom"), "custom"),
    "cipher": (("--cipher", "chacha20-poly1305"), "chacha20-poly1305"),
    "block_size": (("--block-size", "64M"), "64M"),
    "parity": (("--parity", "5%"), "5%"),
    "jobs": (("--jobs", "1"), 1),
    "polite": (("--not-polite",), False),
    "heal": (("--no-heal",), False),
    "verify": (("--verify", "2.5%"), "2.5%"),
    "temp_dir": (("--temp-dir", "/nowhere/here"), "/nowhere/here"),
    "tags": (("--tag", "why=test"), {"why": "test"}),
    "time_zone": (("--time-zone", "Asia/Tokyo"), "Asia/Tokyo"),
    "filters": (("--include", "keep.tmp", "--exclude", "*.tmp"), [{"include": "keep.tmp"}, {"exclude": "*.tmp"}]),
    "unmatched": (("--unmatched", "include"), "include"),
    "only_types": (("--only-type", "temporary", "--only-type", ".x"), ["temporary", ".x"]),
    "never_types": (("--never-type", "video"), ["video"]),
    "markers": (("--marker", ".nobackup"), [".nobackup"]),
    "cachedir_tag": (("--cachedir-tag",), True),
    "gitignore": (("--gitignore",), True),
    "fs_snapshot": (("--fs-snapshot", "auto"), "auto"),
    "fs_snapshot_fallback": (("--fs-snapshot-fallback", "live"), "live"),
    "conditions": (
        ("--not-on-battery", "--not-on-metered", "--in-network", "Home: 5", "--if-present", "/n", "--if-mounted", "/m"),
        {"battery": False, "metered": False, "networks": ["Home: 5"], "present": ["/n"], "mounted": ["/m"]},
    ),
    "follow_links": (("--follow-links",), True),
    "cache": (("--cache", "auto"), "auto"),
    "cache_min_size": (("--cache-min-size", "1M"), "1M"),
}
"""Field of a set -> the words that give it, and what it then is."""
CHANGED: dict[str, tuple[tuple[str, ...], object]] = {
    "follow_links": (("--no-follow-links",), False),
    "cache_min_size": (("--cache-min-size", ""), None),
    "cache": (("--cache", "none"), "none"),
    "max_concurrent": (("--max-concurrent", ""), None),
    "mode": (("--mode", "sequential"), "sequential"),
    "one_file_system": (("--all-file-systems",), False),
    "max_age": (("--max-age", ""), None),
    "stop_after": (("--stop-after", ""), None),
    "compression": (("--compression", "none"), "none"),
    "deduplication": (("--deduplication", "set"), "set"),
    "chunk_size": (("--chunk-size", "auto"), "auto"),
    "check_before_sending": (("--check-before-sending",), True),
    "encryption": (("--encryption", "default"), "default"),
    "cipher": (("--cipher", ""), None),
    "block_size": (("--block-size", ""), None),
    "parity": (("--parity", ""), None),
    "jobs": (("--jobs", "2"), 2),
    "polite": (("--polite",), True),
    "heal": (("--heal",), True),
    "verify": (("--verify", ""), None),
    "continuous": (("--continuous",), True),
    "temp_dir": (("--temp-dir", ""), None),
    "tags": (("--tag", "a=b"), {"a": "b"}),
    "time_zone": (("--time-zone", ""), None),
    "filters": (("--no-filters", "--include", "x"), [{"include": "x"}]),
    "unmatched": (("--unmatched", "exclude"), "exclude"),
    "only_types": (("--only-type", ""), []),
    "never_types": (("--never-type", "music", "--never-type", "mail"), ["music", "mail"]),
    "markers": (("--marker", ""), []),
    "cachedir_tag": (("--no-cachedir-tag",), False),
    "gitignore": (("--no-gitignore",), False),
    "fs_snapshot": (("--fs-snapshot", "off"), "off"),
    "fs_snapshot_fallback": (("--fs-snapshot-fallback", "fail"), "fail"),
    "conditions": (
        ("--on-battery", "--on-metered", "--in-network", "", "--if-present", "/a", "--if-present", "/b"),
        {"present": ["/a", "/b"], "mounted": ["/m"]},
    ),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    with running_daemon(tmp_path_factory.mktemp("d")) as made:
        source = made.home / "src"
        source.mkdir()
        for name in ("a", "b.tmp", "keep.tmp"):
            (source / name).write_text(name)
        yield made


def test_each_option_of_a_set_is_kept_and_reaches_its_snapshots(daemon: Daemon) -> None:
    """A set that forgets an option backs up something else than was asked for, unseen for years."""
    source = daemon.home / "src"
    words = [word for given, _ in FIRST.values() for word in given]
    made = daemon.good("set", "create", "all", "--source", source, "--to", daemon.home / "all", *words)["set"]
    assert {name: made[name] for name in FIRST} == {name: value for name, (_, value) in FIRST.items()}
    done = daemon.good("backup", "all")
    assert done["runs"][0]["started"].endswith("+09:00")
    repository = done["repository"]
    facts = daemon.good("info", "--from", repository["place"] + "/" + repository["id"])["repository"]
    assert (facts["cipher"], facts["block_size_bytes"]) == ("chacha20-poly1305", 64 << 20)
    assert facts["parity"] == 5
    snapshot = daemon.good("snapshot", "show", "all")
    assert snapshot["files"] == 1, "keep.tmp: one is of no wanted type, one is left out"
    assert snapshot["tags"] == {"why": "test"}
    told = ("one_file_system", "compression", "deduplication", "chunk_size", "check_before_sending")
    assert {name: snapshot["settings"][name] for name in told} == {
        "one_file_system": True,
        "compression": "best",
        "deduplication": "path",
        "chunk_size": 256 << 10,
        "check_before_sending": False,
    }


def test_each_option_of_an_edit_changes_its_field_alone(daemon: Daemon) -> None:
    """`set edit` with one option must not set back all others."""
    source = daemon.home / "src"
    words = [word for given, _ in FIRST.values() for word in given]
    daemon.good("set", "create", "edited", "--source", source, "--to", daemon.home / "edited", *words)
    together = {"encryption", "cipher"}
    for name, (given, value) in CHANGED.items():
        if name in together:
            continue
        result = daemon.good("set", "edit", "edited", *given)
        assert (result["diff"].keys(), result["set"][name]) == ({name}, value)
    both = [word for name in sorted(together) for word in CHANGED[name][0]]
    assert daemon.good("set", "edit", "edited", *both)["diff"].keys() == together


def test_sources_places_and_files_of_an_edit(daemon: Daemon) -> None:
    """Adding one and taking one away are the edits of every day."""
    home = daemon.home
    rules = home / "rules"
    rules.write_text("- *.bak\n")
    (home / "more").mkdir()
    words = ("--source", home / "src", "--source", home / "more", "--to", home / "one", "--to", home / "two")
    made = daemon.good("set", "create", "lists", *words, "--filter-file", rules)["set"]
    assert made["filters"] == [{"file": str(rules)}]
    assert made["to"] == ["one", "two"]
    edited = daemon.good("set", "edit", "lists", "--remove-source", home / "more", "--remove-to", "one")["set"]
    assert (edited["sources"], edited["to"]) == ([str(home / "src")], ["two"])
    edited = daemon.good("set", "edit", "lists", "--add-source", home / "more", "--add-to", "one")["set"]
    assert (edited["sources"], edited["to"]) == ([str(home / "src"), str(home / "more")], ["two", "one"])
    edited = daemon.good("set", "edit", "lists", "--filter-file", rules, "--dry-run")
    assert (edited["dry_run"], len(edited["set"]["filters"])) == (True, 2)
    assert len(daemon.good("set", "show", "lists")["set"]["filters"]) == 1
    secret = home / "secret"
    secret.write_text("word")
    secret.chmod(0o600)
    edited = daemon.good("set", "edit", "lists", "--encryption", "password", "--password-file", secret)["set"]
    assert edited["password"]["file"] == str(secret)


def test_a_destination_that_moved(daemon: Daemon) -> None:
    """A disk that is mounted elsewhere now must not need a new first backup."""
    home = daemon.home
    daemon.good("destination", "add", "disk", home / "old")
    (home / "large").mkdir()
    (home / "large" / "a").write_bytes(os.urandom(1 << 20))
    daemon.good("set", "create", "moves", "--source", home / "large", "--to", "disk")
    daemon.good("backup", "moves")
    (home / "old").rename(home / "new")
    daemon.good("destination", "edit", "disk", "--place", home / "new")
    assert daemon.good("backup", "moves")["runs"][0]["bytes"]["new"] < 10_000
    assert len(daemon.good("snapshot", "list", "moves")["snapshots"]) == 2


def test_pages_and_times_of_lists(daemon: Daemon) -> None:
    """A list of years of jobs is read a page at a time."""
    daemon.good("set", "create", "paged", "--source", daemon.home / "src", "--to", daemon.home / "paged")
    for _ in range(3):
        daemon.good("backup", "paged")
    first = daemon.good("job", "list", "paged", "--limit", "2")
    second = daemon.good("job", "list", "paged", "--limit", "2", "--after", first["next"])
    seen = [job["id"] for page in (first, second) for job in page["jobs"]]
    assert (len(seen), len(set(seen)), second["next"]) == (3, 3, None)
    assert len(daemon.good("job", "list", "paged", "--since", "1h")["jobs"]) == 3
    time.sleep(1.1)
    assert daemon.good("job", "list", "paged", "--since", "1s")["jobs"] == []


def test_the_log_by_severity_and_to_its_end(daemon: Daemon) -> None:
    """Who looks for what went wrong wants just that."""
    daemon.good("set", "create", "logged", "--source", daemon.home / "src", "--to", daemon.home / "logged")
    daemon.good("set", "edit", "logged", "--add-source", daemon.home / "missing")
    assert daemon.json("backup", "logged")["exit"] == 3
    lines = _severities(daemon.good("job", "log", "logged@latest", "--follow"))
    assert {"information", "warning"} <= lines
    assert "information" not in _severities(daemon.good("job", "log", "logged@latest", "--severity", "warning"))


def test_documents_that_take_away(daemon: Daemon, tmp_path: Path) -> None:
    """`--prune` disables and never deletes."""
    daemon.good("set", "create", "pruned", "--source", daemon.home / "src", "--to", daemon.home / "pruned")
    exported = daemon.good("set", "export")["config"]
    exported["sets"] = [one for one in exported["sets"] if one["name"] != "pruned"]
    text = tmp_path / "all.json"
    text.write_text(json.dumps(exported))
    daemon.good("set", "apply", "--file", text, "--prune")
    assert daemon.good("set", "show", "pruned")["set"]["enabled"] is False


def _severities(result: Any) -> set[str]:
    return {line["severity"] for line in result["lines"]}
