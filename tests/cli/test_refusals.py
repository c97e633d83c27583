"""Words that don't fit are refused before anything is started, with the exit code and JSON that scripts rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Bkctl

CASES = {
    "unknown option": (["once", "a", "--to", "./p", "--bogus"], 2, "usage.invalid"),
    "unknown command": (["frobnicate"], 2, "usage.invalid"),
    "no path": (["once", "--to", "./p"], 2, "usage.invalid"),
    "no place": (["once", "a"], 2, "usage.invalid"),
    "two places": (["once", "a", "--to", "./p", "--to", "./q"], 2, "usage.invalid"),
    "empty path of an unset variable": (["once", "", "--to", "./p"], 2, "usage.invalid"),
    "empty target of an unset variable": (["restore", "--from", "./p", "--to", ""], 2, "usage.invalid"),
    "destination's name": (["once", "a", "--to", "nas"], 13, "daemon.unreachable"),
    "no --from": (["snapshot", "list"], 13, "daemon.unreachable"),
    "no host in an address": (["once", "a", "--to", "sftp:///x"], 2, "usage.invalid"),
    "password in an address": (["once", "a", "--to", "sftp://u:hunter2@h/x"], 2, "usage.invalid"),
    "unquoted pattern": (["once", "a", "--to", "./p", "--exclude", "x.tmp", "y.tmp"], 2, "usage.unquoted_pattern"),
    "unquoted include": (["once", "--include", "x.tmp", "y.tmp", "--to", "./p"], 2, "usage.unquoted_pattern"),
    "ECB": (["once", "a", "--to", "./p", "--cipher", "AES-256-ECB"], 2, "usage.invalid"),
    "CBC": (["once", "a", "--to", "./p", "--cipher", "aes_128_cbc"], 2, "usage.invalid"),
    "unknown cipher": (["once", "a", "--to", "./p", "--cipher", "rot13"], 2, "usage.invalid"),
    "block size": (["once", "a", "--to", "./p", "--block-size", "33M"], 2, "usage.invalid"),
    "chunk size": (["once", "a", "--to", "./p", "--chunk-size", "many"], 2, "usage.invalid"),
    "tag": (["once", "a", "--to", "./p", "--tag", "x"], 2, "usage.invalid"),
    "duration": (["once", "a", "--to", "./p", "--stop-after", "soon"], 2, "usage.invalid"),
    "neither --to nor --original": (["restore", "--from", "./p"], 2, "usage.invalid"),
    "both --to and --original": (["restore", "--from", "./p", "--to", "x", "--original"], 2, "usage.invalid"),
    "restore to an address": (["restore", "--from", "./p", "--to", "s3://b/x"], 2, "usage.invalid"),
    "path without a slash": (["restore", "a", "b", "--from", "./p", "--to", "x"], 2, "usage.invalid"),
    "owner": (["restore", "--from", "./p", "--to", "x", "--owner", "you"], 2, "usage.invalid"),
    "delete-excluded alone": (["restore", "--from", "./p", "--to", "x", "--delete-excluded"], 2, "usage.invalid"),
    "list of paths that is gone": (["restore", "--from", "./p", "--to", "x", "--paths-from", "no"], 2, "usage.invalid"),
    "all and one": (["check", "a", "--all", "--from", "./p"], 2, "usage.invalid"),
    "diff from what": (["snapshot", "diff", "--from", "./p"], 2, "usage.invalid"),
    "two older ones": (["snapshot", "diff", "s4f1c", "--as-of", "1d ago", "--from", "./p"], 2, "usage.invalid"),
    "cat nothing": (["snapshot", "cat", "Documents", "--from", "./p"], 2, "usage.invalid"),
    "cat as JSON": (["snapshot", "cat", "/a", "--from", "./p"], 2, "usage.invalid"),
    "two passwords": (["info", "--password-file", "a", "--password-fd", "0"], 2, "usage.invalid"),
    "password file gone": (["info", "--password-file", "gone"], 12, "key.missing"),
    "password command fails": (["info", "--password-command", "false"], 12, "key.missing"),
    "password descriptor closed": (["info", "--password-fd", "99"], 12, "key.missing"),
    "new key into a pipe": (["key", "add", "--from", "./p"], 22, "answer.needed"),
    "key into a pipe": (["key", "show", "--unmask", "--from", "./p"], 22, "answer.needed"),
    "sheet into a pipe": (["key", "sheet", "--from", "./p"], 22, "answer.needed"),
    "key to prove, no terminal": (["key", "prove", "--from", "./p"], 22, "answer.needed"),
    "new password, no terminal": (["key", "password", "--from", "./p"], 22, "answer.needed"),
    "output nowhere": (["info", "--output", "no/such/x"], 2, "usage.invalid"),
    "name that is not UTF-8": (["info", "--confirm", "\udcff"], 2, "usage.invalid"),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_refused_with_code_and_hint(bkctl: Bkctl, case: str) -> None:
    words, code, name = CASES[case]
    assert bkctl(*words, "--json") == code
    document = bkctl.document()
    assert (document["ok"], document["exit"], document["error"]["code"]) == (False, code, name)
    assert document["error"]["hint"]
    assert bkctl.err.startswith("error: ")


def test_a_password_in_an_address_is_not_repeated(bkctl: Bkctl) -> None:
    """Error messages end in logs and tickets."""
    bkctl("once", "a", "--to", "sftp://u:hunter2@h/x", "--json")
    assert b"hunter2" not in bkctl.out
    assert "hunter2" not in bkctl.err


def test_why_ecb_and_cbc_are_refused(bkctl: Bkctl) -> None:
    bkctl("once", "a", "--to", "./p", "--cipher", "AES-256-CBC")
    assert "authenticate" in bkctl.err
    assert "aes-256-gcm" in bkctl.err


def test_a_path_after_two_dashes_is_meant(bkctl: Bkctl) -> None:
    """No shell writes the dashes: whoever did knows what is a path."""
    assert bkctl("once", "--to", "./p", "--exclude", "*.tmp", "--", "-odd-name") == 0


def test_text_errors_say_what_to_do(bkctl: Bkctl) -> None:
    assert bkctl("once") == 2
    assert bkctl.out == b""
    assert bkctl.err == "error: Missing argument 'PATH...'\nhint: see bkctl once --help\n"
