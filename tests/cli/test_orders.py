"""What is written on the command line is what the job is asked to do: nothing lost, nothing in another order."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.cli.program import Bkctl


def raw(text: str) -> bytes:
    """Bytes of an order as JSON carries them."""
    return base64.b64decode(text)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_paths_are_the_callers_and_keep_their_bytes(bkctl: Bkctl, tmp_path: Path) -> None:
    """A job runs elsewhere: a relative path would back up another directory, or restore into one."""
    order = bkctl.order("once", "a/../b/", os.fsdecode(b"\xff\n"), "--to", "./place")
    assert [raw(path) for path in order["sources"]] == [bytes(tmp_path / "b"), bytes(tmp_path) + b"/\xff\n"]
    assert order["place"] == str(tmp_path / "place")


def test_links_in_a_path_are_left_alone(bkctl: Bkctl, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    assert raw(bkctl.order("once", "link", "--to", "./p")["sources"][0]) == bytes(tmp_path / "link")


def test_filters_keep_their_order_across_options(bkctl: Bkctl, tmp_path: Path) -> None:
    """The first filter that matches decides; another order is another backup."""
    order = bkctl.order(
        *("once", "src", "--include", "*.log", "--exclude=*", "--json", "--filter-file", "rules", "--include", "-x"),
        *("--exclude", "--include", "--to", "./p"),
    )
    assert [(word["kind"], raw(word["value"])) for word in order["filters"]] == [
        ("include", b"*.log"),
        ("exclude", b"*"),
        ("filter-file", bytes(tmp_path / "rules")),
        ("include", b"-x"),
        ("exclude", b"--include"),
    ]


def test_all_of_once_reaches_the_job(bkctl: Bkctl, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("  secret \n")
    order = bkctl.order(
        *("once", "src", "--to", "./p", "--name", "docs", "--host", "h", "--existing", "--if-running", "skip"),
        *("--tag", "a=b=c", "--tag", "d=", "--dry-run", "--one-file-system", "--jobs", "3", "--no-cache"),
        "--follow-links",
        *("--limit-upload", "20 Mbit/s", "--limit-download", "2MiB/s"),
        *("--compression", "best", "--deduplication", "path", "--chunk-size", "64K", "--encryption", "custom"),
        *("--cipher", "AES_128_GCM", "--block-size", "64M", "--no-check-before-sending", "--stop-after", "4h"),
        *("--only-type", "images", "--only-type", ".psd", "--never-type", "video", "--marker", ".nobackup"),
        *("--cachedir-tag", "--gitignore", "--unmatched", "exclude"),
        *("--parity", "5%", "--key-out", "k", "--new-password-file", "new", "--yes", "--confirm", "docs"),
    )
    assert raw(order.pop("new_secret")) == b"secret"
    wanted = {
        "set_name": "docs",
        "host_name": "h",
        "existing": True,
        "if_running": "skip",
        "tags": {"a": "b=c", "d": ""},
        "dry_run": True,
        "one_file_system": True,
        "follow_links": True,
        "filter_words": {
            "unmatched": "exclude",
            "only_types": ["images", ".psd"],
            "never_types": ["video"],
            "markers": [".nobackup"],
            "cachedir_tag": True,
            "gitignore": True,
        },
        "limits": {
            "jobs": 3,
            "polite": True,
            "stop_after_seconds": 14400,
            "upload_rate": 2_500_000,
            "download_rate": 2 << 20,
        },
        "no_cache": True,
        "compression": "best",
        "deduplication": "path",
        "chunk_size_bytes": 65536,
        "encryption": "custom",
        "cipher": "aes-128-gcm",
        "block_size_bytes": 64 << 20,
        "parity": 5,
        "check_before_sending": False,
        "key_out": str(tmp_path / "k"),
        "assume_yes": True,
        "confirmed": "docs",
    }
    assert {name: order[name] for name in wanted} == wanted


def test_all_of_restore_reaches_the_job(bkctl: Bkctl, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"one\n/two\n\n")
    order = bkctl.order(
        *("restore", "Documents", "/a/b", "./c", "--from", "./p", "--to", "out", "--as-of", "3h ago", "--host", "h"),
        *("--strip", "--all-versions", "--pick", "2", "--pick", "2026-11-20", "--owner", "me", "--overwrite", "never"),
        *("--delete-unmatched", "--delete-excluded", "--verify", "--dry-run", "--paths-from", "list"),
        *("--temp-dir", "t", "--jobs", "1"),
    )
    selection = order["selection"]
    assert [raw(path) for path in selection["paths"]] == [
        b"/a/b",
        bytes(tmp_path / "c"),
        bytes(tmp_path / "one"),
        b"/two",
    ]
    assert (selection["set_name"], selection["as_of"], selection["host_name"]) == ("Documents", "3h ago", "h")
    assert raw(order["to"]) == bytes(tmp_path / "out")
    wanted = {
        "strip": True,
        "all_versions": True,
        "picks": ["2", "2026-11-20"],
        "owner": "me",
        "overwrite": "never",
        "delete_unmatched": True,
        "delete_excluded": True,
        "verify": True,
        "dry_run": True,
        "temporary_directory": str(tmp_path / "t"),
    }
    assert {name: order[name] for name in wanted} == wanted


def test_original_means_no_directory(bkctl: Bkctl) -> None:
    order = bkctl.order("restore", "--from", ".", "--original", "--owner", "./map")
    assert order["to"] is None
    assert order["owner"] == os.path.abspath("map")


def test_names_with_newlines_restore_by_nul_lists(bkctl: Bkctl, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"/a\nb\0/\xff\0")
    order = bkctl.order("restore", "--from", ".", "--to", ".", "--paths-from0", "list")
    assert [raw(path) for path in order["selection"]["paths"]] == [b"/a\nb", b"/\xff"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["check", "a", "b", "--crc"], {"set_names": ["a", "b"], "crc": True, "rebuild_index": False}),
        (["check", "--crc", "--repair"], {"repair": True, "siblings": []}),
        (["check", "--all", "--rebuild-index", "--accept-rollback"], {"rebuild_index": True, "accept_rollback": True}),
        (
            ["snapshot", "list", "a", "--incomplete", "--host", "h"],
            {"set_name": "a", "incomplete": True, "host_name": "h"},
        ),
        (["key", "remove", "k1"], {"verb": "remove", "slot": "k1"}),
        (["key", "list"], {"verb": "list"}),
        (["key", "show", "--unmask", "--yes"], {"verb": "show", "unmask": True}),
        (["free", "a", "b", "--target", "200G"], {"set_names": ["a", "b"], "target_bytes": 200 << 30, "plan": ""}),
        (["free", "a", "--apply", "p0123456789"], {"target_bytes": None, "plan": "p0123456789", "dry_run": False}),
        (["free", "--dry-run"], {"set_names": [], "target_bytes": None, "plan": "", "dry_run": True}),
        (["info"], {}),
    ],
)
def test_other_commands_reach_the_job(bkctl: Bkctl, words: list[str], wanted: dict[str, object]) -> None:
    order = bkctl.order(*words, "--from", "./p")
    assert order["place"] == os.path.abspath("p")
    assert {name: order[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "1G"],
        ["a", "--target", "0"],
        ["a", "--target", "much"],
        ["a", "--apply", ""],
        ["a", "--apply", "p0123456789", "--dry-run"],
        ["a", "--all", "--target", "1G"],
    ],
)
def test_a_target_that_is_not_said_well_is_refused(bkctl: Bkctl, words: list[str]) -> None:
    """Before anything is looked at: what goes then is gone."""
    assert bkctl("free", *words, "--from", "./p") == 2


def test_a_repair_names_other_places(bkctl: Bkctl) -> None:
    """Paths from where the caller stands; one that is named for a check that repairs nothing is a mistake."""
    siblings = bkctl.order("check", "--from", "./p", "--repair", "--with", "./q", "--with", "sftp://h/q")["siblings"]
    assert [one["place"] for one in siblings] == [os.path.abspath("q"), "sftp://h/q"]
    assert bkctl("check", "--from", "./p", "--with", "./q") == 2


def test_a_replication_names_two_places(bkctl: Bkctl, tmp_path: Path) -> None:
    """A login goes to the place that needs one, and to no other: of two stores nobody could tell whose it is."""
    (tmp_path / "login").write_text("a login")
    store = "sftp://me@host/there"
    words = ["destination", "replicate", "--from", "./p", "--to", store, "a", "b", "--latest"]
    order = bkctl.order(*words, "--credentials-file", "login")
    assert (order["place"], order["to"]) == (os.path.abspath("p"), store)
    assert (order["set_names"], order["latest"]) == (["a", "b"], True)
    assert raw(order["to_access"]["credentials"]) == b"a login"
    assert not order["access"].get("credentials")
    both = ["destination", "replicate", "--from", store, "--to", "s3://bucket/x", "--credentials-file", "login"]
    assert bkctl(*both, "--json") == 2
    assert "destination add" in bkctl.document()["error"]["hint"]


@pytest.mark.parametrize(
    ("words", "name", "as_of", "newer"),
    [
        (["show", "s4f1c"], "s4f1c", "latest", None),
        (["show", "Documents", "s4f1c"], "Documents", "s4f1c", None),
        (["ls", "Documents", "/a"], "Documents", "latest", None),
        (["ls", "--as-of", "yesterday"], None, "yesterday", None),
        (["cat", "HOST:Documents", "/a"], "HOST:Documents", "latest", None),
        (["versions", "/a"], None, "latest", None),
        (["diff", "s4f1c"], None, "s4f1c", "latest"),
        (["diff", "Documents", "s4f1c", "latest"], "Documents", "s4f1c", "latest"),
        (["diff", "s4f1c", "sabcd"], None, "s4f1c", "sabcd"),
        (["diff", "Documents", "--as-of", "7d ago", "--newer", "1d ago"], "Documents", "7d ago", "1d ago"),
    ],
)
def test_words_name_a_set_or_a_snapshot(
    bkctl: Bkctl, tmp_path: Path, words: list[str], name: str | None, as_of: str, newer: str | None
) -> None:
    """A wrong guess here shows, or restores, another state than the one meant."""
    if words[0] == "cat":
        assert bkctl("snapshot", *words, "--from", ".", behaviour="pour:1") == 0
        return
    order = bkctl.order("snapshot", *words, "--from", ".")
    assert (order["selection"]["set_name"], order["selection"]["as_of"]) == (name, as_of)
    assert order.get("newer") == newer


def test_decrypt_takes_blocks_and_paths(bkctl: Bkctl, tmp_path: Path) -> None:
    order = bkctl.order("decrypt", "blocks", "/a", "--to", "out", "--temp-dir", "t")
    assert (order["place"], raw(order["to"]), raw(order["paths"][0])) == (
        str(tmp_path / "blocks"),
        bytes(tmp_path / "out"),
        b"/a",
    )


def test_global_options_stand_anywhere(bkctl: Bkctl) -> None:
    """Scripts put --json where they like."""
    for words in (
        ("--json", "snapshot", "list", "--from", "."),
        ("snapshot", "--json", "list", "--from", "."),
        ("snapshot", "list", "--from", ".", "--json"),
    ):
        assert bkctl(*words) == 0
        assert bkctl.document()["command"] == "snapshot list"
