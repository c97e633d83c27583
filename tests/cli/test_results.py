"""Results where scripts expect them: one document, lines that end in it, whole files, exit codes of the job."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from tests.cli.program import Bkctl


@pytest.mark.parametrize("code", [3, 4, 5, 20, 21])
def test_result_and_error_stand_together(bkctl: Bkctl, code: int) -> None:
    """A run that did most of its work must show both, with the job's own exit code."""
    assert bkctl("info", "--json", behaviour=f"partly:{code}") == code
    document = bkctl.document()
    assert document == {
        "schema": "backupd/1",
        "command": "info",
        "ok": False,
        "exit": code,
        "result": {"left": 1},
        "error": {
            "code": "damage.found",
            "message": "1 block is lost",
            "hint": "",
            "retryable": False,
            "context": {"blocks": 1},
        },
        "warnings": ["one thing"],
    }
    assert "warning: /etc/\\xffshadow\\n: Permission denied\n" in bkctl.err


def test_quiet_says_errors_only(bkctl: Bkctl) -> None:
    """cron mails whatever is said."""
    assert bkctl("check", "--from", ".", "-q", behaviour="partly:20") == 20
    assert (bkctl.out, bkctl.err) == (b"", "error: 1 block is lost\n")


def test_verbose_says_more(bkctl: Bkctl) -> None:
    bkctl("info", behaviour="partly:3")
    assert "with -v" not in bkctl.err
    bkctl("-v", "info", behaviour="partly:3")
    assert ("told with -v" in bkctl.err, "warning: /etc/one: named with -v\n" in bkctl.err) == (True, True)


def test_a_listing_is_text_a_document_or_lines(bkctl: Bkctl) -> None:
    assert bkctl("snapshot", "ls", "--from", ".", behaviour="list:2") == 0
    assert bkctl.out.splitlines()[1].endswith(b"2026-11-21 21:07:10  /home/anna/1\\x1b[31m")
    assert bkctl("snapshot", "ls", "--from", ".", "--json", behaviour="list:2") == 0
    result = bkctl.document()["result"]
    assert [entry["path"] for entry in result["entries"]] == ["/home/anna/0\x1b[31m", "/home/anna/1\x1b[31m"]
    assert result["next"] is None
    assert bkctl("snapshot", "ls", "--from", ".", "--jsonl", behaviour="list:2") == 0
    lines = [msgspec.json.decode(line) for line in bkctl.out.splitlines()]
    assert [line.get("path") for line in lines] == ["/home/anna/0\x1b[31m", "/home/anna/1\x1b[31m", None]
    assert lines[-1]["schema"] == "backupd/1"


def test_events_are_lines_with_paths_that_survive(bkctl: Bkctl) -> None:
    bkctl("info", "--jsonl", behaviour="partly:3")
    event = msgspec.json.decode(bkctl.out.splitlines()[0])
    assert (event["event"], event["path"], event["path_b64"]) == ("log", "/etc/\\xffshadow\n", "L2V0Yy//c2hhZG93Cg==")


def test_cat_gives_bytes_as_they_are(bkctl: Bkctl) -> None:
    assert bkctl("snapshot", "cat", "/a", "--from", ".", behaviour="pour:2") == 0
    assert bkctl.out == b"\x00\xff\x1b" * 2000


def test_an_output_file_appears_whole_or_not_at_all(bkctl: Bkctl, tmp_path: Path) -> None:
    """A half-written file under the right name looks like a good one."""
    target = tmp_path / "out"
    target.write_bytes(b"old")
    assert bkctl("snapshot", "cat", "/a", "--from", ".", "--output", str(target), behaviour="half") == 20
    assert target.read_bytes() == b"old"
    assert bkctl("snapshot", "cat", "/a", "--from", ".", "--output", str(target), behaviour="pour:1") == 0
    assert target.read_bytes() == b"\x00\xff\x1b" * 1000
    assert os.listdir(tmp_path) == ["out"]
    assert bkctl.out == b""


def test_a_document_goes_into_the_file_too(bkctl: Bkctl, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert bkctl("info", "--json", "--output", str(target), behaviour="end:3") == 13
    assert msgspec.json.decode(target.read_bytes())["exit"] == 13


def test_a_file_with_a_key_is_the_users_alone(bkctl: Bkctl, tmp_path: Path) -> None:
    target = tmp_path / "sheet"
    os.umask(0o022)
    bkctl("key", "sheet", "--from", ".", "--output", str(target), "--json")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_device_is_written_not_replaced(bkctl: Bkctl) -> None:
    """As root, a rename over /dev/null breaks the machine."""
    assert bkctl("info", "--output", "/dev/null", "--json") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("end:killed", "was killed by SIGKILL"),
        ("end:3", "ended with exit 3"),
        ("end:0", "ended with exit 0"),
        ("garble", "speaks another protocol"),
    ],
)
def test_a_job_without_a_last_word_is_a_failure(bkctl: Bkctl, behaviour: str, words: str) -> None:
    """Silence must never look like a good backup."""
    assert bkctl("once", "/etc", "--to", "/nowhere/p", "--json", behaviour=behaviour) == 13
    document = bkctl.document()
    assert words in document["error"]["message"]
    assert document["error"]["retryable"] is True


def test_a_job_that_can_not_be_started(bkctl: Bkctl) -> None:
    assert bkctl("info", "--json", behaviour="no-such-behaviour") == 13


def test_secrets_reach_the_job_whichever_way(bkctl: Bkctl, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("letters\n")
    with secret.open() as file:
        for words, variables in (
            (["--password-file", str(secret)], {}),
            (["--password-command", f"cat '{secret}'"], {}),
            (["--password-fd", str(file.fileno())], {}),
            ([], {"BKCTL_PASSWORD_FILE": str(secret)}),
            ([], {"BKCTL_PASSWORD_COMMAND": f"cat '{secret}'"}),
        ):
            assert bkctl("info", "--json", *words, behaviour="want-key", variables=variables) == 0
            assert bkctl.document()["result"] == {"opened_with": "letters"}


def test_without_a_key_nothing_opens(bkctl: Bkctl) -> None:
    assert bkctl("info", "--json", behaviour="want-key") == 12
    assert bkctl.document()["error"]["code"] == "key.missing"


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        ([], ["", "", ""]),
        (["--yes"], ["yes", "", "all"]),
        (["--confirm", "Documents"], ["", "Documents", ""]),
        (["--confirm", "Pictures", "--yes"], ["yes", "", "all"]),
    ],
)
def test_what_loses_data_is_never_answered_by_yes(bkctl: Bkctl, words: list[str], answers: list[str]) -> None:
    bkctl("info", "--json", *words, behaviour="ask")
    assert bkctl.document()["result"]["answers"] == answers


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_each_shell(bkctl: Bkctl, shell: str) -> None:
    assert bkctl("completion", shell) == 0
    assert b"_BKCTL_COMPLETE" in bkctl.out
    assert (shell.encode() in bkctl.out) or shell == "zsh"
