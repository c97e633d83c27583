"""New passwords come from where `--new-password-…` says, and open what was made with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_text("a")
    return Machine(tmp_path / "home")


def test_a_repository_with_a_password_of_a_command_or_descriptor(machine: Machine, tmp_path: Path) -> None:
    """A password manager's program, or a pipe of a script, must not need a file in between."""
    place, file = tmp_path / "place", tmp_path / "password"
    file.write_text("from a command")
    made = machine.json(
        "once", tmp_path / "src", "--to", place, "--encryption", "password", "--new-password-command", f"cat {file}"
    )
    assert made["exit"] == 0, made
    other = Machine(tmp_path / "another home")
    opened = other.json("snapshot", "list", "--from", place, "--password-command", f"cat {file}")
    assert (opened["exit"], len(opened["result"]["snapshots"])) == (0, 1)
    words = ("--from", place, "--password-command", f"cat {file}", "--new-password-fd", "0")
    added = machine.json("key", "add", *words, stdin=b"from a pipe\n")
    assert added["exit"] == 0, added
    opened = other.json("snapshot", "list", "--from", place, "--password-fd", "0", stdin=b"from a pipe\n")
    assert opened["exit"] == 0
